// The added tokens of a tokenizer.json: tokens that are found in the text before anything else is
// done to it. Those marked `normalized` are found in the normalized text.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_TOKENIZER_ADDED_TOKENS_H_
#define PROMPTDB_TOKENIZER_ADDED_TOKENS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/json_access.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/string_map.h"
#include "tokenizer/token_trie.h"

namespace promptdb {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool special = false;
  bool normalized = false;
  bool lstrip = false, rstrip = false;  // swallows the white space beside it
  bool single_word = false;             // only where no word character stands beside it
};

class AddedTokens {
 public:
  // A stretch of text: one added token, or text that holds none (token -1).
  struct Stretch {
    int32_t token = -1;
    size_t begin = 0;
    size_t end = 0;
  };
  enum class Stage { kRawText, kNormalizedText };

  // `json`: the "added_tokens" of the file, or nullptr. `vocabulary`: the model's own tokens.
  // `normalizer` may be nullptr.
  AddedTokens(const Json* json, const StringMap<int32_t>& vocabulary, const Normalizer* normalizer,
              int32_t max_id);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  bool IsSpecial(std::string_view content) const { return special_.contains(content); }

  // `text` in stretches, none empty unless a token swallowed its surroundings. `parse_special`:
  // false leaves the spellings of special tokens in the text.
  std::vector<Stretch> Split(std::string_view text, Stage stage, bool parse_special) const;

 private:
  std::vector<AddedToken> tokens_;
  StringMap<bool> special_;               // contents of the special ones
  TokenTrie raw_trie_, normalized_trie_;  // values are indexes into tokens_
};

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_ADDED_TOKENS_H_
