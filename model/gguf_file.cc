#include "model/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

#include "base/error.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are read as they lie in the file");

constexpr int64_t kLargestExtent = int64_t{1} << 40;
constexpr int64_t kLargestAlignment = 1 << 20;

// 0 for strings, arrays and codes that the format does not have.
size_t ScalarSize(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

const char* TypeName(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64:
      return "an integer";
    case GgufType::kF32:
    case GgufType::kF64:
      return "a real number";
    case GgufType::kBool:
      return "a boolean";
    case GgufType::kString:
      return "a string";
    case GgufType::kArray:
      return "an array";
  }
  return "unknown";
}

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

std::optional<TensorDtype> DtypeOfCode(uint32_t code) {
  for (const TensorDtype dtype : kTensorDtypes) {
    if (GgmlTypeCode(dtype) == code) return dtype;
  }
  return std::nullopt;
}

}  // namespace

uint32_t GgmlTypeCode(TensorDtype dtype) {
  switch (dtype) {
    case TensorDtype::kF32:
      return 0;
    case TensorDtype::kF16:
      return 1;
    case TensorDtype::kQ4_0:
      return 2;
    case TensorDtype::kQ8_0:
      return 8;
    case TensorDtype::kQ4K:
      return 12;
    case TensorDtype::kQ6K:
      return 14;
    case TensorDtype::kBf16:
      return 30;
  }
  Check(false, "a dtype without a code");
  return 0;
}

std::string GgmlTypeName(uint32_t code) {
  static constexpr const char* kNames[] = {
      "F32",     "F16",    "Q4_0",    "Q4_1",  nullptr,  nullptr, "Q5_0",  "Q5_1",
      "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
      "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
      "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16",  nullptr,
      nullptr,   nullptr,  "TQ1_0",   "TQ2_0", nullptr,  nullptr, nullptr, "MXFP4"};
  if (code < std::size(kNames) && kNames[code] != nullptr) return kNames[code];
  return "type " + std::to_string(code);
}

// Takes values off the front of the file and never reads past its end.
class GgufFile::Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file), bytes_(file.bytes()) {}

  template <typename T>
  T Take(const std::string& what) {
    return Load<T>(TakeBytes(sizeof(T), what).data());
  }

  std::span<const std::byte> TakeBytes(uint64_t size, const std::string& what) {
    if (size > remaining()) {
      file_.Corrupt("the file ends inside " + what + ", at byte " + std::to_string(at_) + " of " +
                    std::to_string(bytes_.size()));
    }
    const auto taken = bytes_.subspan(at_, size);
    at_ += size;
    return taken;
  }

  std::span<const std::byte> TakeString(const std::string& what) {
    const auto size = Take<uint64_t>(what);
    return TakeBytes(size, what);
  }

  uint64_t at() const { return at_; }
  uint64_t remaining() const { return bytes_.size() - at_; }

 private:
  const GgufFile& file_;
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

namespace {

std::string TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path) {
  Reader reader(*this);
  if (bytes().size() < 4 || file_.text().substr(0, 4) != "GGUF") {
    Corrupt("the file does not start with \"GGUF\"");
  }
  reader.TakeBytes(4, "the header");
  const auto version = reader.Take<uint32_t>("the header");
  if (version != 0 && (version & 0xffffu) == 0) {
    Unsupported("the file is a big-endian GGUF file", "Convert the model again as little-endian.");
  }
  if (version != 2 && version != 3) {
    Unsupported("GGUF version " + std::to_string(version) + " is not supported",
                "Versions 2 and 3 are.");
  }
  const auto tensor_count = reader.Take<uint64_t>("the header");
  const auto value_count = reader.Take<uint64_t>("the header");
  ReadMetadata(reader, value_count);
  ReadTensors(reader, tensor_count);
}

GgufValue GgufFile::ReadValue(Reader& reader, const std::string& key) const {
  GgufValue value;
  value.type = static_cast<GgufType>(reader.Take<uint32_t>(key));
  if (value.type == GgufType::kString) {
    value.bytes = reader.TakeString(key);
  } else if (value.type == GgufType::kArray) {
    value.element_type = static_cast<GgufType>(reader.Take<uint32_t>(key));
    value.count = reader.Take<uint64_t>(key);
    if (value.element_type == GgufType::kString) {
      const uint64_t begin = reader.at();
      for (uint64_t i = 0; i < value.count; ++i) reader.TakeString(key);
      value.bytes = bytes().subspan(begin, reader.at() - begin);
    } else if (value.element_type == GgufType::kArray) {
      Unsupported(key + " is an array of arrays");
    } else {
      const size_t size = ScalarSize(value.element_type);
      if (size == 0) {
        Corrupt(key + " has elements of unknown type " +
                std::to_string(static_cast<uint32_t>(value.element_type)));
      }
      // Divided and not multiplied: the product could wrap around.
      if (value.count > reader.remaining() / size) {
        Corrupt(key + " claims more elements than the file can hold, " +
                std::to_string(value.count));
      }
      value.bytes = reader.TakeBytes(value.count * size, key);
    }
  } else {
    const size_t size = ScalarSize(value.type);
    if (size == 0) {
      Corrupt(key + " has unknown type " + std::to_string(static_cast<uint32_t>(value.type)));
    }
    value.bytes = reader.TakeBytes(size, key);
  }
  return value;
}

