// Tokenizers of vocabularies inside GGUF files, equal to llama.cpp's: which text is a special
// token, how text becomes symbols, which pairs merge in which order, what a token's text is.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/quoted_name.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/characters.h"
#include "tokenizer/gguf_pre_tokenizer.h"
#include "tokenizer/string_map.h"
#include "tokenizer/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";  // "▁"
constexpr size_t kMaxTokens = size_t{1} << 22;

enum TokenType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// Tokens that end a generation wherever they are in a vocabulary, and that count as control tokens
// even where the file calls them normal ones.
constexpr std::string_view kEndSpellings[] = {"<|eot_id|>",
                                              "<|im_end|>",
                                              "<|end|>",
                                              "<|return|>",
                                              "<|call|>",
                                              "<|flush|>",
                                              "<|calls|>",
                                              "<end_of_turn>",
                                              "<|endoftext|>",
                                              "</s>",
                                              "<|eom_id|>",
                                              "<EOT>",
                                              "_<EOT>",
                                              "[EOT]",
                                              "[EOS]",
                                              "<|end_of_text|>",
                                              "<end_of_utterance>",
                                              "<eos>",
                                              "<turn|>",
                                              "<｜end▁of▁sentence｜>"};
// Tokens of code completion that count as control tokens; the second list also ends a generation.
constexpr std::string_view kCompletionSpellings[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "▁<PRE>",
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "▁<SUF>",
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "▁<MID>"};
constexpr std::string_view kCompletionEndSpellings[] = {
    "<|fim_pad|>",   "<fim-pad>",  "<fim_pad>", "<PAD>",      "[PAD]",       "<|fim_repo|>",
    "<|repo_name|>", "<fim-repo>", "<REPO>",    "<reponame>", "<|file_sep|>"};

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    out.append(text, at, found - at).append(to);
  }
  if (at == 0) return;
  text = out.append(text, at);
}

// llama.cpp's reading of damaged UTF-8 ahead of byte-level BPE: every byte that doesn't lead to a
// character is a U+FFFD of its own.
std::string ReplaceInvalidBytes(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = ReadUtf8(text, i);
    if (step.valid) {
      out.append(text.substr(i, step.size));
    } else {
      for (size_t byte = 0; byte < step.size; ++byte) AppendUtf8(kReplacementCharacter, out);
    }
    i += step.size;
  }
  return out;
}

// "<0x0A>" -> 10.
std::optional<unsigned char> ParseByteToken(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling[5] != '>')
    return std::nullopt;
  const std::string digits(spelling.substr(3, 2));
  char* end = nullptr;
  const long value = std::strtol(digits.c_str(), &end, 16);
  if (end != digits.c_str() + 2) return std::nullopt;
  return static_cast<unsigned char>(value);
}

std::string ByteTokenSpelling(unsigned char byte) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + '>';
}

