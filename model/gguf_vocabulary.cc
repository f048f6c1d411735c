#include <limits>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/gguf_checkpoint.h"
#include "model/gguf_writer.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

constexpr size_t kMostTokens = size_t{1} << 22;

// Writers store -1, in whatever width, for a token that the vocabulary does not have.
std::optional<int32_t> TokenId(const GgufFile& file, const std::string& key, size_t tokens) {
  const std::optional<int64_t> id = file.Integer(key);
  if (!id.has_value() || *id == -1 || *id == std::numeric_limits<uint32_t>::max()) {
    return std::nullopt;
  }
  if (*id < 0 || *id >= static_cast<int64_t>(tokens)) {
    file.Corrupt("metadata key " + QuotedName(key) + " is outside the vocabulary of " +
                 std::to_string(tokens) + " tokens, " + std::to_string(*id));
  }
  return static_cast<int32_t>(*id);
}

void CheckSize(const GgufFile& file, const std::string& key, size_t size, size_t tokens) {
  if (size == tokens) return;
  file.Corrupt("metadata key " + QuotedName(key) + " should have " + std::to_string(tokens) +
               " elements and has " + std::to_string(size));
}

}  // namespace

std::optional<GgufVocabulary> FindGgufVocabulary(const GgufFile& file) {
  std::optional<std::vector<std::string>> tokens = file.Texts("tokenizer.ggml.tokens");
  if (!tokens.has_value()) return std::nullopt;
  GgufVocabulary vocabulary;
  vocabulary.tokens = std::move(*tokens);
  const size_t size = vocabulary.tokens.size();
  if (size == 0 || size > kMostTokens) {
    file.Corrupt("metadata key \"tokenizer.ggml.tokens\" has a bad number of tokens, " +
                 std::to_string(size));
  }
  std::optional<std::string> model = file.Text("tokenizer.ggml.model");
  if (!model.has_value()) file.Corrupt("metadata key \"tokenizer.ggml.model\" is missing");
  vocabulary.model = std::move(*model);
  vocabulary.pre = file.Text("tokenizer.ggml.pre").value_or("");

  if (auto scores = file.Reals("tokenizer.ggml.scores"); scores.has_value()) {
    CheckSize(file, "tokenizer.ggml.scores", scores->size(), size);
    vocabulary.scores = std::move(*scores);
  }
  if (auto types = file.Integers("tokenizer.ggml.token_type"); types.has_value()) {
    CheckSize(file, "tokenizer.ggml.token_type", types->size(), size);
    vocabulary.token_types.reserve(size);
    for (const int64_t type : *types) {
      if (type < 0 || type > 6) {
        file.Corrupt("metadata key \"tokenizer.ggml.token_type\" has a value outside 0 to 6, " +
                     std::to_string(type));
      }
      vocabulary.token_types.push_back(static_cast<int32_t>(type));
    }
  }
  vocabulary.merges = file.Texts("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  vocabulary.bos_id = TokenId(file, "tokenizer.ggml.bos_token_id", size);
  vocabulary.eos_id = TokenId(file, "tokenizer.ggml.eos_token_id", size);
  vocabulary.unk_id = TokenId(file, "tokenizer.ggml.unknown_token_id", size);
  vocabulary.pad_id = TokenId(file, "tokenizer.ggml.padding_token_id", size);
  vocabulary.eot_id = TokenId(file, "tokenizer.ggml.eot_token_id", size);
  vocabulary.add_bos = file.Flag("tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = file.Flag("tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = file.Flag("tokenizer.ggml.add_space_prefix");
  vocabulary.remove_extra_whitespaces = file.Flag("tokenizer.ggml.remove_extra_whitespaces");
  vocabulary.chat_template = file.Text("tokenizer.chat_template").value_or("");
  return vocabulary;
}

GgufVocabulary ReadGgufVocabulary(const std::filesystem::path& path) {
  const GgufFile file(path);
  std::optional<GgufVocabulary> vocabulary = FindGgufVocabulary(file);
  if (!vocabulary.has_value()) {
    file.Corrupt("metadata key \"tokenizer.ggml.tokens\" is missing");
  }
  return std::move(*vocabulary);
}

void AddGgufVocabulary(const GgufVocabulary& vocabulary, GgufWriter& writer) {
  const auto key = [](const char* name) { return std::string("tokenizer.ggml.") + name; };
  const auto add_id = [&](const char* name, std::optional<int32_t> id) {
    if (id.has_value()) writer.AddU32(key(name), static_cast<uint32_t>(*id));
  };
  const auto add_flag = [&](const char* name, std::optional<bool> flag) {
    if (flag.has_value()) writer.AddBool(key(name), *flag);
  };
  writer.AddText(key("model"), vocabulary.model);
  if (!vocabulary.pre.empty()) writer.AddText(key("pre"), vocabulary.pre);
  writer.AddTexts(key("tokens"), vocabulary.tokens);
  if (!vocabulary.token_types.empty()) writer.AddI32s(key("token_type"), vocabulary.token_types);
  if (!vocabulary.scores.empty()) writer.AddF32s(key("scores"), vocabulary.scores);
  // llama.cpp asks for the merges of byte-level BPE even where there are none.
  if (vocabulary.model == "gpt2" || !vocabulary.merges.empty()) {
    writer.AddTexts(key("merges"), vocabulary.merges);
  }
  add_id("bos_token_id", vocabulary.bos_id);
  add_id("eos_token_id", vocabulary.eos_id);
  add_id("unknown_token_id", vocabulary.unk_id);
  add_id("padding_token_id", vocabulary.pad_id);
  add_id("eot_token_id", vocabulary.eot_id);
  add_flag("add_bos_token", vocabulary.add_bos);
  add_flag("add_eos_token", vocabulary.add_eos);
  add_flag("add_space_prefix", vocabulary.add_space_prefix);
  add_flag("remove_extra_whitespaces", vocabulary.remove_extra_whitespaces);
  if (!vocabulary.chat_template.empty()) {
    writer.AddText("tokenizer.chat_template", vocabulary.chat_template);
  }
}

}  // namespace promptdb
