// Encode: computes the states of schema segments that the cache does not have, and stores them.
#ifndef PROMPTDB_EXECUTOR_ENCODE_H_
#define PROMPTDB_EXECUTOR_ENCODE_H_

#include <vector>

#include "executor/query_state.h"

namespace promptdb {

// Computes all `segments` (indices in the prompt, ascending) in one batch; what else they attend to
// must be ready. Each is published in the cache if the query uses it. The time of the batch is
// shared out among the plan's nodes by their floating-point operations.
void EncodeSegments(const std::vector<int>& segments, QueryState& query);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ENCODE_H_
