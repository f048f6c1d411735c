// A mapped safetensors file: where its tensors lie.
//
// The constructor checks the header against the size of the file: every tensor's byte range equals
// its shape times the size of its dtype, and the ranges cover the data without a gap or an overlap,
// as the format demands. After that, every span lies inside the file; it may be unaligned.
//
// Errors: kIo when the file cannot be mapped, else kCorrupt, naming the tensor.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_MODEL_SAFETENSORS_FILE_H_
#define PROMPTDB_MODEL_SAFETENSORS_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "model/checkpoint.h"

namespace promptdb {

struct SafetensorsTensor {
  std::string name;
  std::string dtype_name;            // as the file says: "BF16", "I64", …
  std::optional<TensorDtype> dtype;  // nullopt: a type that we do not compute with
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }

 private:
  [[noreturn]] void Corrupt(const std::string& message) const;
  void RefuseGapsAndOverlaps(std::span<const std::byte> data) const;

  MappedFile file_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_SAFETENSORS_FILE_H_
