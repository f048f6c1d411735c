// How fast a machine is, as ANALYZE measured it and the catalog keeps it.
//
// Thread-safe: plain values, and functions without shared state.
#ifndef PROMPTDB_STORAGE_MACHINE_RATES_H_
#define PROMPTDB_STORAGE_MACHINE_RATES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

// A rate that depends on how much is done at once. Between points it is interpolated, both axes
// logarithmic; outside, that of the nearest point holds.
struct RatePoint {
  int64_t amount = 0;
  double per_second = 0;

  bool operator==(const RatePoint &) const = default;
};
using RateCurve = std::vector<RatePoint>;  // by amount, ascending; never empty

// REQUIRES: amount > 0, and the curve has a point.
double RateAt(const RateCurve &curve, double amount);

// How fast something computes.
struct ComputeRates {
  // Floating-point operations a second, by rows. A multiplication and an addition count two.
  RateCurve linear;     // of products with bf16 weights, besides what follows
  RateCurve attention;  // over bf16 states, by the query rows that share a KV head
  // Values a second that go into products and come out of them, by rows: what makes small products
  // slower than large ones.
  RateCurve linear_values;
  // Bytes a second that one row reads, by how many are read in turns: caches give them sooner.
  RateCurve weights;               // by products
  RateCurve states;                // by attention
  double elements_per_second = 0;  // through norms, activations and sums between products
  double call_seconds = 0;         // to spread work over the threads, and gather it

  bool operator==(const ComputeRates &) const = default;
};

// The processor's own, and what else a query depends on.
struct MachineRates : ComputeRates {
  // Of another processor or number of threads the figures say nothing.
  std::string processor;
  std::string device;  // by its description; "" in rows of releases that knew of none
  int threads = 0;
  int64_t measured_at = 0;  // seconds since 1970; 0: not measured

  RateCurve disk;  // of states read from disk and checked, by the bytes of one state
  // The same of those that were checked before. Empty: not measured, as slow.
  RateCurve disk_again;
  double disk_block_seconds = 0;  // for each block that is read, on top
  // Of states copied from the host to the device. A guess, until it is measured.
  double copy_bytes_per_second = 5e9;
  double store_bytes_per_second = 0;  // of states written, durably
  double store_seconds = 0;           // for each state that is written, on top
  // `device`'s. A row of an earlier release has none.
  std::optional<ComputeRates> on_device;

  bool operator==(const MachineRates &) const = default;
};

// The same for models that compute on the device, as far as it was measured.
MachineRates RatesOnDevice(MachineRates rates);

// As JSON, as it lies in Family::kCatalog. docs/storage-format.md lists the fields.
std::string EncodeRates(const MachineRates &rates);
// Throws Error(kCorrupt) that says what is wrong: a rate that is no positive number, among others.
// kUnsupported for a row of a newer version.
MachineRates DecodeRates(std::string_view row);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_MACHINE_RATES_H_
