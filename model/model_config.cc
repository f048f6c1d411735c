#include "model/model_config.h"

#include "base/digest.h"

namespace promptdb {

// The order and the set of these values are part of every cache key: a change makes all stored
// states unreachable, which is right only when states themselves change.
void ModelConfig::AddTo(Hasher& hasher) const {
  hasher.Add("ModelConfig 1").Add(architecture);
  hasher.Add(layers).Add(dim).Add(hidden).Add(heads).Add(kv_heads).Add(head_dim);
  hasher.Add(norm_eps).Add(rope_theta).Add(rope_dims).Add(static_cast<int>(rope_pairing));
  hasher.Add(static_cast<int>(rope_scaling.kind));
  hasher.Add(rope_scaling.factor);
  hasher.Add(rope_scaling.low_freq_factor).Add(rope_scaling.high_freq_factor);
  hasher.Add(rope_scaling.original_context);
  hasher.Add(static_cast<int>(qkv_bias)).Add(static_cast<int>(output_bias));
  hasher.Add(static_cast<int>(qk_norm));
}

}  // namespace promptdb
