// A vocabulary of given bytes, for tests of what only looks at tokens' bytes.
#ifndef PROMPTDB_TESTS_SUPPORT_FAKE_TOKENIZER_H_
#define PROMPTDB_TESTS_SUPPORT_FAKE_TOKENIZER_H_

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

class FakeTokenizer final : public Tokenizer {
 public:
  // The last token ends a generation. `drops_space`: a text's leading space is not shown, as with
  // SentencePiece.
  explicit FakeTokenizer(std::vector<std::string> tokens, bool drops_space = false)
      : tokens_(std::move(tokens)), drops_space_(drops_space) {
    tokens_.emplace_back();
    vocab_size_ = static_cast<int>(tokens_.size());
    end_ids_ = {vocab_size_ - 1};
  }

  std::vector<TokenId> Encode(std::string_view, bool) const override {
    Check(false, "this tokenizer has no merges");
    return {};
  }
  std::string Decode(std::span<const TokenId> ids, bool) const override {
    std::string text;
    for (const TokenId id : ids) text += TokenBytes(id);
    if (drops_space_ && text.starts_with(' ')) text.erase(0, 1);
    return ReplaceInvalidUtf8(text);
  }
  std::string TokenBytes(TokenId id) const override { return tokens_[static_cast<size_t>(id)]; }
  std::string TokenSpelling(TokenId id) const override { return TokenBytes(id); }

 private:
  std::vector<std::string> tokens_;
  bool drops_space_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_FAKE_TOKENIZER_H_
