#include "executor/module_scan.h"

namespace promptdb {

bool ScanModule(const ModuleScanNode& scan, QueryState& query) {
  const Stopwatch watch;
  NodeActuals& actual = query.actuals[static_cast<size_t>(scan.id)];
  bool no_room = false;
  auto acquired = query.cache.Acquire(scan.key, &no_room);
  if (no_room) {
    query.sink.OnNotice("cpu_cache has no room for the states of \"" + scan.module + "\" (" +
                        std::to_string(scan.bytes) + " bytes); they are computed again");
  }
  actual.tier = acquired ? acquired->tier : Tier::kMiss;
  if (acquired) {
    query.segments[static_cast<size_t>(scan.segment)] =
        std::make_unique<KvSegment>(std::move(acquired->segment));
    query.cached_tokens += query.Segment(scan.segment).prompt_tokens();
  }
  actual.rows = scan.tokens;
  actual.ms = watch.Milliseconds();
  return acquired.has_value();
}

}  // namespace promptdb
