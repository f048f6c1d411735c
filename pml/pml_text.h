// PML's text: how white space at its ends collapses, and how a parameter's place stands in it.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_PML_PML_TEXT_H_
#define PROMPTDB_PML_PML_TEXT_H_

#include <string>
#include <string_view>

namespace promptdb {

// True for a text of white space only, and for an empty one.
bool IsBlank(std::string_view text);

// As the prototype reads a text: white space at its beginning, however much, is one space, and so
// is white space at its end; what stands within is kept. A blank text is one space, an empty one
// stays empty. White space is what Python's \s matches, Unicode's spaces included.
std::string CollapseEnds(std::string_view text);

// Without the white space at both ends.
std::string_view StripEnds(std::string_view text);

// Literal braces of a template doubled.
std::string EscapeBraces(std::string_view text);

// Whether XML 1.0 has this character at all.
bool IsXmlCharacter(char32_t code);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_TEXT_H_
