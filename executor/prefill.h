// Prefill: computes the query's own words over the states of the segments before them.
#ifndef PROMPTDB_EXECUTOR_PREFILL_H_
#define PROMPTDB_EXECUTOR_PREFILL_H_

#include <vector>

#include "executor/query_state.h"

namespace promptdb {

// What is wanted of the prompt's last token.
enum class PrefillResult {
  kLogits,  // [vocab]
  kHidden,  // [dim]: its last hidden state
};

// Runs a batch of the query's, as urgent as that is, and counts its tokens. `progress` may be null.
std::vector<float> RunBatch(const ForwardBatch& batch, PrefillResult wanted,
                            ProgressListener* progress, QueryState& query);

// Every segment that `prefill` does not compute must be ready.
std::vector<float> RunPrefill(const PrefillNode& prefill, PrefillResult wanted, QueryState& query);

// Adds what `prefill` computes to a batch that several queries share. False if the prompt's last
// token, whose logits are then wanted, is not among it.
bool AddPrefill(const PrefillNode& prefill, QueryState& query, ForwardBatch& batch);

// Everything below the plan's Prefill: scans, and encodes what the scans miss; but what is ready
// already stays as it is.
void RunBelowPrefill(QueryState& query);

// Everything below and including the plan's Prefill. All segments are ready afterwards.
std::vector<float> RunPrompt(QueryState& query, PrefillResult wanted = PrefillResult::kLogits);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_PREFILL_H_
