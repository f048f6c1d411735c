#include "executor/linear.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "base/error.h"
#include "executor/threads.h"
#include "storage/block_memory.h"

namespace promptdb {
namespace {

// Thresholds in rows, measured on a Zen 3 core. Dots win until the packing of weights, which costs
// the same for any number of rows, is small beside their use; then own tiles win: OpenBLAS needs
// bf16 weights widened first, and only with f32 weights and many rows is it a few percent faster.
constexpr int kMostDotRows = 96;
constexpr int kLeastBlasRows = 256;
constexpr int kLeastTorchBf16Rows = 16;
// Inputs of a packed block: a packed panel of weights, and a strip of x, stay in L1.
constexpr int kBlockDepth = 256;
// Multiplications below which waking another thread costs more than it saves.
constexpr int64_t kLeastParallelWork = 1 << 17;
// Bytes of weights widened at a time for sgemm.
constexpr int64_t kPanelBytes = int64_t{2} << 20;

struct FreeMemory {
  size_t bytes = 0;
  void operator()(std::byte* data) const { FreeBlockMemory(data, bytes); }
};
using Bytes = std::unique_ptr<std::byte[], FreeMemory>;

Bytes Allocate(int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  return {AllocateBlockMemory(size), FreeMemory{size}};
}

// In several threads: page faults of the file and of fresh memory take longer than the copy.
void Copy(std::span<const std::byte> from, std::byte* to) {
  constexpr size_t kStep = size_t{1} << 20;
  const int threads = from.size() > kStep ? Threads() : 1;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
  for (size_t at = 0; at < from.size(); at += kStep) {
    std::memcpy(to + at, from.data() + at, std::min(kStep, from.size() - at));
  }
}

bool HasBf16Instructions() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

}  // namespace

struct Linear::Rep {
  int in = 0;
  int out = 0;
  WeightDtype dtype = WeightDtype::kF32;
  Bytes weights;            // [out, in]
  std::vector<float> bias;  // [out], or empty

  bool bf16() const { return dtype == WeightDtype::kBf16; }
  int64_t element_bytes() const { return bf16() ? 2 : 4; }
  const std::byte* Row(int64_t row) const { return weights.get() + row * in * element_bytes(); }
  const float* Bias(int64_t row) const { return bias.empty() ? nullptr : bias.data() + row; }

  void Dots(const SimdKernels& kernels, const float* x, int rows, float* y) const;
  void Packed(const SimdKernels& kernels, const float* x, int rows, float* y) const;
  void Blas(const SimdKernels& kernels, const float* x, int rows, float* y) const;
  void TorchBf16(const SimdKernels& kernels, const float* x, int rows, float* y) const;
  void AddBias(const SimdKernels& kernels, int rows, float* y) const;
};

Linear::Linear(const std::vector<const TensorView*>& weights,
               const std::vector<const TensorView*>& biases, WeightDtype dtype)
    : rep_(std::make_unique<Rep>()) {
  Check(!weights.empty() && weights.size() == biases.size(), "a bias, or nullptr, for each weight");
  rep_->dtype = dtype;
  rep_->in = static_cast<int>(weights[0]->shape.at(1));
  bool any_bias = false;
  for (size_t i = 0; i < weights.size(); ++i) {
    Check(weights[i]->shape.size() == 2 && weights[i]->shape[1] == rep_->in,
          "stacked weights have the same inputs");
    rep_->out += static_cast<int>(weights[i]->shape[0]);
    any_bias |= biases[i] != nullptr;
  }

  const int64_t element_bytes = rep_->element_bytes();
  const TensorDtype wanted = rep_->bf16() ? TensorDtype::kBf16 : TensorDtype::kF32;
  rep_->weights = Allocate(bytes());
  std::byte* to = rep_->weights.get();
  for (const TensorView* weight : weights) {
    const size_t count = static_cast<size_t>(weight->elements());
    if (weight->dtype == wanted && weight->layout.in_order()) {
      Copy(weight->data, to);
    } else if (rep_->bf16()) {
      CopyAsBf16(*weight, {reinterpret_cast<uint16_t*>(to), count});
    } else {
      CopyAsFloat(*weight, {reinterpret_cast<float*>(to), count});
    }
    to += count * element_bytes;
  }

  if (any_bias) {
    rep_->bias.assign(rep_->out, 0.0f);
    size_t at = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      const size_t count = static_cast<size_t>(weights[i]->shape[0]);
      if (biases[i] != nullptr) CopyAsFloat(*biases[i], {rep_->bias.data() + at, count});
      at += count;
    }
  }
}

Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;
Linear::~Linear() = default;

int Linear::in() const { return rep_->in; }
int Linear::out() const { return rep_->out; }
int64_t Linear::bytes() const { return int64_t{rep_->in} * rep_->out * rep_->element_bytes(); }

void Linear::Apply(const float* x, int rows, float* y) const {
  LinearPath path = LinearPath::kPacked;
  if (rep_->bf16() && HasBf16Instructions() && rows >= kLeastTorchBf16Rows) {
    path = LinearPath::kTorchBf16;
  } else if (rows <= kMostDotRows) {
    path = LinearPath::kDots;
  } else if (!rep_->bf16() && rows >= kLeastBlasRows) {
    path = LinearPath::kBlas;
  }
  ApplyBy(path, BestCpuPath(), x, rows, y);
}

