// A mapped GGUF file (versions 2 and 3, little-endian): its metadata and where its tensors lie.
//
// The constructor walks the whole header and checks every count, length and offset against the size
// of the file before it is used, and allocates no more than the file's own size warrants. After
// that, every span lies inside the file. It does not know what the keys and tensors mean.
//
// Errors: kIo when the file cannot be mapped; kUnsupported for another version or byte order;
// kCorrupt, naming the key or tensor, for all else.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_MODEL_GGUF_FILE_H_
#define PROMPTDB_MODEL_GGUF_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "model/checkpoint.h"

namespace promptdb {

// The codes are the format's: never to change.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Bytes of the mapped file.
struct GgufValue {
  GgufType type = GgufType::kU8;
  GgufType element_type = GgufType::kU8;  // kArray only
  uint64_t count = 1;                     // elements of an array
  std::span<const std::byte> bytes;       // the scalar, the string's text, or the array's elements
};

struct GgufTensor {
  std::string name;
  std::vector<int64_t> shape;        // row-major, outermost first (the file has it innermost first)
  uint32_t type_code = 0;            // ggml's
  std::optional<TensorDtype> dtype;  // nullopt: a type that we cannot read; then `data` is empty
  std::span<const std::byte> data;
};

// Where the data begins and every tensor in it: at multiples of this, unless general.alignment says
// otherwise.
inline constexpr int64_t kGgufAlignment = 32;
inline constexpr uint32_t kGgufMostDimensions = 4;

// ggml's code of a dtype that we can read.
uint32_t GgmlTypeCode(TensorDtype dtype);

// "Q4_K" for 12; "type 77" for a code that we have no name for.
std::string GgmlTypeName(uint32_t code);

class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  // Values by key; nullopt where the file lacks the key. A value of another kind, or an integer
  // that does not fit, is an Error(kCorrupt) that names the key.
  bool Has(std::string_view key) const { return values_.contains(key); }
  std::optional<int64_t> Integer(std::string_view key) const;
  std::optional<double> Real(std::string_view key) const;
  std::optional<bool> Flag(std::string_view key) const;
  std::optional<std::string> Text(std::string_view key) const;
  std::optional<std::vector<int64_t>> Integers(std::string_view key) const;  // of an array
  std::optional<std::vector<float>> Reals(std::string_view key) const;
  std::optional<std::vector<std::string>> Texts(std::string_view key) const;
  bool IsArray(std::string_view key) const;

  // Throws with ": <file name>" added to the message.
  [[noreturn]] void Corrupt(const std::string& message) const;
  [[noreturn]] void Unsupported(const std::string& message, const std::string& hint = "") const;

 private:
  class Reader;

  const GgufValue* Find(std::string_view key) const;
  GgufValue ReadValue(Reader& reader, const std::string& key) const;
  void ReadMetadata(Reader& reader, uint64_t count);
  void ReadTensors(Reader& reader, uint64_t count);
  void PlaceTensor(GgufTensor& tensor, uint64_t data_begin, uint64_t offset) const;
  void RefuseOverlaps() const;
  int64_t IntegerAt(GgufType type, const std::byte* at, std::string_view key) const;

  MappedFile file_;
  std::map<std::string, GgufValue, std::less<>> values_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_GGUF_FILE_H_