// What both kinds of vocabulary share; a subclass turns plain text into ids.
class GgufTokenizer : public Tokenizer {
 public:
  std::vector<TokenId> Encode(std::string_view text, bool parse_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;

  std::string TokenBytes(TokenId id) const override {
    return InRange(id) && !special_[id] ? pieces_[id] : "";
  }
  std::string TokenSpelling(TokenId id) const override { return InRange(id) ? spellings_[id] : ""; }

 protected:
  GgufTokenizer(const GgufVocabulary& vocabulary, bool add_space_prefix, bool adds_bos);

  bool InRange(TokenId id) const { return id >= 0 && id < vocab_size_; }

  // Ids of text without special tokens in it, appended to `ids`. `after_special`: nothing or a
  // special token stands before it.
  virtual void EncodePlain(std::string_view text, bool after_special,
                           std::vector<TokenId>& ids) const = 0;

  // The text of a normal token.
  virtual std::string NormalPiece(std::string_view spelling) const = 0;

  // To be called by the subclass, whose NormalPiece() it needs.
  void FillPieces();

  std::vector<std::string> spellings_;
  StringMap<TokenId> id_of_;
  std::vector<int32_t> types_;
  std::vector<std::string> pieces_;  // the token's text
  std::vector<bool> special_;        // unknown and control tokens: no text
  bool add_space_prefix_ = false;

 private:
  void ReadTokens(const GgufVocabulary& vocabulary);
  void ReadSpecialIds(const GgufVocabulary& vocabulary, bool adds_bos);
  void MarkKnownSpellings();

  TokenTrie always_found_;     // user-defined tokens
  TokenTrie found_if_parsed_;  // those, and control and unknown tokens
};

std::string TokenKey(size_t id) { return "tokenizer.ggml.tokens[" + std::to_string(id) + "]"; }

GgufTokenizer::GgufTokenizer(const GgufVocabulary& vocabulary, bool add_space_prefix, bool adds_bos)
    : add_space_prefix_(vocabulary.add_space_prefix.value_or(add_space_prefix)) {
  ReadTokens(vocabulary);
  ReadSpecialIds(vocabulary, adds_bos);
  MarkKnownSpellings();
  for (TokenId id = 0; id < vocab_size_; ++id) {
    special_.push_back(types_[id] == kControl || types_[id] == kUnknown);
    if (types_[id] == kUserDefined) always_found_.Insert(spellings_[id], id);
    if (types_[id] == kUserDefined || special_[id]) found_if_parsed_.Insert(spellings_[id], id);
  }
  chat_template_ = vocabulary.chat_template;

  Hasher hasher;
  hasher.Add("gguf tokenizer 1").Add(vocabulary.model).Add(vocabulary.pre);
  hasher.Add(add_space_prefix_ ? 1 : 0);
  for (const std::string& spelling : spellings_) hasher.Add(spelling);
  hasher.Add(std::span<const int32_t>(types_));
  for (const float score : vocabulary.scores) hasher.Add(static_cast<double>(score));
  for (const std::string& merge : vocabulary.merges) hasher.Add(merge);
  digest_ = hasher.Finish();
}

void GgufTokenizer::ReadTokens(const GgufVocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  if (count == 0 || count > kMaxTokens) {
    throw Error(ErrorCode::kCorrupt,
                "tokenizer.ggml.tokens: impossible number of tokens: " + std::to_string(count));
  }
  if (!vocabulary.token_types.empty() && vocabulary.token_types.size() < count) {
    throw Error(ErrorCode::kCorrupt, "tokenizer.ggml.token_type: fewer types than tokens: " +
                                         std::to_string(vocabulary.token_types.size()) + " of " +
                                         std::to_string(count));
  }
  vocab_size_ = static_cast<int>(count);
  spellings_.reserve(count);
  for (size_t id = 0; id < count; ++id) {
    std::string spelling = vocabulary.tokens[id];
    if (spelling.empty()) spelling = "[EMPTY_" + std::to_string(id) + "]";
    const auto [place, inserted] = id_of_.emplace(spelling, static_cast<TokenId>(id));
    if (!inserted) {
      throw Error(ErrorCode::kCorrupt, TokenKey(id) + ": the token is there already, as id " +
                                           std::to_string(place->second));
    }
    spellings_.push_back(std::move(spelling));
  }
  types_.assign(count, kNormal);
  if (!vocabulary.token_types.empty()) {
    std::copy_n(vocabulary.token_types.begin(), count, types_.begin());
  }
}

void GgufTokenizer::ReadSpecialIds(const GgufVocabulary& vocabulary, bool adds_bos) {
  const auto checked = [&](std::optional<int32_t> id, const char* key) {
    if (id && !InRange(*id)) {
      throw Error(ErrorCode::kCorrupt,
                  std::string(key) + ": no token has the id " + std::to_string(*id));
    }
    return id;
  };
  bos_id_ = checked(vocabulary.bos_id, "tokenizer.ggml.bos_token_id");
  unk_id_ = checked(vocabulary.unk_id, "tokenizer.ggml.unknown_token_id");
  pad_id_ = checked(vocabulary.pad_id, "tokenizer.ggml.padding_token_id");
  std::optional<int32_t> eos = checked(vocabulary.eos_id, "tokenizer.ggml.eos_token_id");
  if (vocabulary.model == "llama" && vocab_size_ > 2) {
    // What SentencePiece-style files mean when they don't say.
    if (!unk_id_) unk_id_ = 0;
    if (!bos_id_) bos_id_ = 1;
    if (!eos) eos = 2;
  }
  eos_id_ = eos;
  for (const auto& id : {eos, checked(vocabulary.eot_id, "tokenizer.ggml.eot_token_id")}) {
    if (id) end_ids_.push_back(*id);
  }
  adds_bos_ = vocabulary.add_bos.value_or(adds_bos) && bos_id_.has_value();
}

void GgufTokenizer::MarkKnownSpellings() {
  const auto mark = [&](std::string_view spelling, bool ends) {
    const auto found = id_of_.find(spelling);
    if (found == id_of_.end()) return;
    types_[found->second] = kControl;
    if (ends) end_ids_.push_back(found->second);
  };
  for (const std::string_view spelling : kEndSpellings) mark(spelling, true);
  for (const std::string_view spelling : kCompletionSpellings) mark(spelling, false);
  for (const std::string_view spelling : kCompletionEndSpellings) mark(spelling, true);

  // The "harmony" format ends only messages, not the answer, with <|end|>, and shows its markers.
  const auto has = [&](std::string_view spelling) { return id_of_.contains(spelling); };
  const auto end = id_of_.find("<|end|>");
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (end != id_of_.end() && calls &&
      (has("<|flush|>") || (has("<|return|>") && has("<|call|>")))) {
    std::erase(end_ids_, end->second);
    types_[end->second] = kUserDefined;
  }
  for (const std::string_view spelling :
       {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"}) {
    const auto found = id_of_.find(spelling);
    if (found != id_of_.end()) types_[found->second] = kUserDefined;
  }
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
}

void GgufTokenizer::FillPieces() {
  pieces_.reserve(spellings_.size());
  for (TokenId id = 0; id < vocab_size_; ++id) {
    const std::string& spelling = spellings_[id];
    if (special_[id] || types_[id] == kUserDefined) {
      pieces_.push_back(spelling);
    } else if (types_[id] == kNormal) {
      pieces_.push_back(NormalPiece(spelling));
    } else if (types_[id] == kByte) {
      const std::optional<unsigned char> byte = ParseByteToken(spelling);
      pieces_.push_back(byte ? std::string(1, static_cast<char>(*byte)) : spelling);
    } else {
      pieces_.emplace_back();  // unused tokens have no text
    }
  }
}

std::vector<TokenId> GgufTokenizer::Encode(std::string_view text, bool parse_special) const {
  CheckTextSize(text.size());
  // Longer special tokens are found before shorter ones, each from left to right in what is left.
  std::vector<TokenTrie::Match> found =
      (parse_special ? found_if_parsed_ : always_found_).FindAll(text);
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.size > b.size; });
  std::vector<TokenTrie::Match> taken;
  if (!found.empty()) {
    std::vector<bool> covered(text.size());
    for (const TokenTrie::Match& match : found) {
      // Matches taken before are at least as long, so one that overlaps covers an end of this one.
      if (covered[match.begin] || covered[match.begin + match.size - 1]) continue;
      std::fill_n(covered.begin() + static_cast<ptrdiff_t>(match.begin), match.size, true);
      taken.push_back(match);
    }
    std::sort(taken.begin(), taken.end(),
              [](const auto& a, const auto& b) { return a.begin < b.begin; });
  }

