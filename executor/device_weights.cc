#include "executor/device_weights.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "base/bfloat16.h"
#include "base/error.h"
#include "executor/alibi.h"
#include "executor/threads.h"

namespace promptdb {

namespace {

// Values that are converted and copied at a time.
constexpr int64_t kValuesAtOnce = int64_t{4} << 20;

// Values below which waking another thread costs more than it saves.
constexpr int64_t kLeastParallelValues = int64_t{1} << 16;

int64_t BytesOf(NumberType number) { return number == NumberType::kF32 ? 4 : 2; }

class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, NumberType number, DeviceMemory& device)
      : checkpoint_(checkpoint), number_(number), device_(device) {}

  int64_t bytes() const { return bytes_; }

  DeviceBlock Floats(const std::vector<float>& values) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
    DeviceBlock block = Allocate(bytes);
    Copy(values.data(), bytes, block.address());
    return block;
  }

  DeviceBlock Vector(const std::string& name) {
    const TensorView* tensor = checkpoint_.Find(name);
    if (tensor == nullptr) return {};
    std::vector<float> values(static_cast<size_t>(tensor->elements()));
    CopyAsFloat(*tensor, values);
    return Floats(values);
  }

  DeviceNorm Norm(const std::string& name) {
    return {Vector(name + ".weight"), Vector(name + ".bias")};
  }

  DeviceProduct Product(const std::string& prefix, std::initializer_list<const char*> names) {
    DeviceProduct product;
    std::vector<float> bias;
    bool has_bias = false;
    for (const std::string name : names) {
      const TensorView& weight = checkpoint_.Get(prefix + name + ".weight");
      const TensorView* part = checkpoint_.Find(prefix + name + ".bias");
      product.in = static_cast<int>(weight.shape[1]);
      product.out += static_cast<int>(weight.shape[0]);
      const size_t first = bias.size();
      bias.resize(static_cast<size_t>(product.out));
      if (part == nullptr) continue;
      CopyAsFloat(*part, std::span(bias).subspan(first));
      has_bias = true;
    }
    product.weight = Allocate(int64_t{product.in} * product.out * BytesOf(number_));
    auto to = static_cast<uint64_t>(product.weight.address());
    for (const std::string name : names) {
      const TensorView& weight = checkpoint_.Get(prefix + name + ".weight");
      CopyRows(weight, DeviceAddress{to});
      to += static_cast<uint64_t>(weight.elements() * BytesOf(number_));
    }
    if (has_bias) product.bias = Floats(bias);
    return product;
  }

 private:
  DeviceBlock Allocate(int64_t bytes) {
    DeviceBlock block = AllocateOrThrow(device_, bytes, "the model's weights",
                                        "A smaller gpu_cache, or fewer open models, leave more.");
    bytes_ += bytes;
    return block;
  }

  void CopyRows(const TensorView& tensor, DeviceAddress address) {
    const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
    const int64_t rows_at_once = std::max<int64_t>(1, kValuesAtOnce / columns);
    auto to = static_cast<uint64_t>(address);
    for (int64_t first = 0; first < rows; first += rows_at_once) {
      const int64_t count = std::min(rows_at_once, rows - first);
      values_.resize(static_cast<size_t>(count * columns));
      rounded_.resize(number_ == NumberType::kBf16 ? values_.size() : 0);
      const int threads = count * columns >= kLeastParallelValues ? Threads() : 1;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
      for (int64_t row = 0; row < count; ++row) {
        const auto at = static_cast<size_t>(row * columns);
        const auto width = static_cast<size_t>(columns);
        CopyRowsAsFloat(tensor, first + row, 1, std::span(values_).subspan(at, width));
        if (number_ != NumberType::kBf16) continue;
        for (size_t i = at; i < at + width; ++i) rounded_[i] = Bf16FromFloat(values_[i]);
      }
      const int64_t bytes = count * columns * BytesOf(number_);
      const void* from = number_ == NumberType::kBf16 ? static_cast<const void*>(rounded_.data())
                                                      : static_cast<const void*>(values_.data());
      Copy(from, bytes, DeviceAddress{to});
      to += static_cast<uint64_t>(bytes);
    }
  }

  void Copy(const void* from, int64_t bytes, DeviceAddress to) {
    device_.CopyIn(to, static_cast<const std::byte*>(from), bytes)->Wait();
  }

  const Checkpoint& checkpoint_;
  const NumberType number_;
  DeviceMemory& device_;
  int64_t bytes_ = 0;
  std::vector<float> values_;
  std::vector<uint16_t> rounded_;
};

}  // namespace

DeviceWeights LoadDeviceWeights(const Checkpoint& checkpoint, NumberType number,
                                DeviceMemory& device, ProgressListener* progress) {
  const ModelConfig& config = checkpoint.config();
  WeightLoader loader(checkpoint, number, device);
  DeviceWeights weights;
  weights.number = number;
  weights.embedding = loader.Product("", {"token_embd"});
  if (checkpoint.Find("output.weight") != nullptr) weights.head = loader.Product("", {"output"});
  if (config.positions == PositionScheme::kLearned) {
    weights.learned = loader.Product("", {"position_embd"}).weight;
  } else if (config.positions == PositionScheme::kAlibi) {
    weights.slopes = loader.Floats(AlibiSlopes(config.heads, config.alibi_max_bias));
  }
  weights.final_norm = loader.Norm("output_norm");
  for (int i = 0; i < config.layers; ++i) {
    if (progress != nullptr) {
      if (progress->IsCanceled()) throw Error(ErrorCode::kCanceled, "loading was canceled");
      progress->OnProgress("loading", i, config.layers, "layers");
    }
    const std::string prefix = "blk." + std::to_string(i) + ".";
    DeviceLayer& layer = weights.layers.emplace_back();
    layer.attention_norm = loader.Norm(prefix + (config.two_norms ? "attn_norm_2" : "attn_norm"));
    layer.qkv = loader.Product(prefix, {"attn_q", "attn_k", "attn_v"});
    layer.q_norm = loader.Vector(prefix + "attn_q_norm.weight");
    layer.k_norm = loader.Vector(prefix + "attn_k_norm.weight");
    layer.attention_output = loader.Product(prefix, {"attn_output"});
    layer.mlp_norm = loader.Norm(prefix + (config.parallel ? "attn_norm" : "ffn_norm"));
    layer.up = config.mlp == MlpKind::kSwiGlu ? loader.Product(prefix, {"ffn_gate", "ffn_up"})
                                              : loader.Product(prefix, {"ffn_up"});
    layer.down = loader.Product(prefix, {"ffn_down"});
  }
  if (progress != nullptr) progress->OnProgress("loading", config.layers, config.layers, "layers");
  weights.bytes = loader.bytes();
  return weights;
}

}  // namespace promptdb
