#include "pml/pml_place.h"

#include <algorithm>

#include "base/text_place.h"

namespace promptdb {

Error InFile(const Error& error, std::string_view text, std::string_view file, SourceRange place) {
  std::string where;
  if (error.range())
    where = LineAndColumn(text, static_cast<size_t>(error.range()->begin)) + " of ";
  return Error(error.code(), error.message() + " (" + where + "\"" + std::string(file) + "\")",
               error.hint(), place);
}

SourceRange InText(const ast::Text& text, SourceRange range) {
  if (text.quote == 0) return text.range;
  const auto place = [&](int offset) {
    const std::string_view before =
        std::string_view(text.text).substr(0, static_cast<size_t>(offset));
    const auto doubled = text.quote > 1 ? 0 : std::count(before.begin(), before.end(), '\'');
    return text.range.begin + text.quote + offset + static_cast<int>(doubled);
  };
  return {place(range.begin), place(range.end)};
}

}  // namespace promptdb
