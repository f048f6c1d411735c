// Names of attention states: digests over everything that the states depend on.
//
// The key of a segment covers the model's fingerprint, the segment's tokens and positions, and the
// keys of all segments it attends to, and so, recursively, their tokens, positions and contexts.
// Two prompts share a state exactly when an uncached run would compute the same numbers for it; in
// particular schemas share modules that lie alike, and `exact` reuse is the case where every
// segment attends to all before it.
#ifndef PROMPTDB_PLANNER_STATE_KEY_H_
#define PROMPTDB_PLANNER_STATE_KEY_H_

#include <span>
#include <string_view>

#include "base/digest.h"
#include "model/model_config.h"
#include "planner/chat_template.h"
#include "storage/kv_format.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

// Everything about the model that states depend on. `content`: digest of the checkpoint's files;
// `weight_dtype`: what weights are computed in ("f32", "bf16").
Digest ModelFingerprint(const Digest& content, const ModelConfig& config, const Digest& tokenizer,
                        const ChatTemplate& chat_template, std::string_view weight_dtype,
                        const KvShape& kv_shape);

// Tokens [begin, end) of the segment that `key` names.
struct AttendedKey {
  Digest key;
  int begin = 0;
  int end = 0;
};

// The digest of what a segment attends to besides itself.
Digest ContextDigest(std::span<const AttendedKey> attended);

Digest StateKey(const Digest& model_fingerprint, const Digest& context,
                std::span<const TokenId> tokens, int start_position);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_STATE_KEY_H_
