// The pre-tokenizers of a tokenizer.json: they cut normalized text into the words that BPE works
// on.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_TOKENIZER_PRE_TOKENIZER_H_
#define PROMPTDB_TOKENIZER_PRE_TOKENIZER_H_

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/json_access.h"
#include "tokenizer/regex.h"

namespace promptdb {

// Words of one text, in order and without overlap. What stands between them is dropped.
struct WordList {
  std::string text;             // valid UTF-8
  std::vector<TextSpan> words;  // of `text`; none is empty
  bool at_start = false;        // the first word begins where the whole text does
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts or rewrites every word of `list`.
  virtual void Apply(WordList& list) const = 0;
};

// `json`: the component at `key`, not null. Throws Error(kUnsupported) that names a type we lack.
std::unique_ptr<PreTokenizer> ReadPreTokenizer(const Json& json, const std::string& key,
                                               int nesting = 0);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_PRE_TOKENIZER_H_
