#include "tests/support/tiny_vocabulary.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "base/error.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/byte_alphabet.h"

namespace promptdb {
namespace {

using nlohmann::ordered_json;

// What the merges are learnt from. Words are split at spaces and every merge stays inside a word.
constexpr std::string_view kTrainingText =
    "the old harbour town lies between the river and the sea and every morning the boats come home "
    "with fish and stories . when the rain stops the children run to the market where the bakers "
    "sell bread and honey and the teachers read the letters from far away cities . a traveller who "
    "asks for the best place to eat will hear about the little house near the bridge where an old "
    "woman cooks soup with garlic and tells of the winter when the water froze and the whole town "
    "walked over the ice to the island . in summer the museum is open until late and the trains "
    "leave every hour for the mountains , the forest and the lakes in the north . nobody there is "
    "in a hurry and nothing is ever quite the same twice . the answer to your question is that you "
    "should stay for three days , visit the garden , take a boat and listen to the music at night "
    ". Once upon a time there was a little girl who wanted to know what the stars were made of . "
    "She asked her mother and her mother said that they were made of the same things as we are .";

constexpr std::string_view kSpaceMarker = "\u2581";

std::string ByteTokenName(int byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

// Up to `limit` merges of the text's words; `marker` starts every word.
std::vector<SpelledMerge> LearnTrainingMerges(const std::string& marker, int limit) {
  std::map<std::string, int64_t> counts;
  for (size_t begin = 0; begin < kTrainingText.size();) {
    const size_t end = std::min(kTrainingText.find(' ', begin), kTrainingText.size());
    ++counts[marker + std::string(kTrainingText.substr(begin, end - begin))];
    begin = end + 1;
  }
  std::vector<CountedWord> words;
  for (const auto& [word, count] : counts) words.push_back({word, count});
  return LearnMerges(words, static_cast<size_t>(std::max(limit, 0)), /*min_count=*/1);
}

void AddToken(TinyVocabulary& vocabulary, std::string token, int32_t type, float score,
              bool printable) {
  vocabulary.tokens.push_back(std::move(token));
  vocabulary.token_types.push_back(type);
  if (vocabulary.kind == TinyVocabularyKind::kSentencePiece) vocabulary.scores.push_back(score);
  vocabulary.printable.push_back(printable);
}

// A learnt vocabulary may be smaller than the size that was asked for; the rest are unused tokens.
void FillUp(TinyVocabulary& vocabulary, int size) {
  for (int i = 0; static_cast<int>(vocabulary.tokens.size()) < size; ++i) {
    AddToken(vocabulary, "<unused" + std::to_string(i) + ">", 5, -10000.0f, false);
  }
}

TinyVocabulary SentencePieceVocabulary(int size) {
  TinyVocabulary vocabulary;
  vocabulary.kind = TinyVocabularyKind::kSentencePiece;
  AddToken(vocabulary, "<unk>", 2, 0, false);
  AddToken(vocabulary, "<s>", 3, 0, false);
  AddToken(vocabulary, "</s>", 3, 0, false);
  vocabulary.unk_id = 0;
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  for (int byte = 0; byte < 256; ++byte) AddToken(vocabulary, ByteTokenName(byte), 6, 0, false);

  const int kCharacters = 1 + ('~' - '!' + 1);
  const std::string marker(kSpaceMarker);
  const int room = size - static_cast<int>(vocabulary.tokens.size()) - kCharacters;
  std::vector<std::string> pieces;
  for (const auto& [left, right] : LearnTrainingMerges(marker, room))
    pieces.push_back(left + right);
  // As in real files, longer pieces come first and single characters last; score falls with the id.
  float score = 0;
  for (const std::string& piece : pieces) AddToken(vocabulary, piece, 1, score--, true);
  AddToken(vocabulary, marker, 1, score--, true);
  for (char c = '!'; c <= '~'; ++c) AddToken(vocabulary, std::string(1, c), 1, score--, true);

  const std::set<std::string> known(vocabulary.tokens.begin(), vocabulary.tokens.end());
  for (const std::string& piece : pieces) {
    for (size_t at = 1; at < piece.size(); ++at) {
      const std::string left = piece.substr(0, at);
      const std::string right = piece.substr(at);
      if (known.contains(left) && known.contains(right))
        vocabulary.merges.emplace_back(left, right);
    }
  }
  FillUp(vocabulary, size);
  return vocabulary;
}

TinyVocabulary ByteLevelVocabulary(int size) {
  TinyVocabulary vocabulary;
  vocabulary.kind = TinyVocabularyKind::kByteLevel;
  const std::string marker(SpellByte(' '));
  for (const std::string& token : ByteTokens()) {
    const bool printable = token == marker || (token >= "!" && token <= "~");
    AddToken(vocabulary, token, 1, 0, printable);
  }
  constexpr int kSpecialTokens = 3;
  const int room = size - static_cast<int>(vocabulary.tokens.size()) - kSpecialTokens;
  vocabulary.merges = LearnTrainingMerges(marker, room);
  for (const auto& [left, right] : vocabulary.merges)
    AddToken(vocabulary, left + right, 1, 0, true);
  FillUp(vocabulary, size - kSpecialTokens);
  vocabulary.pad_id = static_cast<int32_t>(vocabulary.tokens.size());
  AddToken(vocabulary, "<|endoftext|>", 3, 0, false);
  AddToken(vocabulary, "<|im_start|>", 3, 0, false);
  vocabulary.eos_id = static_cast<int32_t>(vocabulary.tokens.size());
  AddToken(vocabulary, "<|im_end|>", 3, 0, false);
  return vocabulary;
}

}  // namespace

TinyVocabulary MakeTinyVocabulary(TinyVocabularyKind kind, int size) {
  if (kind == TinyVocabularyKind::kSentencePiece) {
    Check(size >= 360, "a tiny SentencePiece-style vocabulary has at least 360 tokens");
    return SentencePieceVocabulary(size);
  }
  Check(size >= 260, "a tiny byte-level vocabulary has at least 260 tokens");
  return ByteLevelVocabulary(size);
}

ordered_json TinyTokenizerJson(const TinyVocabulary& vocabulary, const std::string& pre) {
  const bool sentence_piece = vocabulary.kind == TinyVocabularyKind::kSentencePiece;
  ordered_json added = ordered_json::array();
  ordered_json ids = ordered_json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const int32_t type = vocabulary.token_types[id];
    if (type == 2 || type == 3) {
      added.push_back({{"id", id},
                       {"content", vocabulary.tokens[id]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
      // The special tokens of a byte-level file stand only in added_tokens, as in Qwen's.
      if (!sentence_piece) continue;
    }
    ids[vocabulary.tokens[id]] = id;
  }
  ordered_json merges = ordered_json::array();
  for (const auto& [left, right] : vocabulary.merges) merges.push_back(left + " " + right);

  ordered_json json = {
      {"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added}};
  ordered_json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", sentence_piece},
                        {"byte_fallback", sentence_piece}};
  if (sentence_piece) {
    const std::string marker(kSpaceMarker);
    model["unk_token"] = "<unk>";
    json["normalizer"] = {
        {"type", "Sequence"},
        {"normalizers",
         ordered_json::array(
             {{{"type", "Prepend"}, {"prepend", marker}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", marker}}})}};
    json["pre_tokenizer"] = nullptr;
    ordered_json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
    ordered_json first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    ordered_json second_bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 1}}}};
    ordered_json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    ordered_json special = {{"id", "<s>"},
                            {"ids", ordered_json::array({vocabulary.bos_id})},
                            {"tokens", ordered_json::array({"<s>"})}};
    json["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", ordered_json::array({bos, first})},
                              {"pair", ordered_json::array({bos, first, second_bos, second})},
                              {"special_tokens", {{"<s>", special}}}};
    json["decoder"] = {
        {"type", "Sequence"},
        {"decoders",
         ordered_json::array(
             {{{"type", "Replace"}, {"pattern", {{"String", marker}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}})}};
  } else if (pre != "qwen2" && pre != "llama-bpe") {
    const ordered_json byte_level = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
    json["normalizer"] = pre == "mpt" ? ordered_json{{"type", "NFC"}} : ordered_json(nullptr);
    json["pre_tokenizer"] = byte_level;
    if (pre == "falcon") {
      json["pre_tokenizer"] = {
          {"type", "Sequence"},
          {"pretokenizers",
           ordered_json::array({{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                                byte_level,
                                {{"type", "Digits"}, {"individual_digits", false}},
                                {{"type", "Split"},
                                 {"pattern", {{"Regex", "[0-9][0-9][0-9]"}}},
                                 {"behavior", "Isolated"},
                                 {"invert", false}}})}};
    }
    if (pre == "smollm") {
      json["pre_tokenizer"] = {
          {"type", "Sequence"},
          {"pretokenizers",
           ordered_json::array({{{"type", "Digits"}, {"individual_digits", true}}, byte_level})}};
    }
    json["post_processor"] = byte_level;
    json["decoder"] = byte_level;
  } else {
    // The published patterns of Llama 3's and Qwen2's tokenizers, which differ in how many digits
    // make a word.
    const bool is_llama = pre == "llama-bpe";
    model["ignore_merges"] = is_llama;
    const std::string pattern =
        std::string(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})") +
        (is_llama ? "{1,3}" : "") + R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const ordered_json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", false},
                                     {"use_regex", false}};
    json["normalizer"] = is_llama ? ordered_json(nullptr) : ordered_json{{"type", "NFC"}};
    json["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers", ordered_json::array({{{"type", "Split"},
                                                {"pattern", {{"Regex", pattern}}},
                                                {"behavior", "Isolated"},
                                                {"invert", false}},
                                               byte_level})}};
    json["post_processor"] = byte_level;
    json["decoder"] = byte_level;
  }
  model["vocab"] = std::move(ids);
  model["merges"] = std::move(merges);
  json["model"] = std::move(model);
  return json;
}

ordered_json TinyTokenizerConfigJson(const TinyVocabulary& vocabulary,
                                     const std::string& chat_template) {
  const auto token_or_null = [&](int32_t id) {
    return id < 0 ? ordered_json(nullptr) : ordered_json(vocabulary.tokens[id]);
  };
  const bool sentence_piece = vocabulary.kind == TinyVocabularyKind::kSentencePiece;
  ordered_json json = {
      {"add_bos_token", sentence_piece},
      {"add_eos_token", false},
      {"bos_token", token_or_null(vocabulary.bos_id)},
      {"clean_up_tokenization_spaces", false},
      {"eos_token", token_or_null(vocabulary.eos_id)},
      {"pad_token", token_or_null(vocabulary.pad_id)},
      {"tokenizer_class", sentence_piece ? "LlamaTokenizer" : "Qwen2Tokenizer"},
      {"unk_token", token_or_null(vocabulary.unk_id)},
  };
  if (!chat_template.empty()) json["chat_template"] = chat_template;
  return json;
}

}  // namespace promptdb
