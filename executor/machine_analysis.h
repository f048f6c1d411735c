// ANALYZE: how fast this machine is at what a query consists of.
//
// Thread-safe: no state. Measurements that run at the same time as other work tell of a slower
// machine.
#ifndef PROMPTDB_EXECUTOR_MACHINE_ANALYSIS_H_
#define PROMPTDB_EXECUTOR_MACHINE_ANALYSIS_H_

#include <string>
#include <vector>

#include "base/progress.h"
#include "base/value.h"
#include "storage/machine_rates.h"
#include "storage/state_cache.h"

namespace promptdb {

class DeviceCompute;

// The processor as the system calls it: "AMD EPYC 9R14". "unknown" where it doesn't say.
const std::string& ProcessorName();

// Whether the rates are of this processor and of the number of threads that is set.
bool AreOfThisMachine(const MachineRates& rates);

// Measures with the number of threads that is set, in some seconds and about 400 MB of memory, and
// 300 MB of the device's. A state of 64 MB is written to `cache` and erased again, also when this
// ends with an Error (kCanceled among others), or, after a crash, when the database is opened next.
MachineRates MeasureMachine(StateCache& cache, DeviceCompute& device, ProgressListener& progress);

// Rows (what, value, unit), as ANALYZE shows them.
std::vector<Column> RatesColumns();
std::vector<std::vector<Value>> RatesRows(const MachineRates& rates);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_MACHINE_ANALYSIS_H_
