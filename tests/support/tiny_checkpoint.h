// Tiny seeded models that tests write themselves, as a GGUF file or as a Hugging Face folder.
//
// Both forms of one TinyModel hold the same numbers (after the rounding of the dtype), the same
// vocabulary and the same configuration, so that they must give the same logits. The weights come
// from std::mt19937 and are scaled so that activations stay near 1. Byte tokens and control tokens
// get small output rows: greedy text is printable and does not end early.
//
// Thread-safe: plain values. Files are written or the test process ends with a message.
#ifndef PROMPTDB_TESTS_SUPPORT_TINY_CHECKPOINT_H_
#define PROMPTDB_TESTS_SUPPORT_TINY_CHECKPOINT_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/model_config.h"
#include "tests/support/test_folder.h"
#include "tests/support/tiny_vocabulary.h"

namespace promptdb {

struct TinyModel {
  // "llama", "mistral", "qwen2", "qwen3", "falcon", "mpt", "gpt2"
  std::string architecture = "llama";
  int layers = 2;
  int dim = 64;  // dim, hidden and heads * head_dim are whole blocks where weights are quantized
  int hidden = 128;
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 16;
  int vocab = 512;
  int context = 512;
  double norm_eps = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;  // kLlama3 becomes rope_freqs.weight in GGUF
  bool qkv_bias = false;     // true for Qwen2
  bool output_bias = false;
  bool qk_norm = false;       // true for Qwen3
  bool mlp_bias = false;      // true for GPT-2
  bool norm_bias = false;     // true for Falcon and GPT-2
  bool two_norms = false;     // Falcon 40B
  double alibi_max_bias = 8;  // MPT
  double qkv_clip = 0;        // MPT
  bool tied = false;          // true for Falcon, MPT and GPT-2
  TinyVocabularyKind vocabulary = TinyVocabularyKind::kSentencePiece;
  std::string pre;            // tokenizer.ggml.pre; empty: what the vocabulary calls for
  std::string chat_template;  // empty: none
  uint32_t seed = 1;

  // The defaults with what `family` calls for: an architecture, or "llama3" (RoPE scaling, and a
  // vocabulary like its), "codellama" (RoPE's base is 1e6), "smollm" (tied, an odd number of heads)
  // or "falcon40b" (two norms, groups of heads). All but Llama and Mistral have a byte-level
  // vocabulary, Qwen a ChatML template, Falcon one KV head, MPT and GPT-2 as many as query heads,
  // and each its biases and norms.
  static TinyModel Of(const std::string& family);
  // The smallest that still has every kind of tensor and key.
  static TinyModel SmallestOf(const std::string& family);
  // A Llama whose states take 8 KiB a token, so that some are large enough for files of their own.
  static TinyModel WithLargeStates();
  // All that Of() knows.
  static const std::vector<std::string>& Families();
};

// One f32 tensor; Q and K rows are in halves-paired order (see RopePairing).
struct TinyTensor {
  std::string name;  // canonical, see Checkpoint
  // Empty: not stored in a Hugging Face folder. Of a part of a fused projection, that of the whole.
  std::string hugging_face_name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// All tensors of the model, before any rounding. One-dimensional ones hold only values that f16 and
// bf16 represent exactly, since GGUF keeps them in f32.
std::vector<TinyTensor> TinyWeights(const TinyModel& model);

// What tokenizer.ggml.pre says of the model's vocabulary.
std::string PreTokenizerOf(const TinyModel& model);

// Writes the whole model; matrices get `dtype`, one-dimensional tensors F32.
void WriteGguf(const TinyModel& model, const std::filesystem::path& path, TensorDtype dtype);

// Makes `folder` with config.json, tokenizer.json, tokenizer_config.json and one model.safetensors,
// or several shards with model.safetensors.index.json. REQUIRES: dtype is not quantized.
void WriteHuggingFace(const TinyModel& model, const std::filesystem::path& folder,
                      TensorDtype dtype, int shards = 1);

// Rows of a halves-paired Q or K (weight or bias) put in the order that GGUF's "llama" stores.
std::vector<float> PermuteToAdjacent(const std::vector<float>& values, int heads, int head_dim);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TINY_CHECKPOINT_H_
