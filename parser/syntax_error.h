// A syntax error in words of the language.
//
// Thread-safe: functions of their arguments. Only for files of parser/: it shows ANTLR's types.
#ifndef PROMPTDB_PARSER_SYNTAX_ERROR_H_
#define PROMPTDB_PARSER_SYNTAX_ERROR_H_

#include <span>
#include <string_view>

#include "base/error.h"
#include "parser/expectation.h"
#include "parser/token_reader.h"

namespace promptdb {

// The rules that an error names, for FindExpectation().
const ExpectationRules& ErrorRules();

// The error "unexpected …; expected …" for the token at `offending`, where the grammar allows what
// `expectation` lists. `text` is the whole script, which the tokens' ranges refer to.
Error SyntaxError(std::string_view text, std::span<const Token> tokens, size_t offending,
                  const Expectation& expectation);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_SYNTAX_ERROR_H_
