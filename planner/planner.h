// A bound prompt to a plan: which segments are scanned, which are computed.
//
// A state in memory is taken from there. One on disk is read, unless computing it is cheaper by the
// cost model; into the buffer pool while there is room beside the query's other states, and into
// memory of the query's own after that. For a model on a device, states go on to the device while
// there is room; the others are read in the CPU tier.
#ifndef PROMPTDB_PLANNER_PLANNER_H_
#define PROMPTDB_PLANNER_PLANNER_H_

#include <string>

#include "planner/cost.h"
#include "planner/plan.h"
#include "planner/state_key.h"
#include "storage/state_cache.h"

namespace promptdb {

// What plans depend on besides the prompt.
struct PlanContext {
  const StateCache& cache;
  const ModelConfig& config;
  Digest model_fingerprint;  // see state_key.h
  KvShape kv_shape;
  int64_t weight_bytes = 0;
  CostModel cost;
  Tier home = Tier::kCpu;  // where the model reads states: see StateCache
  // Whether a state on disk may be computed where that is cheaper; else every one is scanned.
  bool may_recompute = true;
};

QueryPlan PlanQuery(BoundPrompt prompt, const PlanContext& context);

// Why the state `key` is not in the cache, by what was last encoded under its label: "never
// encoded", "evicted", "model changed", "moved from position 12", "text changed at token 7",
// "context changed".
std::string MissReason(const StateCache& cache, const std::string& label, const SegmentKeys& keys,
                       const Digest& model_fingerprint, const PromptSegment& segment);

// The label under which a schema's segment is stored: "cities.paris".
std::string StateLabel(const std::string& schema, const std::string& segment);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_PLANNER_H_
