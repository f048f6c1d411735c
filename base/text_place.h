// What a place in a text stands for: what is written there, and where that is as people count.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_BASE_TEXT_PLACE_H_
#define PROMPTDB_BASE_TEXT_PLACE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace promptdb {

// What is written there. REQUIRES: the range lies in the text.
inline std::string_view TextAt(std::string_view text, SourceRange range) {
  return text.substr(static_cast<size_t>(range.begin),
                     static_cast<size_t>(range.end - range.begin));
}

// "line 12, column 5"; lines and columns count from 1, columns in characters. An offset behind the
// text is the place behind its last byte.
std::string LineAndColumn(std::string_view text, size_t offset);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_TEXT_PLACE_H_
