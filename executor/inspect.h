// What SELECT TOKENS, LOGPROBS and EMBEDDING tell of a prompt instead of answering it.
//
// Not thread-safe: a run belongs to one statement.
#ifndef PROMPTDB_EXECUTOR_INSPECT_H_
#define PROMPTDB_EXECUTOR_INSPECT_H_

#include <functional>
#include <vector>

#include "executor/model_registry.h"
#include "executor/result.h"
#include "planner/explain.h"
#include "planner/plan.h"
#include "storage/state_cache.h"

namespace promptdb {

// kTokens: position, id, token, part. A row a token, in order of position; placeholders, which are
//   no part of the prompt, are left out.
// kLogprobs: the same, then logprob, the natural logarithm of the token's probability after the
//   token before it (NULL for the first), and top, a JSON array of the likeliest tokens there,
//   [{"id": …, "token": …, "logprob": …}, …]. A last row, without a token, tells what would come
//   next. Every token is computed, whatever is cached.
// kEmbedding: embedding (a JSON array), dimensions, prompt_tokens, cached_tokens, total_ms. One
// row. REQUIRES: not kGenerate.
std::vector<Column> InspectColumns(ast::Select::Kind kind);

// Calls `on_row` for each. Returns what the plan's nodes took, by id. Throws Error, kCanceled among
// others.
std::vector<NodeActuals> RunInspect(const QueryPlan& plan, const OpenModel& model,
                                    StateCache& cache, ResultSink& sink,
                                    const std::function<void(std::vector<Value>)>& on_row);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_INSPECT_H_
