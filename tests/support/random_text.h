// How tests write random text under a constraint.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TESTS_SUPPORT_RANDOM_TEXT_H_
#define PROMPTDB_TESTS_SUPPORT_RANDOM_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

#include "constraint/constraint.h"

namespace promptdb {

// The tokens of a vocabulary: every byte, whose id is its value, and then `words`.
inline std::vector<std::string> BytesAnd(const std::vector<std::string>& words) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.insert(tokens.end(), words.begin(), words.end());
  return tokens;
}

inline std::vector<TokenId> AllowedIds(const TokenMask& mask, int vocab_size) {
  std::vector<TokenId> allowed;
  for (TokenId id = 0; id < vocab_size; ++id) {
    if (mask.Allows(id)) allowed.push_back(id);
  }
  return allowed;
}

// What closes JSON's innermost string, list or object where that is allowed, else `next`: random
// text would hardly ever come to an end by itself. For a vocabulary of BytesAnd.
inline TokenId ClosingOr(const TokenMask& mask, TokenId next) {
  const bool is_in_text = mask.Allows('q') && mask.Allows('}');
  for (const char closing : std::string_view(is_in_text ? "\"" : "\"]}")) {
    if (mask.Allows(closing)) next = closing;
  }
  return next;
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_RANDOM_TEXT_H_
