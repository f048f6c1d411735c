#include "executor/query_run.h"

#include "executor/prefill.h"
#include "executor/threads.h"

namespace promptdb {

QueryOutcome RunQuery(const QueryPlan& plan, double planning_ms, const OpenModel& model,
                      StateCache& cache, bool stream, ResultSink& sink,
                      const AfterDecode& after_decode) {
  if (!model.has_weights()) {
    if (const std::string warning = BlasWarning(); !warning.empty()) sink.OnNotice(warning);
  }
  const Transformer& weights = model.Weights(&sink);
  const Stopwatch watch;
  QueryState query(plan, weights, model, cache, sink);
  std::vector<float> logits = RunPrompt(query);

  QueryOutcome outcome;
  outcome.cached_tokens = query.cached_tokens;
  outcome.generation = RunDecode(*plan.decode, std::move(logits), watch, stream, query);
  if (after_decode) after_decode(query, outcome.generation);
  outcome.ttft_ms = planning_ms + outcome.generation.first_token_ms;
  outcome.total_ms = planning_ms + watch.Milliseconds();
  NodeActuals& root = query.actuals[static_cast<size_t>(plan.root->id)];
  root.ms = watch.Milliseconds();
  root.rows = 1;
  outcome.actuals = std::move(query.actuals);
  return outcome;
}

std::vector<Column> GenerationColumns() {
  return {{"text", Column::Type::kText},
          {"finish_reason", Column::Type::kText},
          {"prompt_tokens", Column::Type::kInteger},
          {"cached_tokens", Column::Type::kInteger},
          {"output_tokens", Column::Type::kInteger},
          {"ttft_ms", Column::Type::kReal},
          {"total_ms", Column::Type::kReal},
          {"reuse", Column::Type::kText}};
}

std::vector<Value> GenerationRow(const BoundPrompt& prompt, const QueryOutcome& outcome) {
  return {outcome.generation.text,
          outcome.generation.finish_reason,
          int64_t{prompt.prompt_tokens},
          int64_t{outcome.cached_tokens},
          static_cast<int64_t>(outcome.generation.tokens.size()),
          outcome.ttft_ms,
          outcome.total_ms,
          std::string(ReuseModeName(prompt.reuse))};
}

}  // namespace promptdb
