// ANALYZE: how fast a device that computes is at what a forward pass consists of, by the kernels
// and products of DeviceCompute.
//
// Thread-safe: no state; a pass that wants the device meanwhile waits.
#ifndef PROMPTDB_EXECUTOR_DEVICE_ANALYSIS_H_
#define PROMPTDB_EXECUTOR_DEVICE_ANALYSIS_H_

#include <functional>
#include <optional>

#include "device/device_compute.h"
#include "storage/machine_rates.h"

namespace promptdb {

// In some seconds, with at most 300 MB of the device's memory: sizes of a 7B model's layers, or
// toys where the device is slow, as the stand-in is. nullopt where it has no room now. `check` is
// called now and then, and may throw.
std::optional<ComputeRates> MeasureDevice(DeviceCompute& device,
                                          const std::function<void()>& check);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DEVICE_ANALYSIS_H_
