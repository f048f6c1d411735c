// How llama.cpp cuts text into words before byte-level BPE: one recipe for each value of
// `tokenizer.ggml.pre`.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_TOKENIZER_GGUF_PRE_TOKENIZER_H_
#define PROMPTDB_TOKENIZER_GGUF_PRE_TOKENIZER_H_

#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"

namespace promptdb {

class GgufPreTokenizer {
 public:
  // Throws Error(kUnsupported) that names an unknown `pre`. An empty one is "default".
  explicit GgufPreTokenizer(std::string_view pre);

  // A word that is a token by itself is taken whole, whatever the merges say.
  bool ignores_merges() const { return ignores_merges_; }
  bool adds_bos() const { return adds_bos_; }

  // The words of `text`, in order, covering all of it. REQUIRES: valid UTF-8.
  std::vector<TextSpan> Split(std::string_view text) const;

 private:
  bool ignores_merges_ = false;
  bool adds_bos_ = false;
  std::vector<std::unique_ptr<Regex>> steps_;  // each cuts further what the one before it left
};

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_GGUF_PRE_TOKENIZER_H_
