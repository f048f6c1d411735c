#include "model/checkpoint.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "model/gguf_checkpoint.h"
#include "model/huggingface_checkpoint.h"

namespace promptdb {
namespace {

// std::filesystem's clock has no epoch to rely on, so stat() is asked itself.
std::string FileFingerprint(const std::filesystem::path& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) {
    throw Error(ErrorCode::kIo,
                "a model file cannot be read: " + path.string() + ": " + std::strerror(errno));
  }
  return std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

}  // namespace

std::unique_ptr<Checkpoint> Checkpoint::Open(const std::filesystem::path& path) {
  try {
    if (!std::filesystem::exists(path)) {
      throw Error(ErrorCode::kIo, "there is no such file or folder: " + path.string());
    }
    if (std::filesystem::is_directory(path)) return std::make_unique<HuggingFaceCheckpoint>(path);
    return std::make_unique<GgufCheckpoint>(path);
  } catch (const std::filesystem::filesystem_error& error) {
    throw Error(ErrorCode::kIo,
                "a model file cannot be read: " + path.string() + ": " + error.code().message());
  }
}

const TensorView* Checkpoint::Find(std::string_view canonical_name) const {
  const auto it = tensors_.find(canonical_name);
  return it == tensors_.end() ? nullptr : &it->second;
}

const TensorView& Checkpoint::Get(std::string_view canonical_name) const {
  const TensorView* tensor = Find(canonical_name);
  Check(tensor != nullptr, "a tensor that the configuration calls for is in the checkpoint");
  return *tensor;
}

TensorDtype Checkpoint::weight_dtype() const {
  std::array<int64_t, kTensorDtypes.size()> elements = {};
  for (const auto& [name, tensor] : tensors_) {
    if (tensor.shape.size() == 2) {
      elements[static_cast<size_t>(tensor.dtype)] += tensor.elements();
    }
  }
  size_t most = 0;
  for (size_t i = 1; i < elements.size(); ++i) {
    if (elements[i] > elements[most]) most = i;
  }
  return static_cast<TensorDtype>(most);
}

std::string CheckpointFingerprint(const std::filesystem::path& path) {
  try {
    if (!std::filesystem::is_directory(path)) return FileFingerprint(path);
    std::string fingerprint;
    for (const std::string& name : HuggingFaceFiles(path)) {
      fingerprint += name + " " + FileFingerprint(path / name) + "\n";
    }
    return fingerprint;
  } catch (const std::filesystem::filesystem_error& error) {
    throw Error(ErrorCode::kIo,
                "a model file cannot be read: " + path.string() + ": " + error.code().message());
  }
}

}  // namespace promptdb
