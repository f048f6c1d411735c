// What a decoder-only transformer looks like: shapes, constants and the few choices in which model
// families differ. No weights. A family is values of this struct (see model/model_family.h), never
// a class of its own: the forward pass reads them and nothing else.
#ifndef PROMPTDB_MODEL_MODEL_CONFIG_H_
#define PROMPTDB_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <string>

#include "base/digest.h"

namespace promptdb {

struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1.0;            // kLinear, kLlama3
  double low_freq_factor = 1.0;   // kLlama3
  double high_freq_factor = 4.0;  // kLlama3
  int original_context = 0;       // kLlama3, in tokens
};

// Which two elements of a head RoPE rotates together.
enum class RopePairing {
  kAdjacent,  // (2i, 2i+1): GGUF files of architecture "llama" store Q and K permuted for this
  kHalves,    // (i, i+rope_dims/2): Hugging Face checkpoints, and Qwen in GGUF
};

enum class NormKind {
  kRms,    // x / sqrt(mean(x²) + eps) * weight
  kLayer,  // (x - mean(x)) / sqrt(variance(x) + eps) * weight (+ bias)
};

// How a token's position enters.
enum class PositionScheme {
  kRope,     // Q and K are rotated by it
  kAlibi,    // a score gets -slope * (query's position - key's position), a slope for each head.
             // Press, Smith & Lewis, "Train Short, Test Long" (2022)
  kLearned,  // a row of a table, of one row for each position, is added to the embedding
};

enum class MlpKind {
  kSwiGlu,    // down(silu(gate x) * up x)
  kGeluTanh,  // down(gelu(up x)), where gelu is the approximation by a tanh (GPT-2's "gelu_new")
  kGeluErf,   // the same with x Φ(x) itself
};

struct ModelConfig {
  std::string architecture;  // "llama", "falcon", "mpt", …: as the file says
  int layers = 0;
  int dim = 0;       // width of the residual stream
  int hidden = 0;    // width inside the MLP
  int heads = 0;     // query heads
  int kv_heads = 0;  // heads % kv_heads == 0
  int head_dim = 0;  // need not be dim / heads (Qwen3)
  int vocab = 0;
  int context_length = 0;  // most positions the model was made for
  int sliding_window = 0;  // in tokens; 0: attention reaches back to the first token
  NormKind norm = NormKind::kRms;
  double norm_eps = 1e-5;
  PositionScheme positions = PositionScheme::kRope;
  double rope_theta = 10000.0;  // kRope, and so the next three
  int rope_dims = 0;            // leading elements of a head that are rotated: head_dim, or 0
  RopePairing rope_pairing = RopePairing::kHalves;
  RopeScaling rope_scaling;
  double alibi_max_bias = 0;  // kAlibi: the slopes run from 2^(-max/heads) down to 2^-max
  MlpKind mlp = MlpKind::kSwiGlu;
  // Attention and MLP both read the block's input, and their sum is added to it (Falcon); else the
  // MLP reads what attention has left.
  bool parallel = false;
  double qkv_clip = 0;           // Q, K and V are clamped to ± this (MPT); 0: not
  bool tied_embeddings = false;  // the output head is the embedding table
  // Parts that some models of a family have and others lack are seen from the presence of their
  // tensors; these say what the checkpoint has.
  bool qkv_bias = false;     // on Q, K, V (Qwen2, GPT-2)
  bool output_bias = false;  // on the attention output projection (attention_bias in HF Llama)
  bool mlp_bias = false;     // on both MLP projections; GELU only
  bool norm_bias = false;    // on every norm; kLayer only
  bool qk_norm = false;      // RMSNorm over each head of Q and K (Qwen3)
  bool two_norms = false;    // `parallel` only: attention has a norm of its own (Falcon 40B)

  // Everything above that changes attention states; part of every cache key.
  void AddTo(Hasher& hasher) const;
};

// Attention over a window is not computed; but within a context of the window's size it is the same
// as attention over everything. So the context becomes that, if it was longer. `window`: 0 for
// none.
void LimitToSlidingWindow(int window, ModelConfig& config);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_MODEL_CONFIG_H_
