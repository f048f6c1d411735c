// What operations are expected to take on this machine.
#ifndef PROMPTDB_PLANNER_COST_H_
#define PROMPTDB_PLANNER_COST_H_

#include <cstdint>

#include "model/model_config.h"

namespace promptdb {

// Rates of a machine. The defaults are those of two cores without AVX-512, rounded; they serve
// until they are measured.
struct CostModel {
  double flops_per_second = 1e11;         // of a prefill of many rows
  double weight_bytes_per_second = 2e10;  // of a decode step, which reads every weight once
  double cpu_bytes_per_second = 1.5e10;   // states in memory, read by attention
  double disk_bytes_per_second = 3e9;     // states on disk, read and checked
};

// Floating-point operations of the forward pass over `rows` new tokens that see `keys` keys on
// average: a multiplication and an addition count two. The output head is left out.
double PrefillFlops(const ModelConfig& config, int64_t rows, double keys);

// Weights that one token passes through, the output head included.
int64_t ActiveParameters(const ModelConfig& config);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_COST_H_
