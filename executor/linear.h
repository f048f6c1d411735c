// y = x Wᵀ + b, with weights kept as the checkpoint has them (f32, or bf16 at half the size).
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_EXECUTOR_LINEAR_H_
#define PROMPTDB_EXECUTOR_LINEAR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint.h"

namespace promptdb {

enum class WeightDtype { kF32, kBf16 };

class Linear {
 public:
  // Stacks several [out_i, in] weights into one (fused QKV, gate and up), with their biases (each
  // nullptr, or [out_i]). Where the file holds the very dtype that is wanted, a single weight is used
  // in place, from the mapping, which the caller keeps alive; else it is converted into own memory.
  Linear(const std::vector<const TensorView*>& weights, const std::vector<const TensorView*>& biases,
         WeightDtype dtype);
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;
  ~Linear();

  int in() const;
  int out() const;
  int64_t bytes() const;

  // x [rows, in] f32, y [rows, out] f32. Rows are independent: a row's result does not depend, beyond
  // rounding, on how many others there are.
  void Apply(const float* x, int rows, float* y) const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_LINEAR_H_
