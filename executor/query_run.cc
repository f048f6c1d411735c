#include "executor/query_run.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "executor/encode.h"
#include "executor/prefill.h"
#include "planner/planner.h"

namespace promptdb {

namespace {

// A state of fewer costs more to keep and to find than to compute.
constexpr int kLeastStoredTokens = 4;

QueryOutcome OutcomeOf(QueryState& query, Generation generation, double planning_ms,
                       const Stopwatch& since) {
  QueryOutcome outcome;
  outcome.generation = std::move(generation);
  outcome.cached_tokens = query.cached_tokens;
  outcome.ttft_ms = planning_ms + outcome.generation.first_token_ms;
  outcome.total_ms = planning_ms + since.Milliseconds();
  NodeActuals& root = query.actuals[static_cast<size_t>(query.plan.root->id)];
  root.ms = since.Milliseconds();
  root.rows = 1;
  outcome.actuals = std::move(query.actuals);
  return outcome;
}

// The states of a query's own words, and of its answer, which later prompts may begin with.
void StoreNewText(const Generation& generation, QueryState& query) {
  const BoundPrompt& prompt = query.plan.prompt;
  const PrefillNode& prefill = *query.plan.prefill;
  std::vector<PromptSegment> segments = prompt.segments;
  for (const int index : prefill.segments) {
    PromptSegment& segment = segments[static_cast<size_t>(index)];
    // Behind new text a piece of another state is computed all the same, and is then its own.
    segment.prefix_of.reset();
    // The last one has grown by the answer.
    const auto grown = static_cast<size_t>(query.segments[static_cast<size_t>(index)]->tokens()) -
                       segment.tokens.size();
    segment.tokens.insert(segment.tokens.end(), generation.tokens.begin(),
                          generation.tokens.begin() + static_cast<long>(grown));
  }
  const std::vector<SegmentKeys> keys = ComputeSegmentKeys(
      segments, query.model.fingerprint(), query.model.config().positions, prompt.owner.salt);
  const double ms_per_token =
      query.actuals[static_cast<size_t>(prefill.id)].ms / std::max(1, prefill.tokens);
  for (const int index : prefill.segments) {
    const auto at = static_cast<size_t>(index);
    const auto tokens = static_cast<int>(segments[at].tokens.size());
    if (tokens < kLeastStoredTokens) continue;
    const StateManifest manifest =
        ManifestOf(segments[at], keys[at], StateLabel(prompt.schema, segments[at].label), prompt,
                   query.model, ms_per_token * tokens);
    query.cache.Publish(manifest, query.segments[at]->CopyOf(tokens), query.model.home());
  }
}

// Exact reuse keeps what a query has computed. After the answer, so that nobody waits for it, and
// nobody loses it where there is no room on the disk.
void KeepNewText(const Generation& generation, QueryState& query) {
  const BoundPrompt& prompt = query.plan.prompt;
  if (prompt.reuse != ReuseMode::kExact || !prompt.cache || prompt.rows > 1) return;
  try {
    StoreNewText(generation, query);
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    query.sink.OnNotice("what this query has computed is not kept: " + error.message());
  }
}

// Rows that share their first segments: one batch for their prompts, and one for each step of their
// answers.
class RowBatch {
 public:
  // `since`, borrowed: when the statement's run began.
  RowBatch(std::span<const QueryPlan> plans, double planning_ms, const Stopwatch& since,
           ForwardScheduler& scheduler, const OpenModel& model, StateCache& cache, ResultSink& sink)
      : scheduler_(scheduler), planning_ms_(planning_ms), since_(since), sink_(sink) {
    for (const QueryPlan& plan : plans) {
      rows_.push_back(std::make_unique<Row>(plan, scheduler, model, cache, sink));
    }
  }

  // The states that the rows share are taken from `shared`, or left there by the first row.
  void Run(std::vector<std::shared_ptr<KvSegment>>& shared, const OnRow& on_row) {
    ForwardBatch batch;
    for (const auto& row : rows_) {
      QueryState& query = row->query;
      if (!shared.empty()) query.TakeSegments(shared);
      RunBelowPrefill(query);
      Check(AddPrefill(*query.plan.prefill, query, batch), "a row of several ends in its own text");
      if (shared.empty()) {
        // New text among it is computed in this batch, before the rows that see it.
        const auto begin = query.segments.begin();
        shared.assign(begin, begin + query.plan.prompt.shared_segments);
      }
    }
    const Stopwatch prefill_watch;
    std::vector<float> logits =
        RunBatch(batch, PrefillResult::kLogits, &sink_, rows_.front()->query);
    for (const auto& row : rows_) {
      const PrefillNode& prefill = *row->query.plan.prefill;
      NodeActuals& actual = row->query.actuals[static_cast<size_t>(prefill.id)];
      actual.ms = prefill_watch.Milliseconds();
      actual.rows = prefill.tokens;
      row->decoder.emplace(*row->query.plan.decode, since_, false, row->query);
    }
    std::vector<Row*> running;
    for (const auto& row : rows_) running.push_back(row.get());
    running = Pick(running, logits);
    while (!running.empty()) {
      ForwardBatch step;
      for (Row* row : running) row->decoder->AddStep(step);
      logits = scheduler_.Forward(step, nullptr, rows_.front()->query.plan.prompt.urgency);
      running = Pick(running, logits);
    }
    for (const auto& row : rows_) on_row(row->query.plan, *row->outcome);
  }

