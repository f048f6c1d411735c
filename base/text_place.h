// Where a byte of a text stands, as people count.
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_BASE_TEXT_PLACE_H_
#define PROMPTDB_BASE_TEXT_PLACE_H_

#include <string>
#include <string_view>

namespace promptdb {

// "line 12, column 5"; lines and columns count from 1, columns in characters. An offset behind the
// text is the place behind its last byte.
std::string LineAndColumn(std::string_view text, size_t offset);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_TEXT_PLACE_H_
