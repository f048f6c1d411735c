#include "model/safetensors_file.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/json_file.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

using nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;  // the limit of the format's own library
constexpr size_t kMostDimensions = 8;

struct StoredType {
  const char* name;
  uint64_t size;
  std::optional<TensorDtype> dtype;
};

constexpr StoredType kStoredTypes[] = {
    {"F32", 4, TensorDtype::kF32}, {"F16", 2, TensorDtype::kF16}, {"BF16", 2, TensorDtype::kBf16},
    {"BOOL", 1, std::nullopt},     {"U8", 1, std::nullopt},       {"I8", 1, std::nullopt},
    {"F8_E4M3", 1, std::nullopt},  {"F8_E5M2", 1, std::nullopt},  {"F8_E8M0", 1, std::nullopt},
    {"I16", 2, std::nullopt},      {"U16", 2, std::nullopt},      {"I32", 4, std::nullopt},
    {"U32", 4, std::nullopt},      {"F64", 8, std::nullopt},      {"I64", 8, std::nullopt},
    {"U64", 8, std::nullopt},
};

const StoredType* FindStoredType(const std::string& name) {
  for (const StoredType& type : kStoredTypes) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const uint64_t file_size = bytes().size();
  uint64_t header_size = 0;
  if (file_size < sizeof(header_size)) {
    Corrupt("the file is too short for a header, " + std::to_string(file_size) + " bytes");
  }
  std::memcpy(&header_size, bytes().data(), sizeof(header_size));
  if (header_size > kLargestHeader || header_size > file_size - sizeof(header_size)) {
    Corrupt("the header is larger than the file or than 100 MB, " + std::to_string(header_size) +
            " bytes");
  }
  const json header = ParseJsonObject(file_.text().substr(sizeof(header_size), header_size), path);
  const auto data = bytes().subspan(sizeof(header_size) + header_size);

  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::string what = "tensor " + QuotedName(name);
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
        !entry.contains("shape") || !entry["shape"].is_array() || !entry.contains("data_offsets") ||
        !entry["data_offsets"].is_array()) {
      Corrupt(what + " lacks its dtype, shape or data_offsets");
    }
    SafetensorsTensor tensor;
    tensor.name = name;
    tensor.dtype_name = entry["dtype"].get<std::string>();
    const StoredType* type = FindStoredType(tensor.dtype_name);
    if (type == nullptr) {
      throw Error(
          ErrorCode::kUnsupported,
          what + " has an unknown dtype, " + QuotedName(tensor.dtype_name) + ": " + path.string());
    }
    tensor.dtype = type->dtype;

    uint64_t size = type->size;
    if (entry["shape"].size() > kMostDimensions) Corrupt(what + " has too many dimensions");
    for (const json& extent : entry["shape"]) {
      // An extent that does not fit in 64 bits was parsed as a floating-point number.
      if (!extent.is_number_unsigned()) Corrupt(what + " has a bad extent, " + extent.dump());
      const auto value = extent.get<uint64_t>();
      if (value == 0 || value > file_size / size) {
        Corrupt(what + " is empty or larger than the file, shape " + entry["shape"].dump());
      }
      size *= value;
      tensor.shape.push_back(static_cast<int64_t>(value));
    }
    const json& offsets = entry["data_offsets"];
    if (offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      Corrupt(what + " has bad data_offsets");
    }
    const auto begin = offsets[0].get<uint64_t>();
    const auto end = offsets[1].get<uint64_t>();
    if (begin > end || end > data.size()) {
      Corrupt(what + " reaches past the end of the file: bytes " + std::to_string(begin) + " to " +
              std::to_string(end) + " of the data, which has " + std::to_string(data.size()));
    }
    if (end - begin != size) {
      Corrupt(what + " of shape " + ShapeText(tensor.shape) + " and dtype " + tensor.dtype_name +
              " needs " + std::to_string(size) + " bytes and has " + std::to_string(end - begin));
    }
    tensor.data = data.subspan(begin, size);
    tensors_.push_back(std::move(tensor));
  }
  RefuseGapsAndOverlaps(data);
}

void SafetensorsFile::RefuseGapsAndOverlaps(std::span<const std::byte> data) const {
  std::vector<const SafetensorsTensor*> in_order;
  for (const SafetensorsTensor& tensor : tensors_) in_order.push_back(&tensor);
  std::sort(in_order.begin(), in_order.end(),
            [](const SafetensorsTensor* a, const SafetensorsTensor* b) {
              return a->data.data() < b->data.data();
            });
  const std::byte* at = data.data();
  for (const SafetensorsTensor* tensor : in_order) {
    if (tensor->data.data() != at) {
      Corrupt("tensor " + QuotedName(tensor->name) +
              (tensor->data.data() < at ? " overlaps the tensor before it"
                                        : " does not follow the tensor before it"));
    }
    at += tensor->data.size();
  }
  if (at != data.data() + data.size()) {
    Corrupt("the file has " + std::to_string(data.data() + data.size() - at) +
            " bytes that belong to no tensor");
  }
}

void SafetensorsFile::Corrupt(const std::string& message) const {
  throw Error(ErrorCode::kCorrupt, message + ": " + path().string());
}

}  // namespace promptdb
