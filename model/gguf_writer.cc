#include "model/gguf_writer.h"

#include "base/error.h"
#include "base/whole_file.h"

namespace promptdb {
namespace {

constexpr uint32_t kVersion = 3;

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendString(std::string& out, const std::string& text) {
  Append(out, static_cast<uint64_t>(text.size()));
  out += text;
}

void Align(std::string& bytes) {
  constexpr size_t kAlignment = kGgufAlignment;
  bytes.resize((bytes.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
}

}  // namespace

void GgufWriter::BeginValue(const std::string& key, GgufType type) {
  Check(keys_.insert(key).second, "a GGUF file has every key once");
  AppendString(metadata_, key);
  Append(metadata_, static_cast<uint32_t>(type));
}

void GgufWriter::BeginArray(const std::string& key, GgufType type, size_t size) {
  BeginValue(key, GgufType::kArray);
  Append(metadata_, static_cast<uint32_t>(type));
  Append(metadata_, static_cast<uint64_t>(size));
}

void GgufWriter::AddU32(const std::string& key, uint32_t value) {
  BeginValue(key, GgufType::kU32);
  Append(metadata_, value);
}

void GgufWriter::AddF32(const std::string& key, float value) {
  BeginValue(key, GgufType::kF32);
  Append(metadata_, value);
}

void GgufWriter::AddBool(const std::string& key, bool value) {
  BeginValue(key, GgufType::kBool);
  Append(metadata_, static_cast<uint8_t>(value));
}

void GgufWriter::AddText(const std::string& key, const std::string& value) {
  BeginValue(key, GgufType::kString);
  AppendString(metadata_, value);
}

void GgufWriter::AddTexts(const std::string& key, std::span<const std::string> values) {
  BeginArray(key, GgufType::kString, values.size());
  for (const std::string& value : values) AppendString(metadata_, value);
}

void GgufWriter::AddI32s(const std::string& key, std::span<const int32_t> values) {
  BeginArray(key, GgufType::kI32, values.size());
  for (const int32_t value : values) Append(metadata_, value);
}

void GgufWriter::AddF32s(const std::string& key, std::span<const float> values) {
  BeginArray(key, GgufType::kF32, values.size());
  for (const float value : values) Append(metadata_, value);
}

void GgufWriter::AddTensor(const std::string& name, std::span<const int64_t> shape,
                           TensorDtype dtype, std::span<const float> values) {
  Check(names_.insert(name).second, "a GGUF file has every tensor once");
  Check(!shape.empty() && shape.size() <= kGgufMostDimensions, "a tensor has 1 to 4 dimensions");
  int64_t elements = 1;
  for (const int64_t extent : shape) {
    Check(extent > 0, "a tensor has no empty dimension");
    elements *= extent;
  }
  Check(elements == static_cast<int64_t>(values.size()), "a tensor has the values of its shape");
  Check(shape.back() % BlockOf(dtype).elements == 0, "rows are whole blocks");
  AppendString(infos_, name);
  Append(infos_, static_cast<uint32_t>(shape.size()));
  for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent) {
    Append(infos_, static_cast<uint64_t>(*extent));  // GGUF counts from the innermost
  }
  Append(infos_, GgmlTypeCode(dtype));
  Append(infos_, static_cast<uint64_t>(data_.size()));
  data_ += EncodeTensor(values, dtype);
  Align(data_);
}

std::string GgufWriter::Bytes() const {
  std::string bytes = "GGUF";
  Append(bytes, kVersion);
  Append(bytes, static_cast<uint64_t>(names_.size()));
  Append(bytes, static_cast<uint64_t>(keys_.size()));
  bytes.reserve(bytes.size() + metadata_.size() + infos_.size() + kGgufAlignment + data_.size());
  bytes += metadata_;
  bytes += infos_;
  Align(bytes);
  bytes += data_;
  return bytes;
}

void GgufWriter::Write(const std::filesystem::path& path) const { WriteWholeFile(path, Bytes()); }

void AddLlamaConfig(const ModelConfig& config, GgufWriter& writer) {
  const auto add = [&](const std::string& key, int value) {
    writer.AddU32("llama." + key, static_cast<uint32_t>(value));
  };
  add("context_length", config.context_length);
  add("embedding_length", config.dim);
  add("block_count", config.layers);
  add("feed_forward_length", config.hidden);
  add("attention.head_count", config.heads);
  add("attention.head_count_kv", config.kv_heads);
  add("rope.dimension_count", config.head_dim);
  writer.AddF32("llama.rope.freq_base", static_cast<float>(config.rope_theta));
  writer.AddF32("llama.attention.layer_norm_rms_epsilon", static_cast<float>(config.norm_eps));
  add("vocab_size", config.vocab);
}

}  // namespace promptdb