 private:
  struct Row {
    Row(const QueryPlan& plan, ForwardScheduler& scheduler, const OpenModel& model,
        StateCache& cache, ResultSink& sink)
        : query(plan, scheduler, model, cache, sink) {}

    QueryState query;
    std::optional<Decoder> decoder;
    std::optional<QueryOutcome> outcome;
  };

  // Each row's next token, from its own logits [vocab] among `logits`; returns those that go on.
  std::vector<Row*> Pick(const std::vector<Row*>& running, std::span<float> logits) {
    const size_t vocab = logits.size() / running.size();
    std::vector<Row*> go_on;
    for (size_t i = 0; i < running.size(); ++i) {
      Row& row = *running[i];
      if (row.decoder->Pick(logits.subspan(i * vocab, vocab))) {
        go_on.push_back(&row);
      } else {
        row.outcome = OutcomeOf(row.query, row.decoder->Finish(), planning_ms_, since_);
      }
    }
    return go_on;
  }

  ForwardScheduler& scheduler_;
  const double planning_ms_;
  const Stopwatch& since_;
  ResultSink& sink_;
  std::vector<std::unique_ptr<Row>> rows_;
};

}  // namespace

QueryOutcome RunQuery(const QueryPlan& plan, double planning_ms, const OpenModel& model,
                      StateCache& cache, bool stream, ResultSink& sink,
                      const AfterDecode& after_decode) {
  ForwardScheduler& scheduler = model.Scheduler(&sink);
  const ForwardScheduler::Participant participant(scheduler);
  const Stopwatch watch;
  QueryState query(plan, scheduler, model, cache, sink);
  std::vector<float> logits = RunPrompt(query);
  Generation generation = RunDecode(*plan.decode, std::move(logits), watch, stream, query);
  if (after_decode) {
    after_decode(query, generation);
  } else {
    KeepNewText(generation, query);
  }
  return OutcomeOf(query, std::move(generation), planning_ms, watch);
}

bool ShareStates(std::span<const QueryPlan> plans) {
  const BoundPrompt& first = plans.front().prompt;
  return plans.size() > 1 && first.cache && first.reuse != ReuseMode::kNone;
}

void RunRows(const std::vector<QueryPlan>& plans, double planning_ms, const OpenModel& model,
             StateCache& cache, bool stream, ResultSink& sink, const OnRow& on_row) {
  if (!ShareStates(plans)) {
    for (const QueryPlan& plan : plans) {
      on_row(plan, RunQuery(plan, planning_ms, model, cache, stream && plans.size() == 1, sink));
    }
    return;
  }
  ForwardScheduler& scheduler = model.Scheduler(&sink);
  const ForwardScheduler::Participant participant(scheduler);
  const Stopwatch watch;
  std::vector<std::shared_ptr<KvSegment>> shared;
  constexpr size_t kMost = kMostRowsAtOnce;
  for (size_t begin = 0; begin < plans.size(); begin += kMost) {
    const auto some = std::span(plans).subspan(begin, std::min(kMost, plans.size() - begin));
    RowBatch(some, planning_ms, watch, scheduler, model, cache, sink).Run(shared, on_row);
  }
}

std::vector<Column> GenerationColumns(bool has_logprobs) {
  std::vector<Column> columns = {{"text", Column::Type::kText},
                                 {"finish_reason", Column::Type::kText},
                                 {"prompt_tokens", Column::Type::kInteger},
                                 {"cached_tokens", Column::Type::kInteger},
                                 {"output_tokens", Column::Type::kInteger},
                                 {"ttft_ms", Column::Type::kReal},
                                 {"total_ms", Column::Type::kReal},
                                 {"reuse", Column::Type::kText}};
  if (has_logprobs) columns.push_back({"logprobs", Column::Type::kText});
  return columns;
}

std::vector<Value> GenerationRow(const BoundPrompt& prompt, const QueryOutcome& outcome) {
  std::vector<Value> row = {outcome.generation.text,
                            outcome.generation.finish_reason,
                            int64_t{prompt.prompt_tokens},
                            int64_t{outcome.cached_tokens},
                            static_cast<int64_t>(outcome.generation.tokens.size()),
                            outcome.ttft_ms,
                            outcome.total_ms,
                            std::string(ReuseModeName(prompt.reuse))};
  if (outcome.generation.logprobs) row.emplace_back(*outcome.generation.logprobs);
  return row;
}

}  // namespace promptdb
