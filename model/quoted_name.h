// Names that come from a file, made fit for a message.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_QUOTED_NAME_H_
#define PROMPTDB_MODEL_QUOTED_NAME_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace promptdb {

// The name in double quotes. Bytes that are not printable ASCII become \xNN and long names are cut,
// so that a hostile file can neither steer a terminal nor fill a screen.
std::string QuotedName(std::string_view name);

// "[512, 64]"
std::string ShapeText(std::span<const int64_t> shape);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_QUOTED_NAME_H_