void Linear::ApplyBy(LinearPath path, CpuPath cpu, const float* x, int rows, float* y) const {
  if (rows == 0) return;
  const SimdKernels& kernels = KernelsFor(cpu);
  switch (path) {
    case LinearPath::kDots:
      return rep_->Dots(kernels, x, rows, y);
    case LinearPath::kPacked:
      return rep_->Packed(kernels, x, rows, y);
    case LinearPath::kBlas:
      return rep_->Blas(kernels, x, rows, y);
    case LinearPath::kTorchBf16:
      return rep_->TorchBf16(kernels, x, rows, y);
  }
}

void Linear::Rep::Dots(const SimdKernels& kernels, const float* x, int rows, float* y) const {
  // Steps of some 100 kB, taken in turn: a thread that the system holds up delays one step only.
  constexpr int kStep = 64;
  const int steps = (out + kStep - 1) / kStep;
  const int threads = Threads();
#pragma omp parallel for schedule(dynamic, 1) \
    num_threads(threads) if (int64_t{in} * out * rows >= kLeastParallelWork)
  for (int step = 0; step < steps; ++step) {
    const int first = step * kStep;
    kernels.dot_rows(x, rows, in, Row(first), bf16(), std::min(kStep, out - first), Bias(first),
                     y + first, out);
  }
}

void Linear::Rep::Packed(const SimdKernels& kernels, const float* x, int rows, float* y) const {
  const int padded = kernels.PaddedRows(rows);
  const int tile = kernels.column_tile;
  const int panels = (out + tile - 1) / tile;
  const int depth_blocks = (in + kBlockDepth - 1) / kBlockDepth;
  // Packed x, by block of inputs; shared by all threads.
  const Bytes x_bytes = Allocate(int64_t{padded} * in * 4);
  float* x_packed = reinterpret_cast<float*>(x_bytes.get());
  const int strips = padded / kernels.row_tile;
  const int threads = int64_t{in} * out * rows >= kLeastParallelWork ? Threads() : 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#pragma omp for schedule(dynamic, 4)
    for (int strip = 0; strip < strips; ++strip) {
      const int first_row = strip * kernels.row_tile;
      for (int block = 0; block < depth_blocks; ++block) {
        const int first = block * kBlockDepth;
        const int depth = std::min(kBlockDepth, in - first);
        kernels.pack_rows(
            x + int64_t{first_row} * in + first, in, std::min(kernels.row_tile, rows - first_row),
            depth, x_packed + int64_t{padded} * first + int64_t{strip} * kernels.row_tile * depth);
      }
    }
    alignas(64) float w_packed[kBlockDepth * 64];
#pragma omp for schedule(dynamic, 1)
    for (int panel = 0; panel < panels; ++panel) {
      const int column = panel * tile;
      const int columns = std::min(tile, out - column);
      for (int block = 0; block < depth_blocks; ++block) {
        const int first = block * kBlockDepth;
        const int depth = std::min(kBlockDepth, in - first);
        kernels.pack_columns(Row(column) + first * element_bytes(), in, bf16(), columns, depth,
                             w_packed);
        kernels.multiply_packed(x_packed + int64_t{padded} * first, rows, w_packed, columns, depth,
                                block == 0, Bias(column), y + column, out);
      }
    }
  }
}

void Linear::Rep::AddBias(const SimdKernels& kernels, int rows, float* y) const {
  if (bias.empty()) return;
  for (int row = 0; row < rows; ++row) kernels.add(y + int64_t{row} * out, bias.data(), out);
}

void Linear::Rep::Blas(const SimdKernels& kernels, const float* x, int rows, float* y) const {
  const c10::InferenceMode no_gradients;
  ApplyThreads();
  const auto f32 = at::TensorOptions(at::kFloat);
  const at::Tensor left = at::from_blob(const_cast<float*>(x), {rows, in}, f32);
  const int panel =
      bf16() ? static_cast<int>(std::clamp<int64_t>(kPanelBytes / (int64_t{in} * 4), 1, out)) : out;
  Bytes widened;
  if (bf16()) widened = Allocate(int64_t{panel} * in * 4);
  for (int first = 0; first < out; first += panel) {
    const int columns = std::min(panel, out - first);
    const float* w = reinterpret_cast<const float*>(Row(first));
    if (bf16()) {
      float* wide = reinterpret_cast<float*>(widened.get());
      const int threads = Threads();
#pragma omp parallel for schedule(static) num_threads(threads)
      for (int row = 0; row < columns; ++row) {
        kernels.widen_bf16(reinterpret_cast<const uint16_t*>(Row(first + row)), in,
                           wide + int64_t{row} * in);
      }
      w = wide;
    }
    const at::Tensor right = at::from_blob(const_cast<float*>(w), {columns, in}, f32);
    at::Tensor result = at::from_blob(y + first, {rows, columns}, {out, 1}, f32);
    at::mm_out(result, left, right.t());
  }
  AddBias(kernels, rows, y);
}

void Linear::Rep::TorchBf16(const SimdKernels& kernels, const float* x, int rows, float* y) const {
  Check(bf16(), "the weights are bf16");
  const c10::InferenceMode no_gradients;
  ApplyThreads();
  std::vector<uint16_t> narrow(static_cast<size_t>(rows) * in);
  kernels.round_bf16(x, static_cast<int64_t>(narrow.size()), narrow.data());
  const auto options = at::TensorOptions(at::kBFloat16);
  const at::Tensor left = at::from_blob(narrow.data(), {rows, in}, options);
  const at::Tensor right = at::from_blob(weights.get(), {out, in}, options);
  const at::Tensor result = at::linear(left, right).contiguous();
  kernels.widen_bf16(static_cast<const uint16_t*>(result.data_ptr()), int64_t{rows} * out, y);
  AddBias(kernels, rows, y);
}

}  // namespace promptdb
