#include "executor/prefill.h"

#include "executor/encode.h"
#include "executor/module_scan.h"

namespace promptdb {

namespace {

// The prompt ends in a cached module: its last token is computed once more, over the states that it
// was encoded over, since states alone give no logits.
std::vector<float> RepeatLastToken(int last, QueryState& query) {
  const PromptSegment& segment = query.Segment(last);
  ForwardBatch batch;
  KvSegment own(query.model.kv_shape(), segment.end() - 1, 1);
  RowGroup group{1, query.Context(last), &own};
  group.context.push_back({query.segments[static_cast<size_t>(last)].get(), 0,
                           static_cast<int>(segment.tokens.size()) - 1});
  batch.tokens.push_back(segment.tokens.back());
  batch.positions.push_back(segment.end() - 1);
  batch.groups.push_back(std::move(group));
  batch.logits_of = {0};
  return query.weights.Forward(batch);
}

}  // namespace

std::vector<float> RunPrefill(const PrefillNode& prefill, QueryState& query) {
  const Stopwatch watch;
  const int last = query.LastSegment();
  std::vector<float> logits;
  if (!prefill.segments.empty()) {
    ForwardBatch batch;
    for (const int index : prefill.segments) {
      query.AddSegment(index, batch);
      if (index == last) batch.logits_of = {static_cast<int32_t>(batch.tokens.size()) - 1};
    }
    logits = query.weights.Forward(batch, &query.sink);
  }
  if (logits.empty()) logits = RepeatLastToken(last, query);
  NodeActuals& actual = query.actuals[static_cast<size_t>(prefill.id)];
  actual.ms = watch.Milliseconds();
  actual.rows = prefill.tokens;
  return logits;
}

std::vector<float> RunPrompt(QueryState& query) {
  const QueryPlan& plan = query.plan;
  std::vector<int> missing;
  for (size_t i = 0; i < plan.prompt.segments.size(); ++i) {
    const bool is_missing =
        plan.scans[i] != nullptr ? !ScanModule(*plan.scans[i], query) : plan.encodes[i] != nullptr;
    if (is_missing) missing.push_back(static_cast<int>(i));
  }
  EncodeSegments(missing, query);
  return RunPrefill(*plan.prefill, query);
}

}  // namespace promptdb
