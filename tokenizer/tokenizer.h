// Text to token ids and back, equal to the reference implementations: llama.cpp's for vocabularies
// inside GGUF files, Hugging Face `tokenizers` for tokenizer.json.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_TOKENIZER_TOKENIZER_H_
#define PROMPTDB_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace promptdb {

struct GgufVocabulary;

using TokenId = int32_t;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // From a vocabulary inside a GGUF file.
  static std::unique_ptr<Tokenizer> FromGguf(const GgufVocabulary& vocabulary);
  // From a folder with tokenizer.json and, optionally, tokenizer_config.json, config.json,
  // generation_config.json and special_tokens_map.json, which name the special tokens.
  static std::unique_ptr<Tokenizer> FromHuggingFace(const std::filesystem::path& folder);

  // Ids of `text` alone: no beginning- or end-of-sequence token is added.
  // `parse_special`: whether the spelling of a control token ("<|im_end|>") in the text is that
  // token (true: what `tokenizers` does) or plain text (false: what llama.cpp does for user text).
  // Invalid UTF-8 is handled as the reference does (replaced by U+FFFD).
  virtual std::vector<TokenId> Encode(std::string_view text, bool parse_special = true) const = 0;

  // The text of a whole sequence; special tokens are left out if `skip_special`. The result is
  // valid UTF-8: bytes that form no character become U+FFFD.
  virtual std::string Decode(std::span<const TokenId> ids, bool skip_special = true) const = 0;

  // The raw bytes that one token adds in the middle of a text (may be part of a character; "" for a
  // special token).
  virtual std::string TokenBytes(TokenId id) const = 0;

  // Whether the text that this token adds depends on the token after it, so that a stream must wait
  // for that one. True only for the byte tokens of a tokenizer.json (a run of them that isn't valid
  // UTF-8 as a whole becomes U+FFFD throughout) and for decoders that treat the last token
  // differently.
  virtual bool DecodesWithNext(TokenId) const { return false; }

  // How the vocabulary spells a token ("▁the", "<s>"), for people. "" for an id out of range.
  virtual std::string TokenSpelling(TokenId id) const = 0;

  int vocab_size() const { return vocab_size_; }
  std::optional<TokenId> bos_id() const { return bos_id_; }
  // The token that ends a sequence, as the model's files name it; others may end a generation too.
  std::optional<TokenId> eos_id() const { return eos_id_; }
  std::optional<TokenId> unk_id() const { return unk_id_; }
  std::optional<TokenId> pad_id() const { return pad_id_; }
  // Whether the model's prompts begin with bos_id.
  bool adds_bos() const { return adds_bos_; }
  // Tokens that end a generation (eos, end of turn), sorted.
  const std::vector<TokenId>& end_ids() const { return end_ids_; }
  bool IsEnd(TokenId id) const;
  // The checkpoint's own chat template (Jinja), or "".
  const std::string& chat_template() const { return chat_template_; }

  // Over all that Encode() depends on; part of every cache key.
  const Digest& digest() const { return digest_; }

 protected:
  int vocab_size_ = 0;
  std::optional<TokenId> bos_id_, eos_id_, unk_id_, pad_id_;
  bool adds_bos_ = false;
  std::vector<TokenId> end_ids_;
  std::string chat_template_;
  Digest digest_;
};

// Decodes a growing sequence piece by piece: the pieces joined are Decode() of the whole. Bytes of
// an unfinished character are held back. One per generation; not thread-safe.
class StreamDecoder {
 public:
  // `tokenizer` is borrowed.
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The text that `id` completes; "" while a character is unfinished.
  std::string Push(TokenId id);
  // What was held back, as U+FFFD for an unfinished character; call once, at the end.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  std::vector<TokenId> ids_;  // since the last piece boundary that is safe to cut at
  size_t emitted_ = 0;        // bytes of Decode(ids_) that are out already
};

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_TOKENIZER_H_
