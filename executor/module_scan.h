// ModuleScan: takes a segment's states from the cache.
#ifndef PROMPTDB_EXECUTOR_MODULE_SCAN_H_
#define PROMPTDB_EXECUTOR_MODULE_SCAN_H_

#include "executor/query_state.h"

namespace promptdb {

// What a query's scans did without a pool, since that had no room: one notice for each tells it.
struct ScansWithoutRoom {
  struct States {
    std::string module;  // the first one's
    int count = 0;
    int64_t bytes = 0;

    void Add(const std::string& added, int64_t added_bytes);
  };
  States on_host;   // in the CPU tier, though the model is on a device
  States read;      // from disk into memory of the query's own
  States computed;  // again, and not stored again

  void Tell(ResultSink& sink) const;
};

// Makes the states of `scan`'s segment ready: pinned in the tier that is the model's home, in the
// CPU tier where a device has no room, or in memory of the query's own where that has none either.
// False when they have to be computed, whatever the plan thought: never encoded, evicted or dropped
// as corrupt since, or cheaper to compute than to read where there is no room.
bool ScanModule(const ModuleScanNode& scan, QueryState& query, ScansWithoutRoom& without_room);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_MODULE_SCAN_H_
