#include "pml/pml_place.h"

#include <algorithm>

namespace promptdb {

std::string LineAndColumn(std::string_view text, int offset) {
  const std::string_view before = text.substr(0, static_cast<size_t>(offset));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::string_view start = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0
  const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  const auto column = 1 + std::count_if(start.begin(), start.end(), is_first_byte);
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

Error InFile(const Error& error, std::string_view text, std::string_view file, SourceRange place) {
  std::string where;
  if (error.range()) where = LineAndColumn(text, error.range()->begin) + " of ";
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
