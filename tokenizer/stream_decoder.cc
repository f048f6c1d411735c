#include "tokenizer/characters.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

// Decode() of a window of the last tokens stands in for Decode() of all. The window may begin at
// any token whose own bytes are whole characters, and that has a text at the beginning of one: what
// a decoder does at the beginning of a text (drop a leading space) then happens to that token
// again, whose text is out already and isn't looked at.
std::string StreamDecoder::Push(TokenId id) {
  ids_.push_back(id);
  if (tokenizer_.DecodesWithNext(id)) return "";

  std::string bytes;
  for (const TokenId token : ids_) bytes += tokenizer_.TokenBytes(token);
  const std::string text = tokenizer_.Decode(ids_);
  const size_t unfinished = UnfinishedSuffixSize(bytes);
  // An unfinished character at the end decodes to one U+FFFD, of three bytes.
  const size_t stable = unfinished == 0 ? text.size() : text.size() - 3;
  std::string piece = stable > emitted_ ? text.substr(emitted_, stable - emitted_) : "";
  emitted_ = std::max(emitted_, stable);

  const std::string own = tokenizer_.TokenBytes(id);
  if (unfinished == 0 && !own.empty() && IsValidUtf8(own)) {
    const size_t alone = tokenizer_.Decode(std::span(&id, 1)).size();
    // Where all of it is dropped at a text's beginning, the decoder may drop more of what follows.
    if (alone > 0) {
      ids_.assign(1, id);
      emitted_ = alone;
    }
  }
  return piece;
}

std::string StreamDecoder::Finish() {
  const std::string text = tokenizer_.Decode(ids_);
  std::string piece = text.size() > emitted_ ? text.substr(emitted_) : "";
  ids_.clear();
  emitted_ = 0;
  return piece;
}

}  // namespace promptdb
