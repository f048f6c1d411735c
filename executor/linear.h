// y = x Wᵀ + b, with weights about as small as the checkpoint has them. They are copied out of the
// file, into memory that may have huge pages: read in place, through the page table of a mapped
// file, they came a quarter slower.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_EXECUTOR_LINEAR_H_
#define PROMPTDB_EXECUTOR_LINEAR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "executor/simd.h"
#include "model/checkpoint.h"

namespace promptdb {

// What weights may be rounded to. kF32: nothing is; weights that are stored as f16 or quantized
// stay so, since they are computed in f32 from exactly the values that they mean.
enum class WeightDtype { kF32, kBf16 };

// What a weight of that dtype, or that weight, is kept as in memory.
TensorDtype KeptAs(TensorDtype stored, WeightDtype wanted);
TensorDtype KeptAs(const TensorView& weight, WeightDtype wanted);

// How a product is computed; Apply() chooses by the number of rows and by what the CPU has.
enum class LinearPath {
  kDots,       // weights are read where they lie, from memory once: its speed, for few rows
  kNarrow,     // x is rounded to 16 bits: only for quantized weights, and at most kMostNarrowRows
  kPanels,     // x is packed, and weights are widened some at a time: for many rows
  kTorchBf16,  // libtorch in bf16, which rounds x to bf16: only for bf16 weights, and fast only on
               // a CPU with bf16 instructions
};

class Linear {
 public:
  // Stacks several [out_i, in] weights into one (fused QKV, gate and up), with their biases (each
  // nullptr, or [out_i]). Those of one dtype are one product; each other dtype is one of its own.
  // Nothing of them is needed afterwards.
  Linear(const std::vector<const TensorView*>& weights,
         const std::vector<const TensorView*>& biases, WeightDtype dtype);
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;
  ~Linear();

  int in() const;
  int out() const;
  int64_t bytes() const;

  // x [rows, in] f32, y [rows, out] f32. Rows are independent: a row's result does not depend,
  // beyond rounding, on how many others there are.
  void Apply(const float* x, int rows, float* y) const;
  // On a path of the caller's choice, so that tests reach every one.
  // REQUIRES: this CPU has `cpu`, and the path is for such weights and rows.
  void ApplyBy(LinearPath path, CpuPath cpu, const float* x, int rows, float* y) const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_LINEAR_H_
