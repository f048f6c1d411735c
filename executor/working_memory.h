// How much memory a planned query may need beside the cache's and the model's: the states that it
// computes, the activations of its passes, and logits.
//
// Thread-safe.
#ifndef PROMPTDB_EXECUTOR_WORKING_MEMORY_H_
#define PROMPTDB_EXECUTOR_WORKING_MEMORY_H_

#include <cstdint>
#include <span>

#include "executor/database.h"
#include "executor/model_registry.h"
#include "executor/query_memory.h"
#include "executor/result.h"
#include "planner/plan.h"

namespace promptdb {

// Bytes at most, of the prompts of one statement, as RunRows() and RunInspect() run them. States
// that are expected in the cache are the cache's own. REQUIRES: `plans` is not empty.
int64_t WorkingMemory(std::span<const QueryPlan> plans, const OpenModel& model);

// The same for segments of a schema, of so many tokens, that are computed for the cache.
int64_t EncodingMemory(int64_t tokens, const OpenModel& model);

// Reserves it for as long as the statement runs; see QueryMemory::Reserve().
QueryMemory::Reservation ReserveMemory(std::span<const QueryPlan> plans, const OpenModel& model,
                                       Database::Rep& database, const ResultSink& sink);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_WORKING_MEMORY_H_
