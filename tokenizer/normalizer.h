// The normalizers of a tokenizer.json: what happens to the text before it is cut into words.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_TOKENIZER_NORMALIZER_H_
#define PROMPTDB_TOKENIZER_NORMALIZER_H_

#include <memory>
#include <string>

#include "tokenizer/json_access.h"
#include "tokenizer/regex.h"

namespace promptdb {

// A piece of the text that is being encoded. Valid UTF-8.
struct NormalizedText {
  std::string text;
  bool at_start = false;  // its first character comes from the beginning of the whole text
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void Apply(NormalizedText& text) const = 0;
};

// `json`: the component at `key`, not null. Throws Error(kUnsupported) that names a type we lack.
std::unique_ptr<Normalizer> ReadNormalizer(const Json& json, const std::string& key,
                                           int nesting = 0);

// A {"String": …} or {"Regex": …} of the file.
class TextPattern {
 public:
  TextPattern(const Json& json, const std::string& key);
  // Matches from left to right; the empty string matches nowhere.
  std::vector<TextSpan> FindAll(std::string_view text) const;
  std::string ReplaceAll(std::string_view text, std::string_view with) const;

 private:
  std::string literal_;
  std::unique_ptr<Regex> regex_;  // nullptr: the literal counts
};

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_NORMALIZER_H_
