// Where an error in PML stands, told to whoever sees only the statement.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_PML_PML_PLACE_H_
#define PROMPTDB_PML_PML_PLACE_H_

#include <string>
#include <string_view>

#include "base/error.h"
#include "parser/ast.h"

namespace promptdb {

// `error`, whose range lies in a file's text, as one that blames `place` of the statement and says
// the file's line and column: `… (line 12, column 5 of "travel.xml")`.
Error InFile(const Error& error, std::string_view text, std::string_view file, SourceRange place);

// Where bytes of a text's value stand in the statement: without the quotes, and counting doubled
// quotes twice. The whole text where that can't be told.
SourceRange InText(const ast::Text& text, SourceRange range);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_PLACE_H_
