#include "executor/query_state.h"

namespace promptdb {

std::vector<KvSpan> QueryState::Context(int index) const {
  std::vector<KvSpan> context;
  for (const int seen : Segment(index).attends) {
    const KvSegment* states = segments[static_cast<size_t>(seen)].get();
    context.push_back({states, 0, static_cast<int>(Segment(seen).tokens.size())});
  }
  return context;
}

void QueryState::AddSegment(int index, ForwardBatch& batch) {
  const PromptSegment& segment = Segment(index);
  const int tokens = static_cast<int>(segment.tokens.size());
  auto& states = segments[static_cast<size_t>(index)];
  states = std::make_unique<KvSegment>(model.kv_shape(), segment.start, tokens);
  batch.tokens.insert(batch.tokens.end(), segment.tokens.begin(), segment.tokens.end());
  for (int i = 0; i < tokens; ++i) batch.positions.push_back(segment.start + i);
  batch.groups.push_back({tokens, Context(index), states.get()});
}

}  // namespace promptdb
