// The decoders of a tokenizer.json: from the spellings of tokens to text.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_TOKENIZER_TOKEN_DECODER_H_
#define PROMPTDB_TOKENIZER_TOKEN_DECODER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/json_access.h"

namespace promptdb {

class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  // Turns spellings into pieces of text; there may be fewer afterwards.
  virtual void Apply(std::vector<std::string>& tokens) const = 0;
};

// What the parts of a decoder mean for a stream of tokens.
struct DecoderTraits {
  bool byte_level = false;     // spellings are bytes
  bool byte_fallback = false;  // "<0x0A>" is a byte
  bool looks_ahead = false;    // a token's text can depend on the tokens after it
  bool fused = false;          // while reading: the steps so far have joined all tokens
};

// `json`: the component at `key`, not null. Adds what it is to `traits`. Throws Error(kUnsupported)
// that names a type we lack.
std::unique_ptr<TokenDecoder> ReadTokenDecoder(const Json& json, const std::string& key,
                                               DecoderTraits& traits, int nesting = 0);

// "<0x0A>" -> 10, in any case of the digits.
std::optional<unsigned char> ParseByteFallback(std::string_view spelling);

// The bytes that a spelling in the byte alphabet means; a spelling with any other character means
// itself.
std::string UnspellBytes(std::string_view spelling);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_TOKEN_DECODER_H_
