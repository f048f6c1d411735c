// Tokenizers of tokenizer.json files, equal to Hugging Face `tokenizers`: added tokens, normalizer,
// pre-tokenizer, BPE, decoder, in that order.

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/quoted_name.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/characters.h"
#include "tokenizer/json_access.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/string_map.h"
#include "tokenizer/token_decoder.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace promptdb {
namespace {

// Larger than any vocabulary; a hostile id must not make us allocate gigabytes.
constexpr int32_t kMaxId = (1 << 22) - 1;

// Words longer than this aren't remembered: they hardly ever come twice.
constexpr size_t kRememberedWord = 256;

// Tokens that end a turn, wherever a vocabulary has them as added tokens.
constexpr std::string_view kEndSpellings[] = {"<|eot_id|>",     "<|eom_id|>",    "<|im_end|>",
                                              "<|end|>",        "<end_of_turn>", "<|endoftext|>",
                                              "<|end_of_text|>"};

// The "model" of the file: from words to ids.
class BpeModel {
 public:
  explicit BpeModel(const Json& json);

  const StringMap<int32_t>& vocabulary() const { return vocabulary_; }

  // Appends the ids of `word`. `symbols` is scratch space.
  void Encode(std::string_view word, std::vector<Symbol>& symbols, std::vector<TokenId>& ids) const;

 private:
  void ReadVocabulary(const Json& json);
  void ReadMerges(const Json& json);
  void SplitIntoSymbols(std::string_view word, std::vector<Symbol>& symbols) const;

  StringMap<int32_t> vocabulary_;
  MergeTable merges_;
  std::optional<int32_t> unk_id_;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  int32_t byte_ids_[256];  // of "<0x00>" …; -1 where there is none
  std::string prefix_;     // of every character of a word but the first
  std::string suffix_;     // of the last character of a word
};

BpeModel::BpeModel(const Json& json) {
  const std::string key = "model";
  if (const Json* const dropout = FindMember(json, key, "dropout")) {
    if (!dropout->is_number()) ThrowCorrupt("model.dropout", "not a number");
    if (dropout->get<double>() != 0) ThrowUnsupported("model.dropout", "random merging");
  }
  fuse_unk_ = GetBool(json, key, "fuse_unk", false);
  ignore_merges_ = GetBool(json, key, "ignore_merges", false);
  byte_fallback_ = GetBool(json, key, "byte_fallback", false);
  prefix_ = FindString(json, key, "continuing_subword_prefix").value_or("");
  suffix_ = FindString(json, key, "end_of_word_suffix").value_or("");
  ReadVocabulary(json);
  ReadMerges(json);
  if (const auto unk = FindString(json, key, "unk_token")) {
    const auto found = vocabulary_.find(*unk);
    if (found == vocabulary_.end()) {
      ThrowCorrupt("model.unk_token", "not in model.vocab: " + QuotedName(*unk));
    }
    unk_id_ = found->second;
  }
  for (int byte = 0; byte < 256; ++byte) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    const std::string spelling = std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + '>';
    const auto found = vocabulary_.find(spelling);
    byte_ids_[byte] = found == vocabulary_.end() ? -1 : found->second;
  }
}

void BpeModel::ReadVocabulary(const Json& json) {
  const std::string key = "model.vocab";
  const Json& vocabulary = AsObject(GetMember(json, "model", "vocab"), key);
  vocabulary_.reserve(vocabulary.size());
  std::vector<bool> used;
  for (const auto& [token, value] : vocabulary.items()) {
    const auto id = static_cast<int32_t>(AsCount(value, JoinKey(key, token), kMaxId));
    if (static_cast<size_t>(id) >= used.size()) used.resize(2 * static_cast<size_t>(id) + 1);
    if (used[id])
      ThrowCorrupt(JoinKey(key, token), "another token has the id " + std::to_string(id));
    used[id] = true;
    vocabulary_.emplace(token, id);
  }
}

