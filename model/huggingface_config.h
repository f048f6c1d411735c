// config.json of a Hugging Face folder, as a ModelConfig.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_HUGGINGFACE_CONFIG_H_
#define PROMPTDB_MODEL_HUGGINGFACE_CONFIG_H_

#include <filesystem>

#include "model/model_config.h"

namespace promptdb {

// Throws Error(kCorrupt), naming the key, where the file is not what it should be, and
// Error(kUnsupported) where it asks for what the forward pass does not do: another architecture or
// activation, a sliding window, other kinds of RoPE scaling, quantized weights.
ModelConfig ReadHuggingFaceConfig(const std::filesystem::path& path);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_HUGGINGFACE_CONFIG_H_
