// Runs a plan from its scans to its last generated token: what SELECT GENERATE, EXPLAIN ANALYZE and
// CONTINUE have in common.
//
// Not thread-safe: a run belongs to one statement. The plan and the model are only read.
#ifndef PROMPTDB_EXECUTOR_QUERY_RUN_H_
#define PROMPTDB_EXECUTOR_QUERY_RUN_H_

#include <functional>
#include <span>
#include <vector>

#include "executor/decode.h"
#include "executor/query_state.h"
#include "executor/result.h"
#include "planner/plan.h"

namespace promptdb {

struct QueryOutcome {
  Generation generation;
  int cached_tokens = 0;
  double ttft_ms = 0;  // planning included, loading of the model not
  double total_ms = 0;
  std::vector<NodeActuals> actuals;
};

// What is done with the states and the generation before they are gone. Its time counts.
using AfterDecode = std::function<void(QueryState& query, const Generation& generation)>;

// Streams the text to `sink`, if `stream`. `cache` and `model` are borrowed; the model's weights
// are loaded if they have not been yet. Throws Error, kCanceled among others.
QueryOutcome RunQuery(const QueryPlan& plan, double planning_ms, const OpenModel& model,
                      StateCache& cache, bool stream, ResultSink& sink,
                      const AfterDecode& after_decode = nullptr);

// Whether the prompts of one statement are computed together. Who asks for no reuse, or to compute
// all anew, means other rows too. REQUIRES: `plans` is not empty.
bool ShareStates(std::span<const QueryPlan> plans);

// The prompts of PROMPT IN, computed together over states that the first makes ready for all; where
// nothing may be reused, one after another; a single one as RunQuery() does it. `plans` are alike
// but for what comes after their shared segments, which ends in new text. Several stream nothing.
// Calls `on_row` for each, in order. Rows that are computed together share their time: each one's
// counts from the beginning of all.
using OnRow = std::function<void(const QueryPlan& plan, const QueryOutcome& outcome)>;
void RunRows(const std::vector<QueryPlan>& plans, double planning_ms, const OpenModel& model,
             StateCache& cache, bool stream, ResultSink& sink, const OnRow& on_row);

// The result of a generation: text, finish_reason, prompt_tokens, cached_tokens, output_tokens,
// ttft_ms, total_ms, reuse, and logprobs where they are asked for.
std::vector<Column> GenerationColumns(bool has_logprobs);
struct GenerationPlace {
  enum : size_t {
    kText,
    kFinishReason,
    kPromptTokens,
    kCachedTokens,
    kOutputTokens,
    kTtftMs,
    kTotalMs,
    kReuse,
    kLogprobs
  };
};
std::vector<Value> GenerationRow(const BoundPrompt& prompt, const QueryOutcome& outcome);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_QUERY_RUN_H_
