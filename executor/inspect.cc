#include "executor/inspect.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "executor/logprobs.h"
#include "executor/prefill.h"
#include "executor/query_run.h"

namespace promptdb {

namespace {

// Rows whose logits are held at once.
constexpr int kLogitRows = 64;

// A token of the prompt, by its place in the plan.
struct PromptToken {
  int segment = 0;
  int index = 0;  // in the segment
  int position = 0;
};

// Without placeholders, in order of position.
std::vector<PromptToken> TokensByPosition(const BoundPrompt& prompt) {
  std::vector<PromptToken> tokens;
  for (size_t i = 0; i < prompt.segments.size(); ++i) {
    std::vector<AttendedSpan> visible;
    prompt.segments[i].AppendAllVisible(static_cast<int>(i), visible);
    for (const AttendedSpan& span : visible) {
      for (int k = span.begin; k < span.end; ++k) {
        tokens.push_back({span.segment, k, prompt.segments[i].start + k});
      }
    }
  }
  std::stable_sort(tokens.begin(), tokens.end(), [](const PromptToken& a, const PromptToken& b) {
    return a.position < b.position;
  });
  return tokens;
}

std::vector<Value> TokenRow(const PromptToken& token, const BoundPrompt& prompt,
                            const Tokenizer& tokenizer) {
  const PromptSegment& segment = prompt.segments[static_cast<size_t>(token.segment)];
  const TokenId id = segment.tokens[static_cast<size_t>(token.index)];
  return {int64_t{token.position}, int64_t{id}, ShownToken(id, tokenizer), segment.label};
}

// ---- LOGPROBS ----------------------------------------------------------------------------------

// Computes segment by segment, in pieces of rows, and calls use(segment, index, hidden or logits)
// for each of its tokens.
template <typename Use>
void ForEachToken(PrefillResult wanted, QueryState& query, const Use& use) {
  const std::vector<PromptSegment>& segments = query.plan.prompt.segments;
  const int total = query.plan.prompt.prompt_tokens;
  int done = 0;
  for (int s = 0; s < static_cast<int>(segments.size()); ++s) {
    const PromptSegment& segment = segments[static_cast<size_t>(s)];
    const int tokens = static_cast<int>(segment.tokens.size());
    auto& states = query.segments[static_cast<size_t>(s)];
    states = std::make_shared<KvSegment>(query.model.working_kv_shape(), segment.start, tokens);
    for (int first = 0; first < tokens; first += kLogitRows) {
      const int rows = std::min(kLogitRows, tokens - first);
      ForwardBatch batch;
      const auto begin = segment.tokens.begin() + first;
      batch.tokens.assign(begin, begin + rows);
      for (int i = 0; i < rows; ++i) {
        batch.positions.push_back(segment.start + first + i);
        batch.logits_of.push_back(i);
      }
      batch.groups.push_back({rows, query.Context(s), states.get()});
      if (query.sink.IsCanceled()) throw Error(ErrorCode::kCanceled, "the query was stopped");
      const std::vector<float> out = RunBatch(batch, wanted, nullptr, query);
      const size_t width = out.size() / static_cast<size_t>(rows);
      for (int i = 0; i < rows; ++i) {
        use(s, first + i, std::span(out).subspan(static_cast<size_t>(i) * width, width));
      }
      done += rows;
      query.sink.OnProgress("computing", std::min(done, total), total, "tokens");
    }
  }
}

void Logprobs(QueryState& query, const std::function<void(std::vector<Value>)>& on_row) {
  const BoundPrompt& prompt = query.plan.prompt;
  const Tokenizer& tokenizer = query.model.tokenizer();
  const int top = prompt.inspect.top;
  const std::vector<PromptToken> tokens = TokensByPosition(prompt);
  std::map<std::pair<int, int>, size_t> order;  // segment, index -> place in `tokens`
  for (size_t i = 0; i < tokens.size(); ++i) order[{tokens[i].segment, tokens[i].index}] = i;

  // By place in `tokens`, what was said there of the token at that place.
  std::vector<Value> logprobs(tokens.size() + 1), tops(tokens.size() + 1);
  ForEachToken(
      PrefillResult::kLogits, query, [&](int segment, int index, std::span<const float> logits) {
        const auto found = order.find({segment, index});
        if (found == order.end()) return;  // a placeholder
        const size_t next = found->second + 1;
        const Distribution distribution(logits);
        if (next < tokens.size()) {
          const PromptToken& token = tokens[next];
          logprobs[next] = distribution.Logprob(prompt.segments[static_cast<size_t>(token.segment)]
                                                    .tokens[static_cast<size_t>(token.index)]);
        }
        if (top > 0) tops[next] = TopJson(distribution.Top(top), tokenizer);
      });
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<Value> row = TokenRow(tokens[i], prompt, tokenizer);
    row.push_back(logprobs[i]);
    row.push_back(tops[i]);
    on_row(std::move(row));
  }
  on_row({int64_t{prompt.end_position}, Value(), Value(), std::string("(next)"), Value(),
          tops.back()});
}

// ---- EMBEDDING ---------------------------------------------------------------------------------

std::vector<double> Embedding(QueryState& query) {
  const InspectOptions& options = query.plan.prompt.inspect;
  std::vector<double> pooled;
  if (options.pooling == Pooling::kLast) {
    const std::vector<float> last = RunPrompt(query, PrefillResult::kHidden);
    pooled.assign(last.begin(), last.end());
  } else {
    const std::vector<PromptToken> tokens = TokensByPosition(query.plan.prompt);
    std::set<std::pair<int, int>> counted;
    for (const PromptToken& token : tokens) counted.emplace(token.segment, token.index);
    ForEachToken(PrefillResult::kHidden, query,
                 [&](int segment, int index, std::span<const float> hidden) {
                   if (!counted.contains({segment, index})) return;
                   pooled.resize(hidden.size());
                   for (size_t i = 0; i < hidden.size(); ++i) pooled[i] += hidden[i];
                 });
    for (double& value : pooled) value /= static_cast<double>(tokens.size());
  }
  if (options.normalize) {
    double square = 0;
    for (const double value : pooled) square += value * value;
    if (square > 0) {
      for (double& value : pooled) value /= std::sqrt(square);
    }
  }
  return pooled;
}

// As f32 needs them: nine digits.
std::string ToJson(const std::vector<double>& values) {
  std::string json = "[";
  char number[32];
  for (const double value : values) {
    std::snprintf(number, sizeof(number), "%s%.9g", json.size() > 1 ? "," : "", value);
    json += number;
  }
  return json + "]";
}

}  // namespace

