// Rotary position embedding: pairs of a head's elements are turned by an angle that grows with the
// token's position. Su et al., "RoFormer" (2021).
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_EXECUTOR_ROPE_H_
#define PROMPTDB_EXECUTOR_ROPE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "model/checkpoint.h"
#include "model/model_config.h"

namespace promptdb {

class Rope {
 public:
  // `frequency_factors`: the checkpoint's rope_freqs.weight, or nullptr. It is scaling that the
  // file has worked out already, so `config.rope_scaling` then counts only if it is linear.
  Rope(const ModelConfig& config, const TensorView* frequency_factors);

  // The turns of some rows, for all layers and heads.
  struct Turns {
    std::vector<float> cosines;  // [rows, rope_dims / 2]
    std::vector<float> sines;
  };
  Turns TurnsAt(std::span<const int32_t> positions) const;

  // Turns one head of a row: x and out are [head_dim], and may be the same.
  void Rotate(const Turns& turns, int row, const float* x, float* out) const;

 private:
  int head_dim_;
  int pairs_;
  RopePairing pairing_;
  std::vector<double> frequencies_;  // [pairs], radians per position
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ROPE_H_
