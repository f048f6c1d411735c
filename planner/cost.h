// What operations are expected to take on this machine.
//
// Thread-safe: immutable.
#ifndef PROMPTDB_PLANNER_COST_H_
#define PROMPTDB_PLANNER_COST_H_

#include <cstdint>
#include <span>

#include "model/model_config.h"
#include "storage/kv_format.h"
#include "storage/machine_rates.h"

namespace promptdb {

// What of a model the time of its forward pass depends on. Borrowed.
struct CostedModel {
  const ModelConfig &config;
  const KvShape &kv_shape;
  int64_t weight_bytes = 0;  // that one token reads
};

// Rows of a forward pass that see `context` keys, and each other causally. Answers that go on
// together over the same keys count as one group, since these are read once for all.
struct CostedRows {
  int64_t rows = 0;
  double context = 0;
  int64_t wanted = 0;  // the last ones, whose logits are wanted
};

// Estimates by a machine's rates: the sum of what the operators of a layer take, each the longer of
// its arithmetic and of its memory traffic, and what starting the threads for it takes.
class CostModel {
 public:
  // Rates of two cores without AVX-512, rounded; they serve until the machine is measured.
  CostModel();
  explicit CostModel(MachineRates rates);

  const MachineRates &rates() const { return rates_; }

  // A forward pass over all `groups`.
  double ForwardMs(const CostedModel &model, std::span<const CostedRows> groups) const;
  // Tokens generated one after another after a prefill, for `rows` answers together: the first one
  // takes no pass of its own. `context`: keys that the first sees.
  double DecodeMs(const CostedModel &model, int64_t rows, double context, int64_t tokens) const;
  // Less than any pass with these operations can take.
  double LeastMs(double flops) const;

  // States read from disk: `bytes`, of which `checked_bytes` were checked before, and the others
  // are now.
  double ReadMs(int64_t bytes, int blocks, int64_t checked_bytes = 0) const;
  // States copied from the host to a device.
  double CopyMs(int64_t bytes) const;
  // States found in memory.
  double PinMs(int blocks) const;
  // States written to disk, durably.
  double StoreMs(int64_t bytes) const;

 private:
  // Of one product, [rows, in] by [out, in].
  struct Product {
    double in = 0;
    double out = 0;
  };
  // How fast one row's memory comes, in a pass over so many bytes of weights and states.
  struct Memory {
    double bytes_per_weight = 0;
    double weight_bytes_per_second = 0;
    double state_bytes_per_second = 0;
  };
  Memory MemoryOf(const CostedModel &model, std::span<const CostedRows> groups) const;
  double ProductSeconds(int64_t rows, const Product &product, const Memory &memory) const;
  double AttentionSeconds(const CostedModel &model, int64_t rows, double context,
                          const Memory &memory) const;

  MachineRates rates_;
  double most_flops_per_second_ = 0;
};

// Floating-point operations of the forward pass over `rows` new tokens that see `keys` keys on
// average: a multiplication and an addition count two. The output head is left out.
double PrefillFlops(const ModelConfig &config, int64_t rows, double keys);

// Weights that one token passes through, the output head included.
int64_t ActiveParameters(const ModelConfig &config);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_COST_H_
