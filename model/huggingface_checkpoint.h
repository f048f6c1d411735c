// A checkpoint in a Hugging Face folder: config.json and one or several safetensors files. See
// Checkpoint.
#ifndef PROMPTDB_MODEL_HUGGINGFACE_CHECKPOINT_H_
#define PROMPTDB_MODEL_HUGGINGFACE_CHECKPOINT_H_

#include <filesystem>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/safetensors_file.h"

namespace promptdb {

struct TensorNames;

class HuggingFaceCheckpoint : public Checkpoint {
 public:
  explicit HuggingFaceCheckpoint(const std::filesystem::path& folder);

  Digest ContentDigest() const override;

 private:
  void AddTensors(const SafetensorsFile& file, const TensorNames& names);
  void SettleTiedEmbeddings();

  std::vector<SafetensorsFile> files_;
};

// The names of the files in `folder` that make up its checkpoint: the configuration, the
// tokenizer's files and the weights that are in use, sorted.
std::vector<std::string> HuggingFaceFiles(const std::filesystem::path& folder);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_HUGGINGFACE_CHECKPOINT_H_
