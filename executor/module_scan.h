// ModuleScan: takes a segment's states from the cache.
#ifndef PROMPTDB_EXECUTOR_MODULE_SCAN_H_
#define PROMPTDB_EXECUTOR_MODULE_SCAN_H_

#include "executor/query_state.h"

namespace promptdb {

// Pins the states of `scan`'s segment. False when they are not to be had, whatever the plan
// thought: never encoded, evicted or dropped as corrupt since, or larger than the pool has room
// for.
bool ScanModule(const ModuleScanNode& scan, QueryState& query);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_MODULE_SCAN_H_
