#include "executor/prefill.h"

#include "executor/encode.h"
#include "executor/module_scan.h"

namespace promptdb {

namespace {

// The prompt ends in a cached module: its last token is computed once more, over the states that it
// was encoded over, since states alone give no logits.
std::vector<float> RepeatToken(QueryState::Token token, PrefillResult wanted, QueryState& query) {
  const PromptSegment& segment = query.Segment(token.segment);
  const int position = segment.start + token.index;
  ForwardBatch batch;
  KvSegment own(query.model.working_kv_shape(), position, 1);
  RowGroup group{1, query.Context(token.segment), &own};
  group.context.push_back(
      {query.segments[static_cast<size_t>(token.segment)].get(), 0, token.index});
  batch.tokens.push_back(segment.tokens[static_cast<size_t>(token.index)]);
  batch.positions.push_back(position);
  batch.groups.push_back(std::move(group));
  batch.logits_of = {0};
  return RunBatch(batch, wanted, &query.sink, query);
}

}  // namespace

std::vector<float> RunBatch(const ForwardBatch& batch, PrefillResult wanted,
                            ProgressListener* progress, QueryState& query) {
  query.sink.OnTokensComputed(static_cast<int64_t>(batch.tokens.size()));
  const Urgency& urgency = query.plan.prompt.urgency;
  return wanted == PrefillResult::kLogits ? query.scheduler.Forward(batch, progress, urgency)
                                          : query.scheduler.HiddenStates(batch, progress, urgency);
}

bool AddPrefill(const PrefillNode& prefill, QueryState& query, ForwardBatch& batch) {
  const int last = query.LastToken().segment;
  bool has_last = false;
  for (const int index : prefill.segments) {
    if (query.segments[static_cast<size_t>(index)] != nullptr) continue;  // another row's
    query.AddSegment(index, batch);
    if (index == last) {
      batch.logits_of.push_back(static_cast<int32_t>(batch.tokens.size()) - 1);
      has_last = true;
    }
  }
  return has_last;
}

std::vector<float> RunPrefill(const PrefillNode& prefill, PrefillResult wanted, QueryState& query) {
  const Stopwatch watch;
  const QueryState::Token last = query.LastToken();
  std::vector<float> result;
  if (!prefill.segments.empty()) {
    ForwardBatch batch;
    AddPrefill(prefill, query, batch);
    result = RunBatch(batch, wanted, &query.sink, query);
  }
  if (result.empty()) result = RepeatToken(last, wanted, query);
  NodeActuals& actual = query.actuals[static_cast<size_t>(prefill.id)];
  actual.ms = watch.Milliseconds();
  actual.rows = prefill.tokens;
  return result;
}

void RunBelowPrefill(QueryState& query) {
  const QueryPlan& plan = query.plan;
  ScansWithoutRoom without_room;
  // What is where it is needed is pinned first, so that bringing the others does not evict it; for
  // the same reason what is in memory comes before what is on disk.
  const Tier home = query.model.home();
  const Tier other = home == Tier::kGpu ? Tier::kCpu : Tier::kGpu;
  for (const Tier tier : {home, other, Tier::kDisk, Tier::kMiss}) {
    for (size_t i = 0; i < plan.prompt.segments.size(); ++i) {
      const ModuleScanNode* node = plan.scans[i];
      if (node == nullptr || query.segments[i] != nullptr || node->tier != tier) continue;
      ScanModule(*node, query, without_room);
    }
  }
  std::vector<int> missing;
  for (size_t i = 0; i < plan.prompt.segments.size(); ++i) {
    if (query.segments[i] != nullptr) continue;
    const EncodeNode* encode = plan.encodes[i];
    if (plan.scans[i] == nullptr && encode == nullptr) continue;  // new text
    missing.push_back(static_cast<int>(i));
    if (encode != nullptr && encode->lacks_room) {
      without_room.computed.Add(encode->module, encode->state_bytes);
    }
  }
  without_room.Tell(query.sink);
  EncodeMissing(std::move(missing), query);
}

std::vector<float> RunPrompt(QueryState& query, PrefillResult wanted) {
  RunBelowPrefill(query);
  return RunPrefill(*query.plan.prefill, wanted, query);
}

}  // namespace promptdb
