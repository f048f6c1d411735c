// What the files beside a tokenizer.json say about its special tokens: tokenizer_config.json,
// special_tokens_map.json, generation_config.json, config.json and chat_template.jinja, each of
// which may be absent.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_TOKENIZER_TOKENIZER_CONFIG_H_
#define PROMPTDB_TOKENIZER_TOKENIZER_CONFIG_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/json_access.h"

namespace promptdb {

struct TokenizerConfig {
  std::optional<int32_t> bos_id, eos_id, unk_id, pad_id;
  std::optional<bool> adds_bos;  // tokenizer_config.json's word, which goes before the template's
  std::vector<int32_t> end_ids;  // not sorted, may repeat
  std::string chat_template;
};

// `id_of`: the id of a token by its content, or nullopt. Ids must be below `vocab_size`.
TokenizerConfig ReadTokenizerConfig(
    const std::filesystem::path& folder,
    const std::function<std::optional<int32_t>(std::string_view)>& id_of, int vocab_size);

// The special token that the post-processor of a tokenizer.json puts before every text, if any.
std::optional<std::string> LeadingToken(const Json* post_processor);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_TOKENIZER_CONFIG_H_