void BpeModel::ReadMerges(const Json& json) {
  const std::string key = "model.merges";
  const Json& merges = AsArray(GetMember(json, "model", "merges"), key);
  merges_ = MergeTable(merges.size());
  const auto id_of = [&](std::string_view token, size_t i) {
    const auto found = vocabulary_.find(token);
    if (found == vocabulary_.end()) {
      ThrowCorrupt(JoinKey(key, i), "not in model.vocab: " + QuotedName(token));
    }
    return found->second;
  };
  uint32_t rank = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    std::string_view left, right;
    if (merges[i].is_string()) {
      const std::string& text = merges[i].get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
        ThrowCorrupt(JoinKey(key, i), "not two tokens: " + QuotedName(text));
      }
      left = std::string_view(text).substr(0, space);
      right = std::string_view(text).substr(space + 1);
    } else {
      const Json& pair = AsArray(merges[i], JoinKey(key, i));
      if (pair.size() != 2) ThrowCorrupt(JoinKey(key, i), "not two tokens");
      left = AsString(pair[0], JoinKey(key, i));
      right = AsString(pair[1], JoinKey(key, i));
    }
    const int32_t left_id = id_of(left, i), right_id = id_of(right, i);
    if (right.size() < prefix_.size()) ThrowCorrupt(JoinKey(key, i), "shorter than the prefix");
    const std::string merged = std::string(left) + std::string(right.substr(prefix_.size()));
    merges_.Insert(left_id, right_id, {rank++, id_of(merged, i)}, true);
  }
}

void BpeModel::SplitIntoSymbols(std::string_view word, std::vector<Symbol>& symbols) const {
  symbols.clear();
  std::optional<Symbol> unknown;  // held back, because the next unknown character may join it
  const auto flush = [&] {
    if (unknown) symbols.push_back(*unknown);
    unknown.reset();
  };
  std::string decorated;
  for (size_t i = 0; i < word.size();) {
    const size_t size = ReadUtf8(word, i).size;
    std::string_view character = word.substr(i, size);
    const bool prefixed = i > 0 && !prefix_.empty();
    const bool suffixed = i + size == word.size() && !suffix_.empty();
    if (prefixed || suffixed) {
      decorated = prefixed ? prefix_ : "";
      decorated += character;
      if (suffixed) decorated += suffix_;
      character = decorated;
    }
    const auto begin = static_cast<uint32_t>(i);
    const auto length = static_cast<uint32_t>(size);
    i += size;
    const auto found = vocabulary_.find(character);
    if (found != vocabulary_.end()) {
      flush();
      symbols.push_back({found->second, begin, length});
      continue;
    }
    if (byte_fallback_ && std::all_of(character.begin(), character.end(), [&](char c) {
          return byte_ids_[static_cast<unsigned char>(c)] >= 0;
        })) {
      // An unknown character before stays held back, as in the reference.
      for (const char c : character) {
        symbols.push_back({byte_ids_[static_cast<unsigned char>(c)], begin, 1});
      }
      continue;
    }
    if (!unk_id_) continue;  // without an unknown token the character is lost
    if (unknown && fuse_unk_) {
      unknown->size += length;
    } else {
      flush();
      unknown = Symbol{*unk_id_, begin, length};
    }
  }
  flush();
}

