#include "executor/working_memory.h"

#include <algorithm>

#include "executor/forward_scheduler.h"
#include "executor/query_run.h"
#include "storage/kv_segment.h"

namespace promptdb {

namespace {

// Of a prompt's or an answer's token: its id, text, position and place in lists, and a row about
// it.
constexpr int64_t kBytesPerToken = 512;

struct Need {
  int64_t states = 0;    // bytes, of the query's own
  int64_t computed = 0;  // tokens, before the answer
  int64_t tokens = 0;    // with the answer
};

// `first`: the segments before are another row's.
Need NeedOf(const QueryPlan& plan, int first, const OpenModel& model) {
  const BoundPrompt& prompt = plan.prompt;
  const KvShape shape = model.working_kv_shape();
  const bool is_answered = prompt.kind == ast::Select::Kind::kGenerate;
  const int answer = is_answered ? std::clamp(model.config().context_length - prompt.end_position,
                                              0, prompt.generate.max_tokens)
                                 : 0;
  Need need;
  need.tokens = answer;
  bool has_tail = false;  // that the answer extends
  for (size_t i = 0; i < prompt.segments.size(); ++i) {
    const PromptSegment& segment = prompt.segments[i];
    const auto tokens = static_cast<int>(segment.tokens.size());
    need.tokens += tokens;
    if (static_cast<int>(i) < first) continue;
    const ModuleScanNode* scan = plan.scans[i];
    if (scan != nullptr && scan->tier != Tier::kMiss) {
      if (scan->reads_apart) need.states += scan->bytes;
      continue;
    }
    need.computed += tokens;
    const bool is_last = segment.is_new && segment.end() == prompt.end_position;
    has_tail = has_tail || is_last;
    // What is kept of new text and answers is copied before it is written.
    const bool is_kept = segment.is_new && prompt.cache && prompt.reuse != ReuseMode::kNone &&
                         (prompt.reuse == ReuseMode::kExact || !segment.chat_label.empty());
    need.states += KvSegment::OwnBytes(shape, tokens, is_last ? answer : 0) * (is_kept ? 2 : 1);
  }
  if (!has_tail) need.states += KvSegment::OwnBytes(shape, 0, answer + 1);
  return need;
}

// The activations of one row of a pass: see Transformer. The pass is shared; a query counts its own
// rows of it.
int64_t RowBytes(const ModelConfig& config) {
  const int64_t heads = int64_t{config.heads} * config.head_dim;
  const int64_t kv_heads = int64_t{config.kv_heads} * config.head_dim;
  const int64_t up = (config.mlp == MlpKind::kSwiGlu ? 2 : 1) * int64_t{config.hidden};
  const int64_t floats =
      3 * int64_t{config.dim} + (heads + 2 * kv_heads) + 2 * heads + up + config.hidden;
  return floats * static_cast<int64_t>(sizeof(float));
}

int64_t PassBytes(int64_t rows, const ModelConfig& config) {
  return std::clamp<int64_t>(rows, 1, ForwardScheduler::kPassRows) * RowBytes(config);
}

}  // namespace

int64_t WorkingMemory(std::span<const QueryPlan> plans, const OpenModel& model) {
  const BoundPrompt& prompt = plans.front().prompt;
  if (prompt.kind == ast::Select::Kind::kTokens) return prompt.prompt_tokens * kBytesPerToken;
  const bool shares = ShareStates(plans);
  const size_t at_once = shares ? kMostRowsAtOnce : 1;
  int64_t states = 0, computed = 0, tokens = 0, rows_at_once = 0;  // of the largest batch
  int64_t shared_states = 0;
  for (size_t begin = 0; begin < plans.size(); begin += at_once) {
    const size_t end = std::min(begin + at_once, plans.size());
    int64_t of_batch = 0, computed_of_batch = 0;
    for (size_t i = begin; i < end; ++i) {
      const int first = shares ? prompt.shared_segments : 0;
      const Need need = NeedOf(plans[i], i == 0 ? 0 : first, model);
      if (i == 0 && shares) {
        // What the first row makes for all stays to the end.
        shared_states = need.states - NeedOf(plans[i], first, model).states;
      }
      of_batch += need.states;
      computed_of_batch += need.computed;
      tokens += need.tokens;
    }
    states = std::max(states, of_batch + (begin > 0 ? shared_states : 0));
    computed = std::max(computed, computed_of_batch);
    rows_at_once = std::max(rows_at_once, static_cast<int64_t>(end - begin));
  }
  const ModelConfig& config = model.config();
  // The pass's, the caller's, and what a sampler makes of it.
  const int64_t wanted = prompt.kind == ast::Select::Kind::kLogprobs
                             ? std::min<int64_t>(computed, ForwardScheduler::kShortRows)
                             : rows_at_once;
  const int64_t logits = 3 * wanted * config.vocab * static_cast<int64_t>(sizeof(float));
  return states + PassBytes(computed, config) + logits + tokens * kBytesPerToken;
}

int64_t EncodingMemory(int64_t tokens, const OpenModel& model) {
  return KvSegment::OwnBytes(model.working_kv_shape(), static_cast<int>(tokens), 0) +
         PassBytes(tokens, model.config());
}

QueryMemory::Reservation ReserveMemory(std::span<const QueryPlan> plans, const OpenModel& model,
                                       Database::Rep& database, const ResultSink& sink) {
  return database.query_memory.Reserve(WorkingMemory(plans, model), plans.front().prompt.urgency,
                                       sink);
}

}  // namespace promptdb
