// What a decoder-only transformer of the Llama family looks like: shapes and constants, no weights.
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

struct ModelConfig {
  std::string architecture;  // "llama", "mistral", "qwen2", "qwen3": as the file says
  int layers = 0;
  int dim = 0;       // width of the residual stream
  int hidden = 0;    // width inside the MLP
  int heads = 0;     // query heads
  int kv_heads = 0;  // heads % kv_heads == 0
  int head_dim = 0;  // need not be dim / heads (Qwen3)
  int vocab = 0;
  int context_length = 0;  // most positions the model was made for
  double norm_eps = 1e-5;  // RMSNorm
  double rope_theta = 10000.0;
  int rope_dims = 0;  // leading elements of a head that are rotated; head_dim in this family
  RopePairing rope_pairing = RopePairing::kHalves;
  RopeScaling rope_scaling;
  bool tied_embeddings = false;  // the output head is the embedding table
  // Bias on Q, K, V (Qwen2) and RMSNorm over each head of Q and K (Qwen3) are seen from the
  // presence of their tensors; these say what the checkpoint has.
  bool qkv_bias = false;
  bool output_bias = false;  // bias on the attention output projection (attention_bias in HF Llama)
  bool qk_norm = false;

  // Everything above that changes attention states; part of every cache key.
  void AddTo(Hasher& hasher) const;
};

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_MODEL_CONFIG_H_
