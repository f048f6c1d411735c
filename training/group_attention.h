// Attention of a training batch, with its gradient: RoPE (adjacent pairs), grouped-query heads, and
// for each group of rows the spans of rows that it sees.
//
// As in FlashAttention (Dao et al., 2022), only the logarithm of each row's sum is kept for the
// gradient, and the probabilities are computed again. Work is spread over samples and KV heads,
// which share nothing, so the result does not depend on the number of threads.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TRAINING_GROUP_ATTENTION_H_
#define PROMPTDB_TRAINING_GROUP_ATTENTION_H_

#include <torch/torch.h>

#include <memory>
#include <span>
#include <vector>

#include "training/training_batch.h"

namespace promptdb {

struct AttentionShape {
  int heads = 0;
  int kv_heads = 0;  // heads % kv_heads == 0
  int head_dim = 0;  // even
};

// What all layers share.
struct AttentionPlan {
  // `frequencies`: radians that each pair of a head's elements is turned by for every position,
  // [head_dim / 2].
  AttentionPlan(const TrainingBatch& batch, const AttentionShape& shape,
                std::span<const double> frequencies);

  AttentionShape shape;
  std::vector<SampleRows> samples;
  // [rows, head_dim / 2]
  std::vector<float> cosines;
  std::vector<float> sines;
};

// `qkv`: f32 [rows, (heads + 2 * kv_heads) * head_dim], Q before K before V, not rotated yet.
// Returns f32 [rows, heads * head_dim].
torch::Tensor GroupAttention(const torch::Tensor& qkv,
                             const std::shared_ptr<const AttentionPlan>& plan);

}  // namespace promptdb

#endif  // PROMPTDB_TRAINING_GROUP_ATTENTION_H_
