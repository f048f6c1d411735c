#include "executor/linear.h"

#ifdef PROMPTDB_TORCH
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <c10/core/InferenceMode.h>
#endif

#include <algorithm>
#include <cstring>
#include <span>

#include "base/error.h"
#include "executor/threads.h"
#include "storage/block_memory.h"

namespace promptdb {
namespace {

#ifdef PROMPTDB_TORCH
constexpr bool kHasTorch = true;
#else
constexpr bool kHasTorch = false;
#endif

// Thresholds in rows, measured on a Zen 3 core. Dots win until the packing of x and the widening of
// weights are small beside their use.
constexpr int kMostDotRows = 56;
constexpr int kLeastTorchBf16Rows = 16;
// Bytes of x that stay in L2.
constexpr int64_t kMostL2Bytes = 300 << 10;
// Multiplications below which waking another thread costs more than it saves.
constexpr int64_t kLeastParallelWork = 1 << 17;

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

// The size of the fewest blocks of `total` that are about even, whole units, and at most `most`.
int EvenBlock(int total, int most, int unit) {
  most = most / unit * unit;
  const int blocks = (total + most - 1) / most;
  return std::min(most, ((total + blocks - 1) / blocks + unit - 1) / unit * unit);
}

// Weights of one dtype, one after the other.
struct Part {
  TensorDtype dtype = TensorDtype::kF32;
  int first = 0;  // output
  int out = 0;
  int64_t row_bytes = 0;
  Bytes weights;  // [out, in]

  bool f32() const { return dtype == TensorDtype::kF32; }
  bool bf16() const { return dtype == TensorDtype::kBf16; }
  int64_t bytes() const { return out * row_bytes; }
  const std::byte* Row(int row) const { return weights.get() + row * row_bytes; }
};

void CopyWeights(const TensorView& weight, TensorDtype kept, std::byte* to) {
  const auto count = static_cast<size_t>(weight.elements());
  if (weight.dtype == kept && weight.layout.in_order()) {
    Copy(weight.data, to);
  } else if (kept == TensorDtype::kBf16) {
    CopyAsBf16(weight, {reinterpret_cast<uint16_t*>(to), count});
  } else {
    CopyAsFloat(weight, {reinterpret_cast<float*>(to), count});
  }
}

}  // namespace

// f32 is what the others are computed in, and they are smaller.
TensorDtype KeptAs(TensorDtype stored, WeightDtype wanted) {
  if (wanted == WeightDtype::kBf16) return TensorDtype::kBf16;
  return stored == TensorDtype::kF16 || IsQuantized(stored) ? stored : TensorDtype::kF32;
}

TensorDtype KeptAs(const TensorView& weight, WeightDtype wanted) {
  // Rows that are not in order are sorted by a conversion.
  return KeptAs(weight.layout.in_order() ? weight.dtype : TensorDtype::kF32, wanted);
}

struct Linear::Rep {
  int in = 0;
  int out = 0;
  std::vector<Part> parts;
  std::vector<float> bias;  // [out], or empty

  const float* Bias(int output) const { return bias.empty() ? nullptr : bias.data() + output; }

