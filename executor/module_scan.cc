#include "executor/module_scan.h"

namespace promptdb {

namespace {

void TellOf(const ScansWithoutRoom::States& states, const std::string& setting,
            const std::string& what, ResultSink& sink) {
  if (states.count == 0) return;
  const std::string which =
      states.count == 1 ? "\"" + states.module + "\"" : std::to_string(states.count) + " modules";
  sink.OnNotice(setting + " has no room for the states of " + which + " (" +
                std::to_string(states.bytes) + " bytes); " + what);
}

}  // namespace

void ScansWithoutRoom::States::Add(const std::string& added, int64_t added_bytes) {
  if (count++ == 0) module = added;
  bytes += added_bytes;
}

void ScansWithoutRoom::Tell(ResultSink& sink) const {
  TellOf(on_host, "gpu_cache", "they are read in the CPU tier", sink);
  TellOf(read, "cpu_cache", "they are read from disk for this query alone", sink);
  TellOf(computed, "cpu_cache", "they are computed again, which is cheaper than reading them",
         sink);
}

bool ScanModule(const ModuleScanNode& scan, QueryState& query, ScansWithoutRoom& without_room) {
  const Stopwatch watch;
  NodeActuals& actual = query.actuals[static_cast<size_t>(scan.id)];
  bool no_room = scan.reads_apart;
  std::optional<StateCache::Acquired> acquired;
  const Tier home = scan.lacks_device_room ? Tier::kCpu : query.model.home();
  if (!no_room) acquired = query.cache.Acquire(scan.key, &no_room, home);
  if (acquired && (scan.lacks_device_room || acquired->lacked_device_room)) {
    without_room.on_host.Add(scan.module, scan.bytes);
  }
  if (no_room && scan.is_cheaper_to_read) {
    acquired = query.cache.Read(scan.key);
    if (acquired) without_room.read.Add(scan.module, scan.bytes);
  } else if (no_room) {
    without_room.computed.Add(scan.module, scan.bytes);
  }
  actual.tier = acquired ? acquired->tier : Tier::kMiss;
  if (acquired) {
    query.TakeStates(scan.segment, std::move(acquired->segment));
    query.cached_tokens += query.Segment(scan.segment).prompt_tokens();
  }
  actual.rows = scan.tokens;
  actual.ms = watch.Milliseconds();
  return acquired.has_value();
}

}  // namespace promptdb
