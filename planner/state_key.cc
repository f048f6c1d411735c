#include "planner/state_key.h"

namespace promptdb {

Digest ModelFingerprint(const Digest& content, const ModelConfig& config, const Digest& tokenizer,
                        const ChatTemplate& chat_template, std::string_view weight_dtype,
                        const KvShape& kv_shape) {
  Hasher hasher;
  hasher.Add("model").Add(static_cast<int64_t>(kBlockFormatVersion)).Add(content);
  config.AddTo(hasher);
  hasher.Add(tokenizer);
  chat_template.AddTo(hasher);
  hasher.Add(weight_dtype);
  hasher.Add(kv_shape.layers).Add(kv_shape.kv_heads).Add(kv_shape.head_dim);
  hasher.Add(KvDtypeName(kv_shape.dtype));
  return hasher.Finish();
}

Digest ContextDigest(std::span<const AttendedKey> attended) {
  Hasher hasher;
  hasher.Add("context").Add(static_cast<int64_t>(attended.size()));
  for (const AttendedKey& seen : attended) hasher.Add(seen.key).Add(seen.begin).Add(seen.end);
  return hasher.Finish();
}

Digest StateKey(const Digest& model_fingerprint, const Digest& context,
                std::span<const TokenId> tokens, int start_position) {
  Hasher hasher;
  hasher.Add("state").Add(model_fingerprint).Add(context).Add(start_position).Add(tokens);
  return hasher.Finish();
}

}  // namespace promptdb