  void Apply(LinearPath path, const SimdKernels& kernels, const Part& part, const float* x,
             int rows, float* y) const;
  // Calls work(first output, outputs) for all of the part, in several threads if it is worth it.
  template <typename Work>
  void ForSteps(const Part& part, int rows, const Work& work) const;
  void Dots(const SimdKernels& kernels, const Part& part, const float* x, int rows, float* y) const;
  void Narrow(const SimdKernels& kernels, const Part& part, const float* x, int rows,
              float* y) const;
  void Panels(const SimdKernels& kernels, const Part& part, const float* x, int rows,
              float* y) const;
  void TorchBf16(const SimdKernels& kernels, const Part& part, const float* x, int rows,
                 float* y) const;
  void AddBias(const SimdKernels& kernels, const Part& part, int rows, float* y) const;
};

Linear::Linear(const std::vector<const TensorView*>& weights,
               const std::vector<const TensorView*>& biases, WeightDtype dtype)
    : rep_(std::make_unique<Rep>()) {
  Check(!weights.empty() && weights.size() == biases.size(), "a bias, or nullptr, for each weight");
  rep_->in = static_cast<int>(weights[0]->shape.at(1));
  bool any_bias = false;
  for (size_t i = 0; i < weights.size(); ++i) {
    Check(weights[i]->shape.size() == 2 && weights[i]->shape[1] == rep_->in,
          "stacked weights have the same inputs");
    const TensorDtype kept = KeptAs(*weights[i], dtype);
    if (rep_->parts.empty() || rep_->parts.back().dtype != kept) {
      rep_->parts.push_back({kept, rep_->out, 0, TensorBytes(kept, rep_->in), nullptr});
    }
    rep_->parts.back().out += static_cast<int>(weights[i]->shape[0]);
    rep_->out += static_cast<int>(weights[i]->shape[0]);
    any_bias |= biases[i] != nullptr;
  }

  auto weight = weights.begin();
  for (Part& part : rep_->parts) {
    part.weights = Allocate(part.bytes());
    for (int row = 0; row < part.out; ++weight) {
      CopyWeights(**weight, part.dtype, part.weights.get() + row * part.row_bytes);
      row += static_cast<int>((*weight)->shape[0]);
    }
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
int64_t Linear::bytes() const {
  int64_t bytes = 0;
  for (const Part& part : rep_->parts) bytes += part.bytes();
  return bytes;
}

void Linear::Apply(const float* x, int rows, float* y) const {
  if (rows == 0) return;
  const SimdKernels& kernels = KernelsFor(BestCpuPath());
  for (const Part& part : rep_->parts) {
    LinearPath path = LinearPath::kPanels;
    if (kHasTorch && part.bf16() && HasBf16Instructions() && rows >= kLeastTorchBf16Rows) {
      path = LinearPath::kTorchBf16;
    } else if (IsQuantized(part.dtype) && rows <= kMostNarrowRows) {
      path = LinearPath::kNarrow;
    } else if (rows <= kMostDotRows) {
      path = LinearPath::kDots;
    }
    rep_->Apply(path, kernels, part, x, rows, y);
  }
}

void Linear::ApplyBy(LinearPath path, CpuPath cpu, const float* x, int rows, float* y) const {
  if (rows == 0) return;
  for (const Part& part : rep_->parts) rep_->Apply(path, KernelsFor(cpu), part, x, rows, y);
}

void Linear::Rep::Apply(LinearPath path, const SimdKernels& kernels, const Part& part,
                        const float* x, int rows, float* y) const {
  y += part.first;
  switch (path) {
    case LinearPath::kDots:
      return Dots(kernels, part, x, rows, y);
    case LinearPath::kNarrow:
      return Narrow(kernels, part, x, rows, y);
    case LinearPath::kPanels:
      return Panels(kernels, part, x, rows, y);
    case LinearPath::kTorchBf16:
      return TorchBf16(kernels, part, x, rows, y);
  }
}

template <typename Work>
void Linear::Rep::ForSteps(const Part& part, int rows, const Work& work) const {
  // Steps of some 100 kB, taken in turn: a thread that the system holds up delays one step only.
  constexpr int kStep = 96;
  const int steps = (part.out + kStep - 1) / kStep;
  const int threads = Threads();
#pragma omp parallel for schedule(dynamic, 1) \
    num_threads(threads) if (int64_t{in} * part.out * rows >= kLeastParallelWork)
  for (int step = 0; step < steps; ++step) {
    work(step * kStep, std::min(kStep, part.out - step * kStep));
  }
}

void Linear::Rep::Dots(const SimdKernels& kernels, const Part& part, const float* x, int rows,
                       float* y) const {
  ForSteps(part, rows, [&](int first, int outputs) {
    kernels.dot_rows(x, rows, in, part.Row(first), part.dtype, outputs, Bias(part.first + first),
                     y + first, out);
  });
}

void Linear::Rep::Narrow(const SimdKernels& kernels, const Part& part, const float* x, int rows,
                         float* y) const {
  Check(IsQuantized(part.dtype) && rows <= kMostNarrowRows, "few rows, and quantized weights");
  // Kept for the thread's next product.
  thread_local std::vector<int16_t> values;
  thread_local std::vector<float> factors;  // scales, sums and half sums
  const size_t count = static_cast<size_t>(rows) * in;
  values.resize(count);
  factors.resize(count / 8);
  const NarrowRows narrow{.rows = rows,
                          .in = in,
                          .values = values.data(),
                          .scales = factors.data(),
                          .sums = factors.data() + count / 32,
                          .half_sums = factors.data() + count / 16};
  kernels.narrow_rows(x, rows, in, narrow);
  ForSteps(part, rows, [&](int first, int outputs) {
    kernels.dot_narrow(narrow, part.Row(first), part.dtype, outputs, Bias(part.first + first),
                       y + first, out);
  });
}

void Linear::Rep::Panels(const SimdKernels& kernels, const Part& part, const float* x, int rows,
                         float* y) const {
  // Packed x, shared by all threads.
  const int tile = kernels.column_tile;
  const int panels = (rows + tile - 1) / tile;
  const Bytes x_bytes = Allocate(int64_t{panels} * tile * in * 4);
  float* x_packed = reinterpret_cast<float*>(x_bytes.get());
  const int block_rows = EvenBlock(rows, kMostPanelRows, tile);
  const int row_blocks = (rows + block_rows - 1) / block_rows;
  const int column_blocks = (part.out + kMostPanelOut - 1) / kMostPanelOut;
  // x that stays in L2 is read anew for a few outputs at a time, so that weights are read in order.
  const int step =
      int64_t{block_rows} * in * 4 <= kMostL2Bytes ? 4 * kernels.row_tile : kMostPanelOut;
  const int threads = int64_t{in} * part.out * rows >= kLeastParallelWork ? Threads() : 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#pragma omp for schedule(dynamic, 1)
    for (int panel = 0; panel < panels; ++panel) {
      const int first_row = panel * tile;
      kernels.pack_columns(x + int64_t{first_row} * in, in, std::min(tile, rows - first_row), in,
                           x_packed + int64_t{first_row} * in);
    }
#pragma omp for schedule(dynamic, 1) collapse(2)
    for (int row_block = 0; row_block < row_blocks; ++row_block) {
      for (int column_block = 0; column_block < column_blocks; ++column_block) {
        const int first_row = row_block * block_rows;
        const int last_column = std::min((column_block + 1) * kMostPanelOut, part.out);
        for (int column = column_block * kMostPanelOut; column < last_column; column += step) {
          kernels.multiply_panels(
              x_packed + int64_t{first_row} * in, std::min(block_rows, rows - first_row), in,
              part.Row(column), part.dtype, std::min(step, last_column - column),
              column + step < last_column ? part.Row(column + step) : nullptr,
              Bias(part.first + column), y + int64_t{first_row} * out + column, out);
        }
      }
    }
  }
}

#ifdef PROMPTDB_TORCH
void Linear::Rep::AddBias(const SimdKernels& kernels, const Part& part, int rows, float* y) const {
  if (bias.empty()) return;
  for (int row = 0; row < rows; ++row) {
    kernels.add(y + int64_t{row} * out, Bias(part.first), part.out);
  }
}

void Linear::Rep::TorchBf16(const SimdKernels& kernels, const Part& part, const float* x, int rows,
                            float* y) const {
  Check(part.bf16(), "the weights are bf16");
  const c10::InferenceMode no_gradients;
  ApplyThreads();
  std::vector<uint16_t> narrow(static_cast<size_t>(rows) * in);
  kernels.round_bf16(x, static_cast<int64_t>(narrow.size()), narrow.data());
  const auto options = at::TensorOptions(at::kBFloat16);
  const at::Tensor left = at::from_blob(narrow.data(), {rows, in}, options);
  const at::Tensor right = at::from_blob(part.weights.get(), {part.out, in}, options);
  const at::Tensor result = at::linear(left, right).contiguous();
  const auto* values = static_cast<const uint16_t*>(result.data_ptr());
  for (int row = 0; row < rows; ++row) {
    kernels.widen(values + int64_t{row} * part.out, TensorDtype::kBf16, part.out,
                  y + int64_t{row} * out);
  }
  AddBias(kernels, part, rows, y);
}
#else
void Linear::Rep::TorchBf16(const SimdKernels&, const Part&, const float*, int, float*) const {
  Check(false, "this build has libtorch");
}
#endif

}  // namespace promptdb