  std::vector<TokenId> ids;
  size_t at = 0;
  bool after_special = true;
  const auto plain = [&](size_t end) {
    if (end <= at) return;
    EncodePlain(text.substr(at, end - at), after_special, ids);
    after_special = false;
  };
  for (const TokenTrie::Match& match : taken) {
    plain(match.begin);
    ids.push_back(match.value);
    after_special = true;
    at = match.begin + match.size;
  }
  plain(text.size());
  return ids;
}

std::string GgufTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  bool drop_space = add_space_prefix_;
  for (const TokenId id : ids) {
    if (!InRange(id)) continue;
    if (!skip_special || !special_[id]) {
      const std::string_view piece = pieces_[id];
      bytes += drop_space && piece.starts_with(' ') ? piece.substr(1) : piece;
    }
    drop_space = false;
  }
  return ReplaceInvalidUtf8(bytes);
}

// "llama": SentencePiece-style BPE. Any two neighbours whose joint spelling is a token merge, the
// token of the best score first; what forms no token becomes byte tokens.
class SentencePieceTokenizer final : public GgufTokenizer {
 public:
  explicit SentencePieceTokenizer(const GgufVocabulary& vocabulary)
      : GgufTokenizer(vocabulary, /*add_space_prefix=*/true, /*adds_bos=*/true) {
    FillPieces();
    FillMerges(vocabulary.scores);
    for (int byte = 0; byte < 256; ++byte) {
      const auto b = static_cast<unsigned char>(byte);
      auto found = id_of_.find(ByteTokenSpelling(b));
      if (found == id_of_.end()) found = id_of_.find(std::string(1, static_cast<char>(b)));
      byte_ids_[byte] = found != id_of_.end() ? found->second : unk_id_.value_or(-1);
    }
  }

 private:
  void FillMerges(const std::vector<float>& scores);
  void EncodePlain(std::string_view text, bool after_special,
                   std::vector<TokenId>& ids) const override;

  std::string NormalPiece(std::string_view spelling) const override {
    std::string piece(spelling);
    ReplaceAll(piece, kSpaceMark, " ");
    return piece;
  }

