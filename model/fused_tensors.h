// Projections that a file stores fused or the other way round, as views of the parts that the
// forward pass knows. Nothing is copied.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_FUSED_TENSORS_H_
#define PROMPTDB_MODEL_FUSED_TENSORS_H_

#include <filesystem>

#include "model/model_config.h"
#include "model/model_validation.h"

namespace promptdb {

// How the rows of a fused QKV projection are ordered.
enum class FusedQkv {
  kConcatenated,  // those of Q, then K, then V
  kGrouped,       // for each KV head: its query heads, its K, its V
};

// Puts attn_q, attn_k and attn_v in the place of every blk.N.attn_qkv. Throws Error(kCorrupt) where
// a fused tensor has not the shape that the configuration calls for, or stands beside a part.
// REQUIRES: CheckModelConfig() has passed.
void SplitFusedQkv(FusedQkv order, const ModelConfig& config, const std::filesystem::path& path,
                   TensorMap& tensors);

// Turns the 2-d weights of every layer, which GPT-2's Conv1D has as [in, out], into views of the
// shape [out, in].
void TransposeLayers(const ModelConfig& config, TensorMap& tensors);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_FUSED_TENSORS_H_
