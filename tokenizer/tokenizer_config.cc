#include "tokenizer/tokenizer_config.h"

#include "base/mapped_file.h"
#include "tokenizer/characters.h"

namespace promptdb {
namespace {

// nullopt where the file is absent.
std::optional<Json> ReadIfThere(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  return ParseJsonFile(path);
}

// A token is written as its content or as an object with it.
std::optional<std::string> FindToken(const std::optional<Json>& file, const std::string& file_name,
                                     const char* name) {
  if (!file) return std::nullopt;
  const Json* const token = FindMember(*file, file_name, name);
  if (token == nullptr) return std::nullopt;
  const std::string key = JoinKey(file_name, name);
  return token->is_object() ? GetString(*token, key, "content") : AsString(*token, key);
}

// Ids of a number or a list of numbers; negative ones mean "none".
std::vector<int32_t> FindIds(const std::optional<Json>& file, const std::string& file_name,
                             const char* name, int vocab_size) {
  std::vector<int32_t> ids;
  if (!file) return ids;
  const Json* const value = FindMember(*file, file_name, name);
  if (value == nullptr) return ids;
  const std::string key = JoinKey(file_name, name);
  const auto add = [&](const Json& id, const std::string& id_key) {
    if (id.is_number_integer() && !id.is_number_unsigned() && id.get<int64_t>() < 0) return;
    ids.push_back(static_cast<int32_t>(AsCount(id, id_key, vocab_size - 1)));
  };
  if (value->is_array()) {
    for (size_t i = 0; i < value->size(); ++i) add((*value)[i], JoinKey(key, i));
  } else {
    add(*value, key);
  }
  return ids;
}

std::string ReadChatTemplate(const std::optional<Json>& config,
                             const std::filesystem::path& folder) {
  std::error_code error;
  const std::filesystem::path file = folder / "chat_template.jinja";
  if (std::filesystem::exists(file, error)) {
    return ReplaceInvalidUtf8(MappedFile(file).text());
  }
  if (!config) return "";
  const std::string file_name = "tokenizer_config.json";
  const Json* const value = FindMember(*config, file_name, "chat_template");
  if (value == nullptr) return "";
  const std::string key = JoinKey(file_name, "chat_template");
  if (!value->is_array()) return AsString(*value, key);
  // Several templates, by name.
  for (size_t i = 0; i < value->size(); ++i) {
    const std::string entry_key = JoinKey(key, i);
    if (GetString((*value)[i], entry_key, "name") == "default") {
      return GetString((*value)[i], entry_key, "template");
    }
  }
  return "";
}

}  // namespace

TokenizerConfig ReadTokenizerConfig(
    const std::filesystem::path& folder,
    const std::function<std::optional<int32_t>(std::string_view)>& id_of, int vocab_size) {
  const std::optional<Json> tokenizer = ReadIfThere(folder / "tokenizer_config.json");
  const std::optional<Json> special = ReadIfThere(folder / "special_tokens_map.json");
  const std::optional<Json> generation = ReadIfThere(folder / "generation_config.json");
  const std::optional<Json> model = ReadIfThere(folder / "config.json");

  const auto token_id = [&](const char* name) -> std::optional<int32_t> {
    auto content = FindToken(tokenizer, "tokenizer_config.json", name);
    if (!content) content = FindToken(special, "special_tokens_map.json", name);
    return content ? id_of(*content) : std::nullopt;
  };

  TokenizerConfig config;
  config.bos_id = token_id("bos_token");
  config.unk_id = token_id("unk_token");
  config.pad_id = token_id("pad_token");
  config.eos_id = token_id("eos_token");
  if (config.eos_id) config.end_ids.push_back(*config.eos_id);
  for (const auto& [file, name] :
       {std::pair(&generation, "generation_config.json"), std::pair(&model, "config.json")}) {
    for (const int32_t id : FindIds(*file, name, "eos_token_id", vocab_size)) {
      config.end_ids.push_back(id);
    }
    if (!config.bos_id) {
      const std::vector<int32_t> bos = FindIds(*file, name, "bos_token_id", vocab_size);
      if (!bos.empty()) config.bos_id = bos[0];
    }
  }
  if (!config.eos_id && !config.end_ids.empty()) config.eos_id = config.end_ids.front();
  if (tokenizer && FindMember(*tokenizer, "tokenizer_config.json", "add_bos_token") != nullptr) {
    config.adds_bos = GetBool(*tokenizer, "tokenizer_config.json", "add_bos_token", false);
  }
  config.chat_template = ReadChatTemplate(tokenizer, folder);
  return config;
}

std::optional<std::string> LeadingToken(const Json* post_processor) {
  if (post_processor == nullptr) return std::nullopt;
  std::string key = "post_processor";
  const std::string& type = GetString(*post_processor, key, "type");
  if (type == "Sequence") {
    key = JoinKey(key, "processors");
    const Json& steps = AsArray(GetMember(*post_processor, "post_processor", "processors"), key);
    for (size_t i = 0; i < steps.size(); ++i) {
      // Sequences don't nest in any real file; one that does isn't followed.
      if (GetString(steps[i], JoinKey(key, i), "type") != "TemplateProcessing") continue;
      return LeadingToken(&steps[i]);
    }
    return std::nullopt;
  }
  if (type != "TemplateProcessing") return std::nullopt;
  const Json& single = AsArray(GetMember(*post_processor, key, "single"), JoinKey(key, "single"));
  if (single.empty()) return std::nullopt;
  key = JoinKey(JoinKey(key, "single"), size_t{0});
  const Json* const token = FindMember(single[0], key, "SpecialToken");
  if (token == nullptr) return std::nullopt;
  return GetString(*token, JoinKey(key, "SpecialToken"), "id");
}

}  // namespace promptdb