void GgufFile::ReadMetadata(Reader& reader, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    std::string name = TextOf(reader.TakeString("metadata key " + std::to_string(i)));
    const std::string key = "metadata key " + QuotedName(name);
    const GgufValue value = ReadValue(reader, key);
    if (!values_.emplace(std::move(name), value).second) Corrupt(key + " stands there twice");
  }
}

void GgufFile::ReadTensors(Reader& reader, uint64_t count) {
  std::vector<uint64_t> offsets;
  std::set<std::string, std::less<>> names;
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensor tensor;
    tensor.name = TextOf(reader.TakeString("the name of tensor " + std::to_string(i)));
    const std::string what = "tensor " + QuotedName(tensor.name);
    if (!names.insert(tensor.name).second) Corrupt(what + " stands there twice");
    const auto dimensions = reader.Take<uint32_t>(what);
    if (dimensions == 0 || dimensions > kGgufMostDimensions) {
      Corrupt(what + " has a bad number of dimensions, " + std::to_string(dimensions));
    }
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto extent = reader.Take<uint64_t>(what);
      if (extent == 0 || extent > static_cast<uint64_t>(kLargestExtent)) {
        Corrupt(what + " has a bad extent, " + std::to_string(extent));
      }
      tensor.shape.push_back(static_cast<int64_t>(extent));
    }
    std::reverse(tensor.shape.begin(), tensor.shape.end());
    tensor.type_code = reader.Take<uint32_t>(what);
    tensor.dtype = DtypeOfCode(tensor.type_code);
    offsets.push_back(reader.Take<uint64_t>(what));
    tensors_.push_back(std::move(tensor));
  }

  const int64_t alignment = Integer("general.alignment").value_or(kGgufAlignment);
  if (alignment < 8 || alignment > kLargestAlignment || (alignment & (alignment - 1)) != 0) {
    Corrupt("metadata key \"general.alignment\" is not a power of two of at least 8, " +
            std::to_string(alignment));
  }
  const uint64_t data_begin = (reader.at() + alignment - 1) / alignment * alignment;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (offsets[i] % alignment != 0) {
      Corrupt("tensor " + QuotedName(tensors_[i].name) + " is not aligned to " +
              std::to_string(alignment) + " bytes, offset " + std::to_string(offsets[i]));
    }
    PlaceTensor(tensors_[i], data_begin, offsets[i]);
  }
  RefuseOverlaps();
}

void GgufFile::PlaceTensor(GgufTensor& tensor, uint64_t data_begin, uint64_t offset) const {
  if (!tensor.dtype.has_value()) return;  // its size is not ours to know
  const std::string what = "tensor " + QuotedName(tensor.name);
  const uint64_t file_size = bytes().size();
  // No type takes less than half a byte an element, so that more elements than that are refused
  // before any product can wrap around.
  uint64_t elements = 1;
  for (const int64_t extent : tensor.shape) {
    if (static_cast<uint64_t>(extent) > 2 * file_size / elements) {
      Corrupt(what + " has more elements than the file has room for, shape " +
              ShapeText(tensor.shape));
    }
    elements *= static_cast<uint64_t>(extent);
  }
  const int64_t block = BlockOf(*tensor.dtype).elements;
  if (tensor.shape.back() % block != 0) {
    Corrupt(what + " is " + GgmlTypeName(tensor.type_code) +
            " but its rows are not whole blocks of " + std::to_string(block) + ", shape " +
            ShapeText(tensor.shape));
  }
  const uint64_t size = TensorBytes(*tensor.dtype, static_cast<int64_t>(elements));
  if (data_begin > file_size || offset > file_size - data_begin ||
      size > file_size - data_begin - offset) {
    Corrupt(what + " reaches past the end of the file: " + std::to_string(size) +
            " bytes at offset " + std::to_string(offset) + " of the data, which has " +
            std::to_string(data_begin > file_size ? 0 : file_size - data_begin));
  }
  tensor.data = bytes().subspan(data_begin + offset, size);
}

