// What of a schema is cached: the keys of its states, and how much of a part they cover.
//
// Thread-safe: pure functions over thread-safe caches.
#ifndef PROMPTDB_EXECUTOR_SCHEMA_COVERAGE_H_
#define PROMPTDB_EXECUTOR_SCHEMA_COVERAGE_H_

#include <string_view>
#include <vector>

#include "executor/database.h"
#include "planner/planner.h"
#include "planner/schema_states.h"

namespace promptdb {

// The states of a schema's prompts, and their keys.
struct KeyedStates {
  explicit KeyedStates(const OpenSchema& schema);

  SchemaStates states;
  std::vector<SegmentKeys> keys;  // by segment: first the atoms'
};

// What is cached of the atoms of a part, and of the parts in it.
struct Coverage {
  int tokens = 0;
  int64_t bytes = 0;               // of states that are there
  int64_t cpu_bytes = 0;           // those of them in the CPU's memory
  int64_t gpu_bytes = 0;           // those of them in the device's
  bool is_whole = true;            // every atom is on disk
  bool is_whole_in_memory = true;  // and in one memory or the other
  bool is_whole_on_device = true;

  void Add(const Coverage& other);
  std::string_view tier() const;
};

// Of some segments of `keyed`.
Coverage Cover(const std::vector<int>& segments, const KeyedStates& keyed, const StateCache& cache);
// Of a part, as it stands without scaffolds.
Coverage Cover(const LaidOutPart& part, const KeyedStates& keyed, const StateCache& cache);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SCHEMA_COVERAGE_H_