  // The id of a symbol before merging: of a token, or (from vocab_size() on) of a character that
  // occurs only within tokens; -1 otherwise.
  StringMap<int32_t> character_ids_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_ids_;
};

void SentencePieceTokenizer::FillMerges(const std::vector<float>& scores) {
  if (!scores.empty() && scores.size() < spellings_.size()) {
    throw Error(ErrorCode::kCorrupt, "tokenizer.ggml.scores: fewer scores than tokens: " +
                                         std::to_string(scores.size()) + " of " +
                                         std::to_string(spellings_.size()));
  }
  std::vector<float> sorted(scores.begin(), scores.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (std::isnan(sorted[i])) {
      throw Error(ErrorCode::kCorrupt,
                  "tokenizer.ggml.scores[" + std::to_string(i) + "]: not a number");
    }
  }
  std::sort(sorted.begin(), sorted.end(), std::greater<float>());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  // Equal scores have equal ranks: then the leftmost pair goes first.
  const auto rank_of = [&](size_t id) {
    if (scores.empty()) return uint32_t{0};
    const auto place =
        std::lower_bound(sorted.begin(), sorted.end(), scores[id], std::greater<float>());
    return static_cast<uint32_t>(place - sorted.begin());
  };

  std::vector<bool> sizes;  // which sizes a spelling can have; spares most look-ups below
  for (const std::string& spelling : spellings_) {
    sizes.resize(std::max(sizes.size(), spelling.size() + 1));
    sizes[spelling.size()] = true;
    for (size_t i = 0; i < spelling.size();) {
      const size_t size = std::min(SizeByFirstByte(spelling[i]), spelling.size() - i);
      const std::string_view character = std::string_view(spelling).substr(i, size);
      if (!character_ids_.contains(character)) {
        const auto token = id_of_.find(character);
        const auto next = static_cast<int32_t>(spellings_.size() + character_ids_.size());
        character_ids_.emplace(character, token == id_of_.end() ? next : token->second);
      }
      i += size;
    }
  }
  const auto id_of_part = [&](std::string_view part) {
    if (part.size() <= 4) {
      const auto character = character_ids_.find(part);
      if (character != character_ids_.end()) return character->second;
    }
    if (!sizes[part.size()]) return -1;
    const auto token = id_of_.find(part);
    return token == id_of_.end() ? -1 : token->second;
  };
  merges_ = MergeTable(spellings_.size() * 4);
  for (size_t id = 0; id < spellings_.size(); ++id) {
    const std::string_view spelling = spellings_[id];
    for (size_t cut = 1; cut < spelling.size(); ++cut) {
      const int32_t left = id_of_part(spelling.substr(0, cut));
      if (left < 0) continue;
      const int32_t right = id_of_part(spelling.substr(cut));
      if (right < 0) continue;
      merges_.Insert(left, right, {rank_of(id), static_cast<int32_t>(id)}, false);
    }
  }
}

void SentencePieceTokenizer::EncodePlain(std::string_view plain, bool after_special,
                                         std::vector<TokenId>& ids) const {
  std::string text = add_space_prefix_ && after_special ? " " : "";
  text += plain;
  ReplaceAll(text, " ", kSpaceMark);

  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    // Damaged UTF-8 isn't replaced: its bytes become byte tokens.
    const size_t size = std::min(SizeByFirstByte(text[i]), text.size() - i);
    const auto found = character_ids_.find(std::string_view(text).substr(i, size));
    symbols.push_back({found == character_ids_.end() ? -1 : found->second, static_cast<uint32_t>(i),
                       static_cast<uint32_t>(size)});
    i += size;
  }
  MergeSymbols(merges_, symbols);
  for (const Symbol& symbol : symbols) {
    if (InRange(symbol.id)) {
      ids.push_back(symbol.id);
      continue;
    }
    for (uint32_t i = symbol.begin; i < symbol.begin + symbol.size; ++i) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(text[i])];
      if (id >= 0) ids.push_back(id);
    }
  }
}

// "gpt2": byte-level BPE with a list of merges.
class ByteLevelTokenizer final : public GgufTokenizer {
 public:
  ByteLevelTokenizer(const GgufVocabulary& vocabulary, GgufPreTokenizer pre_tokenizer)
      : GgufTokenizer(vocabulary, /*add_space_prefix=*/false, pre_tokenizer.adds_bos()),
        pre_tokenizer_(std::move(pre_tokenizer)) {
    FillPieces();
    FillMerges(vocabulary.merges);
    for (int byte = 0; byte < 256; ++byte) {
      byte_symbols_[byte] = Intern(SpellByte(static_cast<unsigned char>(byte)));
    }
  }

