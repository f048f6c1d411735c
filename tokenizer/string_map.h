// A hash map with string keys that is searched by string_view without making a string.
//
// Not synchronized.
#ifndef PROMPTDB_TOKENIZER_STRING_MAP_H_
#define PROMPTDB_TOKENIZER_STRING_MAP_H_

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace promptdb {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_STRING_MAP_H_
