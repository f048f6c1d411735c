#include "executor/query_run.h"

#include "executor/prefill.h"
#include "executor/threads.h"

namespace promptdb {

namespace {

// What the first row of several leaves to the others: the states of all segments but the last.
using SharedStates = std::vector<std::shared_ptr<KvSegment>>;

QueryOutcome RunRow(const QueryPlan& plan, double planning_ms, const Transformer& weights,
                    const OpenModel& model, StateCache& cache, bool stream, ResultSink& sink,
                    const AfterDecode& after_decode, SharedStates* shared) {
  const Stopwatch watch;
  QueryState query(plan, weights, model, cache, sink);
  if (shared != nullptr) query.TakeSegments(*shared);
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
  if (shared != nullptr) shared->assign(query.segments.begin(), query.segments.end() - 1);
  return outcome;
}

}  // namespace

const Transformer& LoadWeights(const OpenModel& model, ResultSink& sink) {
  if (!model.has_weights()) {
    if (const std::string warning = BlasWarning(); !warning.empty()) sink.OnNotice(warning);
  }
  return model.Weights(&sink);
}

QueryOutcome RunQuery(const QueryPlan& plan, double planning_ms, const OpenModel& model,
                      StateCache& cache, bool stream, ResultSink& sink,
                      const AfterDecode& after_decode) {
  return RunRow(plan, planning_ms, LoadWeights(model, sink), model, cache, stream, sink,
                after_decode, nullptr);
}

void RunRows(const std::vector<QueryPlan>& plans, double planning_ms, const OpenModel& model,
             StateCache& cache, bool stream, ResultSink& sink, const OnRow& on_row) {
  if (plans.size() == 1) {
    on_row(plans[0], RunQuery(plans[0], planning_ms, model, cache, stream, sink));
    return;
  }
  const Transformer& weights = LoadWeights(model, sink);
  SharedStates shared;
  for (const QueryPlan& plan : plans) {
    // Who asks for no reuse, or to compute all anew, means other rows too.
    const bool shares = plan.prompt.cache && plan.prompt.reuse != ReuseMode::kNone;
    on_row(plan, RunRow(plan, planning_ms, weights, model, cache, false, sink, nullptr,
                        shares ? &shared : nullptr));
  }
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
