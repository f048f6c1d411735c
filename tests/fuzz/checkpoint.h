// What the targets of checkpoints ask of one that opens.
#ifndef PROMPTDB_TESTS_FUZZ_CHECKPOINT_H_
#define PROMPTDB_TESTS_FUZZ_CHECKPOINT_H_

#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "tests/fuzz/target.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

// Touches every byte that Open() vouched for.
inline void ReadTensors(const Checkpoint& checkpoint) {
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    CopyAsFloat(tensor, values);
  }
}

// Any tokenizer that could be made: ids are in range, and a stream's pieces are the text.
inline void UseTokenizer(const Tokenizer& tokenizer) {
  for (const std::string_view text :
       {"Hello, world! It's 12345.67", "  two  spaces\n\tand\r\nlines", "\xC3\xA9\xE2\x82\xAC<s>",
        "\xF0\x9F\x98\x80 \xFF\xC3", "<|im_start|>user\nx<|im_end|>", ""}) {
    const std::vector<TokenId> ids = tokenizer.Encode(text);
    StreamDecoder stream(tokenizer);
    std::string pieces;
    for (const TokenId id : ids) {
      Check(id >= 0 && id < tokenizer.vocab_size(), "an id is in the vocabulary");
      tokenizer.TokenBytes(id);
      tokenizer.TokenSpelling(id);
      pieces += stream.Push(id);
    }
    pieces += stream.Finish();
    const std::string whole = tokenizer.Decode(ids);
    Check(IsValidUtf8(whole), "decoded text is valid UTF-8");
    Check(pieces == whole, "a stream's pieces are the text");
    tokenizer.Encode(text, /*parse_special=*/false);
  }
  for (TokenId id = 0; id < tokenizer.vocab_size() && id < 2000; ++id) tokenizer.TokenBytes(id);
  for (const TokenId id : tokenizer.end_ids()) {
    Check(id >= 0 && id < tokenizer.vocab_size(), "a token that ends is in the vocabulary");
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_FUZZ_CHECKPOINT_H_
