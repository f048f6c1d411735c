// What must hold between a configuration and the tensors of a checkpoint, whatever file they are
// from.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_MODEL_VALIDATION_H_
#define PROMPTDB_MODEL_MODEL_VALIDATION_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoint.h"
#include "model/model_config.h"

namespace promptdb {

using TensorMap = std::map<std::string, TensorView, std::less<>>;

struct RequiredTensor {
  std::string name;  // canonical
  std::vector<int64_t> shape;
};

// Throws Error(kCorrupt) where a number is outside what any model of the family has; afterwards
// every product of two of them fits in 64 bits. heads % kv_heads == 0 and an even head_dim hold,
// too, and only norms of kLayer have a bias.
void CheckModelConfig(const ModelConfig& config, const std::filesystem::path& path);

// Sets the flags of optional parts (qkv_bias, …, two_norms) where a tensor calls for it; never
// clears them.
void DetectOptionalTensors(const TensorMap& tensors, ModelConfig& config);

// Every tensor that the configuration calls for.
std::vector<RequiredTensor> RequiredTensors(const ModelConfig& config);

// Throws Error(kCorrupt) unless the tensor has the shape.
void CheckShape(const TensorView& tensor, std::vector<int64_t> shape,
                const std::filesystem::path& path);

// Throws Error(kCorrupt) where a required tensor is missing or has another shape, and
// Error(kUnsupported) where there is one that the forward pass would ignore. `file_name` turns a
// canonical name into what the file calls it.
void CheckTensors(const ModelConfig& config, const TensorMap& tensors,
                  const std::filesystem::path& path,
                  const std::function<std::string(std::string_view)>& file_name);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_MODEL_VALIDATION_H_
