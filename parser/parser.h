// Text to syntax tree.
//
// Thread-safe: every call builds its own scanner and parser; what ANTLR shares between parsers is
// behind a lock.
#ifndef PROMPTDB_PARSER_PARSER_H_
#define PROMPTDB_PARSER_PARSER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parser/ast.h"

namespace promptdb {

// Parses every statement of `text` (UTF-8). Ranges in the result are byte offsets into `text`.
// Throws Error(kSyntax) with a range and, for a near-miss keyword, a hint; expected things are
// named in words of the language ("a schema name", "PROMPT"), never by token names. Throws
// Error(kTooLong) for a name of more than 128 bytes, a statement of more than a million words, and
// a text of more than 64 MiB; nesting is bound to 64 parentheses. A parameter ($1) is refused
// outside a PREPARE.
std::vector<ast::Statement> Parse(std::string_view text);

// One statement in which $1, $2, … may stand wherever PREPARE allows them: the wire protocol's
// Parse. Their values come when it is run.
struct ParameterizedStatement {
  ast::Statement statement;
  int parameters = 0;  // the highest $n
};

// As Parse(), but nullopt for a text without a statement, and Error(kSyntax) for one with several.
std::optional<ParameterizedStatement> ParseParameterized(std::string_view text);

// Cuts a script into statements without parsing them, so that a shell can send one at a time.
// Quotes, dollar quotes and comments are respected.
struct ScriptSplit {
  std::vector<SourceRange> statements;  // complete ones, each with its semicolon
  SourceRange rest;                 // what follows the last semicolon, trimmed; empty if nothing
  bool rest_is_open_quote = false;  // the rest ends inside a quote or a comment
};
ScriptSplit SplitScript(std::string_view text);

// `text` with * for every byte of what may be a password: texts in CREATE and ALTER USER, and
// whatever follows a PASSWORD, in statements that are complete, mistaken or not yet ended. For all
// that shows or keeps statements.
std::string MaskSecrets(std::string_view text);

// All keywords in upper case, sorted: for completion and near-miss hints.
const std::vector<std::string>& Keywords();

// `name` as it must be written in a statement: bare if it is a plain lower-case identifier and no
// reserved word, else "quoted" with "" for a quote inside.
std::string QuoteName(std::string_view name);

// `text` as a literal: 'text' with '' for a quote inside.
std::string QuoteText(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_PARSER_H_
