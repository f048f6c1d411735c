#include "tokenizer/bpe_vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/whole_file.h"

namespace promptdb {
namespace {

using nlohmann::ordered_json;

// GGUF's codes of what a token is: never to change.
constexpr int32_t kNormalToken = 1;
constexpr int32_t kControlToken = 3;

std::string Dump(const ordered_json& json, int indent) {
  // A chat template is the caller's text; damage in it is no reason to lose the vocabulary.
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json AddedTokensJson(const BpeVocabulary& vocabulary) {
  ordered_json added = ordered_json::array();
  for (const TokenId id : vocabulary.special_ids) {
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return added;
}

// ByteLevel, and ahead of every text the token that begins it.
ordered_json PostProcessorJson(const BpeVocabulary& vocabulary, const ordered_json& byte_level) {
  if (!vocabulary.adds_bos || !vocabulary.bos_id) return byte_level;
  const std::string& bos = vocabulary.tokens[*vocabulary.bos_id];
  const auto leading = [&](int type_id) {
    return ordered_json{{"SpecialToken", {{"id", bos}, {"type_id", type_id}}}};
  };
  const auto text = [](const char* name, int type_id) {
    return ordered_json{{"Sequence", {{"id", name}, {"type_id", type_id}}}};
  };
  ordered_json special = {{"id", bos},
                          {"ids", ordered_json::array({*vocabulary.bos_id})},
                          {"tokens", ordered_json::array({bos})}};
  ordered_json steps = ordered_json::array({byte_level});
  steps.push_back(
      {{"type", "TemplateProcessing"},
       {"single", ordered_json::array({leading(0), text("A", 0)})},
       {"pair", ordered_json::array({leading(0), text("A", 0), leading(1), text("B", 1)})},
       {"special_tokens", {{bos, std::move(special)}}}});
  return {{"type", "Sequence"}, {"processors", std::move(steps)}};
}

}  // namespace

std::string ToTokenizerJson(const BpeVocabulary& vocabulary) {
  // Special tokens are in model.vocab too: `tokenizers` gives an added token that it doesn't find
  // there the next free id, whatever the file says.
  ordered_json ids = ordered_json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) ids[vocabulary.tokens[id]] = id;
  ordered_json merges = ordered_json::array();
  for (const auto& [left, right] : vocabulary.merges) merges.push_back(left + " " + right);

  const ordered_json byte_level = {{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", true},
                                   {"use_regex", true}};
  ordered_json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},  // every byte has a token: nothing is unknown
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", false},
                        {"vocab", std::move(ids)},
                        {"merges", std::move(merges)}};
  const ordered_json json = {{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", AddedTokensJson(vocabulary)},
                             {"normalizer", nullptr},
                             {"pre_tokenizer", byte_level},
                             {"post_processor", PostProcessorJson(vocabulary, byte_level)},
                             {"decoder", byte_level},
                             {"model", std::move(model)}};
  return Dump(json, 1);
}

std::string ToTokenizerConfigJson(const BpeVocabulary& vocabulary) {
  const auto token_or_null = [&](std::optional<TokenId> id) {
    return id ? ordered_json(vocabulary.tokens[*id]) : ordered_json(nullptr);
  };
  ordered_json json = {{"add_bos_token", vocabulary.adds_bos && vocabulary.bos_id.has_value()},
                       {"add_eos_token", false},
                       {"add_prefix_space", false},
                       {"bos_token", token_or_null(vocabulary.bos_id)},
                       {"clean_up_tokenization_spaces", false},
                       {"eos_token", token_or_null(vocabulary.eos_id)},
                       {"pad_token", token_or_null(vocabulary.pad_id)},
                       {"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"unk_token", token_or_null(vocabulary.unk_id)}};
  if (!vocabulary.chat_template.empty()) json["chat_template"] = vocabulary.chat_template;
  return Dump(json, 2);
}

void WriteTokenizerFiles(const BpeVocabulary& vocabulary, const std::filesystem::path& folder) {
  WriteWholeFile(folder / "tokenizer.json", ToTokenizerJson(vocabulary));
  WriteWholeFile(folder / "tokenizer_config.json", ToTokenizerConfigJson(vocabulary));
}

GgufVocabulary ToGgufVocabulary(const BpeVocabulary& vocabulary) {
  GgufVocabulary gguf;
  gguf.model = "gpt2";
  gguf.pre = "gpt-2";
  gguf.tokens = vocabulary.tokens;
  gguf.token_types.assign(vocabulary.tokens.size(), kNormalToken);
  for (const TokenId id : vocabulary.special_ids) gguf.token_types[id] = kControlToken;
  gguf.merges.reserve(vocabulary.merges.size());
  for (const auto& [left, right] : vocabulary.merges) gguf.merges.push_back(left + " " + right);
  gguf.bos_id = vocabulary.bos_id;
  gguf.eos_id = vocabulary.eos_id;
  gguf.unk_id = vocabulary.unk_id;
  gguf.pad_id = vocabulary.pad_id;
  gguf.add_bos = vocabulary.adds_bos && vocabulary.bos_id.has_value();
  gguf.add_eos = false;
  gguf.chat_template = vocabulary.chat_template;
  return gguf;
}

}  // namespace promptdb
