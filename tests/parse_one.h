// Texts of one statement, for tests of what statements mean.
#ifndef PROMPTDB_TESTS_PARSE_ONE_H_
#define PROMPTDB_TESTS_PARSE_ONE_H_

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "parser/parser.h"

namespace promptdb {

// The statement, which must be a `Node`.
template <typename Node>
Node ParseOne(std::string_view text) {
  std::vector<ast::Statement> statements = Parse(text);
  EXPECT_EQ(statements.size(), 1u) << text;
  EXPECT_TRUE(std::holds_alternative<Node>(statements.at(0).node)) << text;
  return std::get<Node>(std::move(statements.at(0).node));
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_PARSE_ONE_H_
