// A checkpoint in one GGUF file. See Checkpoint.
#ifndef PROMPTDB_MODEL_GGUF_CHECKPOINT_H_
#define PROMPTDB_MODEL_GGUF_CHECKPOINT_H_

#include <filesystem>
#include <memory>
#include <optional>

#include "model/checkpoint.h"
#include "model/gguf_file.h"

namespace promptdb {

class GgufCheckpoint : public Checkpoint {
 public:
  explicit GgufCheckpoint(const std::filesystem::path& path);

  Digest ContentDigest() const override;
  const GgufVocabulary* gguf_vocabulary() const override {
    return vocabulary_.has_value() ? &*vocabulary_ : nullptr;
  }

 private:
  GgufFile file_;
  std::optional<GgufVocabulary> vocabulary_;
};

// The vocabulary in an open file; nullopt where it has none.
std::optional<GgufVocabulary> FindGgufVocabulary(const GgufFile& file);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_GGUF_CHECKPOINT_H_