void BpeModel::Encode(std::string_view word, std::vector<Symbol>& symbols,
                      std::vector<TokenId>& ids) const {
  if (ignore_merges_) {
    const auto whole = vocabulary_.find(word);
    if (whole != vocabulary_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  SplitIntoSymbols(word, symbols);
  MergeSymbols(merges_, symbols);
  for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
}

class HuggingFaceTokenizer final : public Tokenizer {
 public:
  explicit HuggingFaceTokenizer(const std::filesystem::path& folder);

  std::vector<TokenId> Encode(std::string_view text, bool parse_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::string TokenBytes(TokenId id) const override;

  bool DecodesWithNext(TokenId id) const override {
    if (traits_.looks_ahead) return true;
    return traits_.byte_fallback && InRange(id) && ParseByteFallback(spellings_[id]).has_value();
  }
  std::string TokenSpelling(TokenId id) const override { return InRange(id) ? spellings_[id] : ""; }

 private:
  // Words of this call and where their ids are in its result.
  using KnownWords = StringMap<TextSpan>;

  bool InRange(TokenId id) const { return id >= 0 && id < vocab_size_; }
  void ReadComponents(const Json& json);
  void FillTokens();
  void ReadConfig(const std::filesystem::path& folder, const Json& json);
  void EncodeWords(WordList list, KnownWords& known, std::vector<Symbol>& symbols,
                   std::vector<TokenId>& ids) const;

  std::unique_ptr<Normalizer> normalizer_;       // nullptr: none
  std::unique_ptr<PreTokenizer> pre_tokenizer_;  // nullptr: the text is one word
  std::unique_ptr<TokenDecoder> decoder_;        // nullptr: tokens are joined by spaces
  DecoderTraits traits_;
  std::optional<BpeModel> model_;
  std::optional<AddedTokens> added_;
  std::vector<std::string> spellings_;  // "" where an id has no token
  std::vector<bool> special_;
};

HuggingFaceTokenizer::HuggingFaceTokenizer(const std::filesystem::path& folder) {
  const MappedFile file(folder / "tokenizer.json");
  const Json json = ParseJson(file.text(), "tokenizer.json");
  ReadComponents(json);
  FillTokens();
  ReadConfig(folder, json);
  digest_ = Hasher().Add("hugging face tokenizer 1").Add(file.text()).Finish();
}

void HuggingFaceTokenizer::ReadComponents(const Json& json) {
  const Json& model = GetMember(json, "", "model");
  // Old files leave the type out; only BPE has merges.
  const std::string type =
      FindString(model, "model", "type")
          .value_or(FindMember(model, "model", "merges") != nullptr ? "BPE" : "unknown");
  if (type != "BPE") ThrowUnsupported("model.type", "model " + QuotedName(type));
  model_.emplace(model);
  if (const Json* const component = FindMember(json, "", "normalizer")) {
    normalizer_ = ReadNormalizer(*component, "normalizer");
  }
  if (const Json* const component = FindMember(json, "", "pre_tokenizer")) {
    pre_tokenizer_ = ReadPreTokenizer(*component, "pre_tokenizer");
  }
  if (const Json* const component = FindMember(json, "", "decoder")) {
    decoder_ = ReadTokenDecoder(*component, "decoder", traits_);
  }
  added_.emplace(FindMember(json, "", "added_tokens"), model_->vocabulary(), normalizer_.get(),
                 kMaxId);
}

void HuggingFaceTokenizer::FillTokens() {
  const auto place = [&](int32_t id, const std::string& content) {
    if (!InRange(id)) {
      vocab_size_ = id + 1;
      spellings_.resize(static_cast<size_t>(vocab_size_));
    }
    spellings_[id] = content;
  };
  for (const auto& [content, id] : model_->vocabulary()) place(id, content);
  for (const AddedToken& token : added_->tokens()) place(token.id, token.content);
  if (vocab_size_ == 0) ThrowCorrupt("model.vocab", "empty");
  special_.reserve(spellings_.size());
  for (const std::string& spelling : spellings_) special_.push_back(added_->IsSpecial(spelling));
}

void HuggingFaceTokenizer::ReadConfig(const std::filesystem::path& folder, const Json& json) {
  StringMap<int32_t> added;
  for (const AddedToken& token : added_->tokens()) added.emplace(token.content, token.id);
  const auto id_of = [&](std::string_view content) -> std::optional<int32_t> {
    if (const auto found = added.find(content); found != added.end()) return found->second;
    const auto found = model_->vocabulary().find(content);
    if (found == model_->vocabulary().end()) return std::nullopt;
    return found->second;
  };
  TokenizerConfig config = ReadTokenizerConfig(folder, id_of, vocab_size_);
  const std::optional<std::string> leading = LeadingToken(FindMember(json, "", "post_processor"));
  bos_id_ = config.bos_id;
  eos_id_ = config.eos_id;
  if (!bos_id_ && leading) bos_id_ = id_of(*leading);
  unk_id_ = config.unk_id;
  if (const auto unk = FindString(GetMember(json, "", "model"), "model", "unk_token");
      unk && !unk_id_) {
    unk_id_ = id_of(*unk);
  }
  pad_id_ = config.pad_id;
  adds_bos_ =
      bos_id_.has_value() && config.adds_bos.value_or(leading && id_of(*leading) == bos_id_);
  chat_template_ = std::move(config.chat_template);
  end_ids_ = std::move(config.end_ids);
  for (const std::string_view spelling : kEndSpellings) {
    const auto found = added.find(spelling);
    if (found != added.end()) end_ids_.push_back(found->second);
  }
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
}

std::vector<TokenId> HuggingFaceTokenizer::Encode(std::string_view raw, bool parse_special) const {
  CheckTextSize(raw.size());
  std::string repaired;
  if (!IsValidUtf8(raw)) raw = repaired = ReplaceInvalidUtf8(raw);

  std::vector<TokenId> ids;
  std::vector<Symbol> symbols;
  KnownWords known;
  using Stage = AddedTokens::Stage;
  for (const AddedTokens::Stretch& stretch : added_->Split(raw, Stage::kRawText, parse_special)) {
    if (stretch.token >= 0) {
      ids.push_back(stretch.token);
      continue;
    }
    NormalizedText text{std::string(raw.substr(stretch.begin, stretch.end - stretch.begin)),
                        stretch.begin == 0};
    if (normalizer_ != nullptr) normalizer_->Apply(text);
    CheckTextSize(text.text.size());
    for (const AddedTokens::Stretch& part :
         added_->Split(text.text, Stage::kNormalizedText, parse_special)) {
      if (part.token >= 0) {
        ids.push_back(part.token);
        continue;
      }
      WordList list;
      list.text = text.text.substr(part.begin, part.end - part.begin);
      list.words = {{0, static_cast<uint32_t>(list.text.size())}};
      list.at_start = text.at_start && part.begin == 0;
      EncodeWords(std::move(list), known, symbols, ids);
    }
  }
  return ids;
}

void HuggingFaceTokenizer::EncodeWords(WordList list, KnownWords& known,
                                       std::vector<Symbol>& symbols,
                                       std::vector<TokenId>& ids) const {
  if (pre_tokenizer_ != nullptr) pre_tokenizer_->Apply(list);
  for (const TextSpan span : list.words) {
    const std::string_view word = std::string_view(list.text).substr(span.begin, span.size());
    const auto before = known.find(word);
    if (before != known.end()) {
      for (uint32_t i = before->second.begin; i < before->second.end; ++i) ids.push_back(ids[i]);
      continue;
    }
    const auto begin = static_cast<uint32_t>(ids.size());
    model_->Encode(word, symbols, ids);
    if (word.size() <= kRememberedWord) {
      known.emplace(word, TextSpan{begin, static_cast<uint32_t>(ids.size())});
    }
  }
}

std::string HuggingFaceTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    if (!InRange(id) || spellings_[id].empty() || (skip_special && special_[id])) continue;
    tokens.push_back(spellings_[id]);
  }
  if (decoder_ != nullptr) decoder_->Apply(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (decoder_ == nullptr && i > 0) text += ' ';
    text += tokens[i];
  }
  return text;
}

std::string HuggingFaceTokenizer::TokenBytes(TokenId id) const {
  if (!InRange(id) || special_[id] || spellings_[id].empty()) return "";
  if (traits_.byte_level) return UnspellBytes(spellings_[id]);
  if (traits_.byte_fallback) {
    const auto byte = ParseByteFallback(spellings_[id]);
    if (byte) return std::string(1, static_cast<char>(*byte));
  }
  // In the middle of a text is between two letters, which no decoder touches.
  std::vector<std::string> tokens = {"a", spellings_[id], "a"};
  if (decoder_ == nullptr) return " " + spellings_[id];
  decoder_->Apply(tokens);
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text.size() >= 2 ? text.substr(1, text.size() - 2) : "";
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::FromHuggingFace(const std::filesystem::path& folder) {
  return std::make_unique<HuggingFaceTokenizer>(folder);
}

}  // namespace promptdb
