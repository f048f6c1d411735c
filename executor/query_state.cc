#include "executor/query_state.h"

namespace promptdb {

void QueryState::TakeSegments(const std::vector<std::shared_ptr<KvSegment>>& first) {
  for (size_t i = 0; i < first.size(); ++i) {
    segments[i] = first[i];
    cached_tokens += plan.prompt.segments[i].prompt_tokens();
  }
}

std::vector<KvSpan> QueryState::Spans(const std::vector<AttendedSpan>& attended) const {
  std::vector<KvSpan> spans;
  spans.reserve(attended.size());
  for (const AttendedSpan& span : attended) {
    spans.push_back({segments[static_cast<size_t>(span.segment)].get(), span.begin, span.end});
  }
  return spans;
}

std::vector<KvSpan> QueryState::Context(int index) const { return Spans(Segment(index).attends); }

std::vector<KvSpan> QueryState::PromptSpans(int except) const {
  std::vector<AttendedSpan> attended;
  for (int i = 0; i < static_cast<int>(plan.prompt.segments.size()); ++i) {
    if (i != except) Segment(i).AppendAllVisible(i, attended);
  }
  return Spans(attended);
}

QueryState::Token QueryState::LastToken() const {
  Token last;
  int position = -1;
  for (int i = 0; i < static_cast<int>(plan.prompt.segments.size()); ++i) {
    std::vector<AttendedSpan> visible;
    Segment(i).AppendAllVisible(i, visible);
    if (visible.empty() || Segment(i).start + visible.back().end - 1 < position) continue;
    last = {i, visible.back().end - 1};
    position = Segment(i).start + last.index;
  }
  return last;
}

void QueryState::TakeStates(int index, KvSegment states) {
  states.PlaceAt(Segment(index).start);
  segments[static_cast<size_t>(index)] = std::make_shared<KvSegment>(std::move(states));
}

void QueryState::AddSegment(int index, ForwardBatch& batch) {
  const PromptSegment& segment = Segment(index);
  const int tokens = static_cast<int>(segment.tokens.size());
  auto& states = segments[static_cast<size_t>(index)];
  // Keys are turned as they are stored: for positions that count from the origin.
  const int origin = plan.keys[static_cast<size_t>(index)].origin;
  states = std::make_unique<KvSegment>(model.working_kv_shape(), segment.start - origin, tokens);
  states->PlaceAt(segment.start);
  batch.tokens.insert(batch.tokens.end(), segment.tokens.begin(), segment.tokens.end());
  for (int i = 0; i < tokens; ++i) batch.positions.push_back(segment.start + i);
  batch.groups.push_back({tokens, Context(index), states.get()});
}

}  // namespace promptdb
