// A prompt in PML: <prompt schema="travel"><miami/><user>Where to?</user></prompt>, as the pieces
// of a SELECT.
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_PML_PML_PROMPT_READER_H_
#define PROMPTDB_PML_PML_PROMPT_READER_H_

#include <optional>
#include <string_view>
#include <vector>

#include "parser/ast.h"

namespace promptdb {

// All ranges are bytes of the statement.
struct PmlPrompt {
  ast::Name schema;
  std::vector<ast::UseItem> use;
  std::optional<ast::Text> prompt;  // the text after the last tag
};

// Reads the PML of a statement's text. Throws Error, with the place in the statement, for
// everything that ReadPmlDocument() throws, a prompt without a schema, text in a module's element,
// and an element in a role's.
PmlPrompt ReadPmlPrompt(const ast::Text& pml);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_PROMPT_READER_H_
