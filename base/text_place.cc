#include "base/text_place.h"

#include <algorithm>

#include "base/utf8.h"

namespace promptdb {

std::string LineAndColumn(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t column =
      1 + CountCharacters(before.substr(before.rfind('\n') + 1));  // npos + 1 is 0
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace promptdb
