// Prefill: computes the query's own words over the states of the segments before them.
#ifndef PROMPTDB_EXECUTOR_PREFILL_H_
#define PROMPTDB_EXECUTOR_PREFILL_H_

#include <vector>

#include "executor/query_state.h"

namespace promptdb {

// Returns the logits [vocab] after the prompt's last token. Every segment that `prefill` does not
// compute must be ready.
std::vector<float> RunPrefill(const PrefillNode& prefill, QueryState& query);

// Everything below and including the plan's Prefill: scans, encodes what the scans miss, prefills.
// Returns the logits [vocab] after the prompt's last token; all segments are then ready.
std::vector<float> RunPrompt(QueryState& query);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_PREFILL_H_
