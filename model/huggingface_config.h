// config.json of a Hugging Face folder: a ModelConfig, and how the weights beside it are stored.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_HUGGINGFACE_CONFIG_H_
#define PROMPTDB_MODEL_HUGGINGFACE_CONFIG_H_

#include <filesystem>

#include "model/fused_tensors.h"
#include "model/model_config.h"

namespace promptdb {

struct HuggingFaceConfig {
  ModelConfig model;
  FusedQkv fused_qkv = FusedQkv::kConcatenated;
  bool is_transposed = false;  // the layers' weights are [in, out]
};

// Throws Error(kCorrupt), naming the key, where the file is not what it should be, and
// Error(kUnsupported) where it asks for what the forward pass does not do: another architecture or
// activation, other kinds of RoPE scaling, quantized weights.
HuggingFaceConfig ReadHuggingFaceConfig(const std::filesystem::path& path);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_HUGGINGFACE_CONFIG_H_