void GgufFile::RefuseOverlaps() const {
  std::vector<const GgufTensor*> placed;
  for (const GgufTensor& tensor : tensors_) {
    if (!tensor.data.empty()) placed.push_back(&tensor);
  }
  std::sort(placed.begin(), placed.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return a->data.data() < b->data.data();
  });
  for (size_t i = 1; i < placed.size(); ++i) {
    if (placed[i - 1]->data.data() + placed[i - 1]->data.size() > placed[i]->data.data()) {
      Corrupt("tensor " + QuotedName(placed[i]->name) + " overlaps tensor " +
              QuotedName(placed[i - 1]->name));
    }
  }
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

bool GgufFile::IsArray(std::string_view key) const {
  const GgufValue* value = Find(key);
  return value != nullptr && value->type == GgufType::kArray;
}

int64_t GgufFile::IntegerAt(GgufType type, const std::byte* at, std::string_view key) const {
  switch (type) {
    case GgufType::kU8:
      return Load<uint8_t>(at);
    case GgufType::kI8:
      return Load<int8_t>(at);
    case GgufType::kU16:
      return Load<uint16_t>(at);
    case GgufType::kI16:
      return Load<int16_t>(at);
    case GgufType::kU32:
      return Load<uint32_t>(at);
    case GgufType::kI32:
      return Load<int32_t>(at);
    case GgufType::kI64:
      return Load<int64_t>(at);
    case GgufType::kU64: {
      const auto value = Load<uint64_t>(at);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        Corrupt("metadata key " + QuotedName(key) + " is too large, " + std::to_string(value));
      }
      return static_cast<int64_t>(value);
    }
    default:
      Corrupt("metadata key " + QuotedName(key) + " should be an integer and is " + TypeName(type));
  }
}

std::optional<int64_t> GgufFile::Integer(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  return IntegerAt(value->type, value->bytes.data(), key);
}

std::optional<double> GgufFile::Real(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufType::kF32) return Load<float>(value->bytes.data());
  if (value->type == GgufType::kF64) return Load<double>(value->bytes.data());
  Corrupt("metadata key " + QuotedName(key) + " should be a real number and is " +
          TypeName(value->type));
}

std::optional<bool> GgufFile::Flag(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufType::kBool) return Load<uint8_t>(value->bytes.data()) != 0;
  Corrupt("metadata key " + QuotedName(key) + " should be a boolean and is " +
          TypeName(value->type));
}

std::optional<std::string> GgufFile::Text(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufType::kString) return TextOf(value->bytes);
  Corrupt("metadata key " + QuotedName(key) + " should be a string and is " +
          TypeName(value->type));
}

std::optional<std::vector<int64_t>> GgufFile::Integers(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kArray) {
    Corrupt("metadata key " + QuotedName(key) + " should be an array and is " +
            TypeName(value->type));
  }
  std::vector<int64_t> integers;
  if (value->count == 0) return integers;
  const size_t size = ScalarSize(value->element_type);
  if (size == 0) {
    Corrupt("metadata key " + QuotedName(key) +
            " should be an array of integers and is of strings");
  }
  integers.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    integers.push_back(IntegerAt(value->element_type, value->bytes.data() + i * size, key));
  }
  return integers;
}

std::optional<std::vector<float>> GgufFile::Reals(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kArray || value->element_type != GgufType::kF32) {
    Corrupt("metadata key " + QuotedName(key) + " should be an array of f32");
  }
  std::vector<float> reals(value->count);
  if (!reals.empty()) std::memcpy(reals.data(), value->bytes.data(), value->bytes.size());
  return reals;
}

std::optional<std::vector<std::string>> GgufFile::Texts(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kArray || value->element_type != GgufType::kString) {
    Corrupt("metadata key " + QuotedName(key) + " should be an array of strings");
  }
  std::vector<std::string> texts;
  texts.reserve(value->count);
  const std::byte* at = value->bytes.data();
  for (uint64_t i = 0; i < value->count; ++i) {  // lengths were checked when the key was read
    const auto size = Load<uint64_t>(at);
    at += sizeof(uint64_t);
    texts.emplace_back(reinterpret_cast<const char*>(at), size);
    at += size;
  }
  return texts;
}

void GgufFile::Corrupt(const std::string& message) const {
  throw Error(ErrorCode::kCorrupt, message + ": " + path().string());
}

void GgufFile::Unsupported(const std::string& message, const std::string& hint) const {
  throw Error(ErrorCode::kUnsupported, message + ": " + path().string(), hint);
}

}  // namespace promptdb