 private:
  // The id of a token, or (from vocab_size() on) of a spelling that only merges mention: merging
  // may pass through it on the way to a token.
  int32_t Intern(std::string_view spelling) {
    const auto token = id_of_.find(spelling);
    if (token != id_of_.end()) return token->second;
    const auto next = static_cast<int32_t>(spellings_.size() + detours_.size());
    const auto [place, inserted] = detour_ids_.emplace(spelling, next);
    if (inserted) detours_.emplace_back(spelling);
    return place->second;
  }

  void FillMerges(const std::vector<std::string>& merges);
  void EncodePlain(std::string_view text, bool after_special,
                   std::vector<TokenId>& ids) const override;

  std::string NormalPiece(std::string_view spelling) const override {
    std::string piece;
    for (size_t i = 0; i < spelling.size();) {
      const Utf8Step step = ReadUtf8(spelling, i);
      const std::optional<unsigned char> byte = ByteSpelledBy(step.code);
      if (step.valid && byte) {
        piece += static_cast<char>(*byte);
      } else {
        piece += spelling.substr(i, step.size);
      }
      i += step.size;
    }
    return piece;
  }

  GgufPreTokenizer pre_tokenizer_;
  StringMap<int32_t> detour_ids_;
  std::vector<std::string> detours_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_symbols_;
};

void ByteLevelTokenizer::FillMerges(const std::vector<std::string>& merges) {
  merges_ = MergeTable(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string& merge = merges[rank];
    // The left side is at least one byte, which may be a space.
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      throw Error(ErrorCode::kCorrupt,
                  "tokenizer.ggml.merges[" + std::to_string(rank) + "]: not two tokens");
    }
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    const int32_t left_id = Intern(left), right_id = Intern(right);
    merges_.Insert(left_id, right_id, {static_cast<uint32_t>(rank), Intern(left + right)}, false);
  }
}

void ByteLevelTokenizer::EncodePlain(std::string_view plain, bool,
                                     std::vector<TokenId>& ids) const {
  std::string repaired;
  std::string_view text = plain;
  if (!IsValidUtf8(plain)) text = repaired = ReplaceInvalidBytes(plain);

  std::vector<Symbol> symbols;
  // Words repeat; a word's ids are those of its first occurrence.
  std::unordered_map<std::string_view, TextSpan> known;
  for (const TextSpan span : pre_tokenizer_.Split(text)) {
    const std::string_view word = text.substr(span.begin, span.size());
    const auto [place, unknown] = known.try_emplace(word);
    if (!unknown) {
      for (uint32_t i = place->second.begin; i < place->second.end; ++i) ids.push_back(ids[i]);
      continue;
    }
    place->second.begin = static_cast<uint32_t>(ids.size());
    TokenId whole = -1;
    if (pre_tokenizer_.ignores_merges()) {
      const auto token = id_of_.find(SpellBytes(word));
      if (token != id_of_.end()) whole = token->second;
    }
    if (whole >= 0) {
      ids.push_back(whole);
    } else {
      symbols.clear();
      for (size_t i = 0; i < word.size(); ++i) {
        symbols.push_back(
            {byte_symbols_[static_cast<unsigned char>(word[i])], static_cast<uint32_t>(i), 1});
      }
      MergeSymbols(merges_, symbols);
      for (const Symbol& symbol : symbols) {
        if (InRange(symbol.id)) {
          ids.push_back(symbol.id);
          continue;
        }
        // A detour that led to no token: single bytes of its spelling that are tokens are kept.
        for (const char byte : detours_[symbol.id - vocab_size_]) {
          const auto token = id_of_.find(std::string_view(&byte, 1));
          if (token != id_of_.end()) ids.push_back(token->second);
        }
      }
    }
    place->second.end = static_cast<uint32_t>(ids.size());
  }
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::FromGguf(const GgufVocabulary& vocabulary) {
  if (vocabulary.model == "llama") return std::make_unique<SentencePieceTokenizer>(vocabulary);
  if (vocabulary.model == "gpt2") {
    return std::make_unique<ByteLevelTokenizer>(vocabulary, GgufPreTokenizer(vocabulary.pre));
  }
  throw Error(
      ErrorCode::kUnsupported,
      "tokenizer.ggml.model: unsupported kind of vocabulary " + QuotedName(vocabulary.model),
      "Use a model whose vocabulary is \"llama\" or \"gpt2\".");
}

}  // namespace promptdb
