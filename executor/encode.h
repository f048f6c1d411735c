// Encode: computes the states of schema segments that the cache does not have, and stores them.
#ifndef PROMPTDB_EXECUTOR_ENCODE_H_
#define PROMPTDB_EXECUTOR_ENCODE_H_

#include <string>
#include <vector>

#include "executor/query_state.h"
#include "planner/planner.h"

namespace promptdb {

// Computes `segments` (indices in the prompt, ascending), which the cache did not have, in one
// batch; what else they attend to must be ready. Each is published in the cache if the query uses
// it. The time of the batch is shared out among the plan's nodes by their floating-point
// operations. No other query computes any of them at the same time: those that others have computed
// meanwhile are scanned.
void EncodeMissing(std::vector<int> segments, QueryState& query);

// What is stored beside the states of `segment`, a part of `prompt`, computed now.
StateManifest ManifestOf(const PromptSegment& segment, const SegmentKeys& keys,
                         const std::string& label, const BoundPrompt& prompt,
                         const OpenModel& model, double encode_ms);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ENCODE_H_
