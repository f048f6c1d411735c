#include "model/model_config.h"

#include <algorithm>

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
  // What came later counts only where it is used, so that the names of stored states stay.
  const bool is_llama_shaped = norm == NormKind::kRms && positions == PositionScheme::kRope &&
                               mlp == MlpKind::kSwiGlu && !parallel && qkv_clip == 0 && !mlp_bias &&
                               !norm_bias && !two_norms;
  if (is_llama_shaped) return;
  hasher.Add("blocks 1").Add(static_cast<int>(norm)).Add(static_cast<int>(positions));
  hasher.Add(static_cast<int>(mlp)).Add(static_cast<int>(parallel));
  hasher.Add(alibi_max_bias).Add(qkv_clip);
  hasher.Add(static_cast<int>(mlp_bias)).Add(static_cast<int>(norm_bias));
  hasher.Add(static_cast<int>(two_norms));
}

void LimitToSlidingWindow(int window, ModelConfig& config) {
  if (window <= 0) return;
  config.sliding_window = window;
  config.context_length = std::min(config.context_length, window);
}

}  // namespace promptdb
