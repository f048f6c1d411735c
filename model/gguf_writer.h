// Writes a GGUF file (version 3, little-endian): metadata and tensors are added in the order in
// which the file shall have them, then the file is written as a whole. GgufFile reads it.
//
// The whole file is held in memory until it is written, encoded already.
//
// Not thread-safe: a writer belongs to one thread.
#ifndef PROMPTDB_MODEL_GGUF_WRITER_H_
#define PROMPTDB_MODEL_GGUF_WRITER_H_

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/gguf_file.h"
#include "model/model_config.h"

namespace promptdb {

class GgufWriter {
 public:
  // Metadata. REQUIRES: no key is added twice.
  void AddU32(const std::string& key, uint32_t value);
  void AddF32(const std::string& key, float value);
  void AddBool(const std::string& key, bool value);
  void AddText(const std::string& key, const std::string& value);
  void AddTexts(const std::string& key, std::span<const std::string> values);
  void AddI32s(const std::string& key, std::span<const int32_t> values);
  void AddF32s(const std::string& key, std::span<const float> values);

  // `shape`: row-major, outermost first, one to four extents. `values` are rounded to `dtype` as
  // EncodeTensor() does it.
  // REQUIRES: no name is added twice; as many values as the shape says; rows of whole
  // blocks.
  void AddTensor(const std::string& name, std::span<const int64_t> shape, TensorDtype dtype,
                 std::span<const float> values);

  // The file's contents.
  std::string Bytes() const;

  // Puts them at `path`, all or nothing (see WriteWholeFile). Throws Error(kIo) that names it.
  void Write(const std::filesystem::path& path) const;

 private:
  void BeginValue(const std::string& key, GgufType type);
  void BeginArray(const std::string& key, GgufType type, size_t size);

  std::set<std::string> keys_;
  std::string metadata_;  // as the file has it, without the header before it
  std::set<std::string> names_;
  std::string infos_;  // name, extents, type and offset of every tensor
  std::string data_;   // every tensor begins at a multiple of the alignment
};

// Adds the metadata of a Llama, but for its architecture and name: what describes its shape.
void AddLlamaConfig(const ModelConfig& config, GgufWriter& writer);

// Adds the metadata that FindGgufVocabulary() reads back as `vocabulary`.
void AddGgufVocabulary(const GgufVocabulary& vocabulary, GgufWriter& writer);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_GGUF_WRITER_H_
