// What the grammar allows at the place of a syntax error.
//
// ANTLR's own set of expected tokens is only exact where one token decides; after a decision that
// looks further ahead it tells what could have stood at the decision's start. So this walks the
// grammar's network from the last token that was matched for certain, over the tokens that were
// only looked at, and lists what could follow.
//
// Thread-safe: functions of their arguments. Only for files of parser/: it shows ANTLR's types.
#ifndef PROMPTDB_PARSER_EXPECTATION_H_
#define PROMPTDB_PARSER_EXPECTATION_H_

#include <cstddef>
#include <set>
#include <span>
#include <vector>

#include "antlr4-runtime.h"

namespace promptdb {

struct Expectation {
  // A rule or a token of the grammar.
  struct Item {
    bool is_rule = false;
    size_t index = 0;

    bool operator==(const Item&) const = default;
  };
  std::vector<Item> items;       // in the grammar's order; rules of `named_rules` as a whole
  std::vector<size_t> keywords;  // token types allowed here other than as names
};

struct ExpectationRules {
  std::set<size_t> named_rules;  // rules that have words of their own
  std::set<size_t> name_rules;   // rules whose keywords are only names
};

// `matched` is the network's state at which the last certain token was matched, within `context`
// (null: nothing was matched, the walk starts at `start_rule`). `looked_at` are the types of the
// tokens after it and before the offending one.
Expectation FindExpectation(const antlr4::atn::ATN& network, size_t start_rule, size_t matched,
                            antlr4::RuleContext* context, std::span<const size_t> looked_at,
                            const ExpectationRules& rules);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_EXPECTATION_H_