std::vector<Column> InspectColumns(ast::Select::Kind kind) {
  using Type = Column::Type;
  if (kind == ast::Select::Kind::kEmbedding) {
    return {{"embedding", Type::kText},
            {"dimensions", Type::kInteger},
            {"prompt_tokens", Type::kInteger},
            {"cached_tokens", Type::kInteger},
            {"total_ms", Type::kReal}};
  }
  std::vector<Column> columns = {{"position", Type::kInteger},
                                 {"id", Type::kInteger},
                                 {"token", Type::kText},
                                 {"part", Type::kText}};
  if (kind == ast::Select::Kind::kLogprobs) {
    columns.push_back({"logprob", Type::kReal});
    columns.push_back({"top", Type::kText});
  }
  return columns;
}

std::vector<NodeActuals> RunInspect(const QueryPlan& plan, const OpenModel& model,
                                    StateCache& cache, ResultSink& sink,
                                    const std::function<void(std::vector<Value>)>& on_row) {
  const BoundPrompt& prompt = plan.prompt;
  int64_t rows = 0;
  const auto count_row = [&](std::vector<Value> row) {
    ++rows;
    on_row(std::move(row));
  };
  if (prompt.kind == ast::Select::Kind::kTokens) {
    const Stopwatch watch;
    for (const PromptToken& token : TokensByPosition(prompt)) {
      count_row(TokenRow(token, prompt, model.tokenizer()));
    }
    std::vector<NodeActuals> actuals(static_cast<size_t>(plan.nodes));
    actuals[static_cast<size_t>(plan.root->id)] = {watch.Milliseconds(), rows, {}};
    return actuals;
  }
  ForwardScheduler& scheduler = model.Scheduler(&sink);
  const ForwardScheduler::Participant participant(scheduler);
  const Stopwatch watch;
  QueryState query(plan, scheduler, model, cache, sink);
  if (prompt.kind == ast::Select::Kind::kLogprobs) {
    Logprobs(query, count_row);
  } else {
    const std::vector<double> embedding = Embedding(query);
    count_row({ToJson(embedding), static_cast<int64_t>(embedding.size()),
               int64_t{prompt.prompt_tokens}, int64_t{query.cached_tokens}, watch.Milliseconds()});
  }
  query.actuals[static_cast<size_t>(plan.root->id)] = {watch.Milliseconds(), rows, {}};
  return std::move(query.actuals);
}

}  // namespace promptdb
