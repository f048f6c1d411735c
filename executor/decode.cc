#include "executor/decode.h"

#include <algorithm>
#include <random>

#include "executor/answer_constraint.h"
#include "executor/sampler.h"
#include "executor/stop_filter.h"

namespace promptdb {

namespace {

SamplingOptions ToSamplingOptions(const GenerateOptions& generate) {
  SamplingOptions options;
  options.temperature = generate.temperature;
  options.top_k = generate.top_k;
  options.top_p = generate.top_p;
  options.min_p = generate.min_p;
  options.repetition_penalty = generate.repetition_penalty;
  options.seed = generate.seed ? *generate.seed : std::random_device{}();
  return options;
}

}  // namespace

Generation RunDecode(const DecodeNode& decode, std::vector<float> logits, const Stopwatch& since,
                     bool stream, QueryState& query) {
  const Stopwatch watch;
  const BoundPrompt& prompt = query.plan.prompt;
  const Tokenizer& tokenizer = query.model.tokenizer();
  Sampler sampler(ToSamplingOptions(prompt.generate));
  StreamDecoder decoder(tokenizer);
  StopFilter filter(prompt.generate.stops);
  AnswerConstraint constraint(
      prompt.generate, tokenizer,
      prompt.generate.constraint != nullptr ? query.model.vocabulary_trie() : nullptr);

  // Generated tokens extend the prompt's last new text if they follow it without a gap, or else a
  // segment of their own.
  const int last = query.LastToken().segment;
  const bool extends_prompt =
      query.Segment(last).is_new && query.Segment(last).end() == prompt.end_position;
  KvSegment own(query.model.kv_shape(), prompt.end_position, 0);
  KvSegment& tail = extends_prompt ? *query.segments[static_cast<size_t>(last)] : own;
  const std::vector<KvSpan> context = query.PromptSpans(extends_prompt ? last : -1);
  std::vector<TokenId> history;
  for (const PromptSegment& segment : prompt.segments) {
    history.insert(history.end(), segment.tokens.begin(), segment.tokens.end());
  }

  Generation generation;
  std::vector<size_t> bytes_before;  // of the decoded text, by generated token
  size_t decoded_bytes = 0;
  const auto show = [&](const std::string& piece) {
    if (piece.empty()) return;
    generation.text += piece;
    if (stream) query.sink.OnTextPiece(piece);
  };
  const int room = query.model.config().context_length - prompt.end_position;
  const int most = std::min(decode.max_tokens, room);
  bool is_complete = constraint.IsComplete();
  generation.finish_reason = is_complete ? "stop" : "length";
  while (!is_complete && static_cast<int>(generation.tokens.size()) < most) {
    constraint.Mask(logits);
    const TokenId token = sampler.Sample(logits, history);
    if (generation.tokens.empty()) generation.first_token_ms = since.Milliseconds();
    if (tokenizer.IsEnd(token) && !prompt.generate.ignore_eos) {
      generation.finish_reason = "stop";
      generation.end_token = token;
      break;
    }
    generation.tokens.push_back(token);
    history.push_back(token);
    bytes_before.push_back(decoded_bytes);
    const std::string piece = decoder.Push(token);
    decoded_bytes += piece.size();
    show(filter.Push(piece));
    constraint.Push(token);
    is_complete = constraint.IsComplete();
    if (filter.stopped() || is_complete) {
      generation.finish_reason = "stop";
      break;
    }
    if (query.sink.IsCanceled()) throw Error(ErrorCode::kCanceled, "the generation was stopped");
    if (static_cast<int>(generation.tokens.size()) == most) break;
    ForwardBatch batch;
    batch.tokens = {token};
    batch.positions = {prompt.end_position + static_cast<int>(generation.tokens.size()) - 1};
    batch.groups.push_back({1, context, &tail});
    batch.logits_of = {0};
    logits = query.weights.Forward(batch);
  }
  if (!filter.stopped()) show(filter.Push(decoder.Finish()) + filter.Finish());
  size_t shown = generation.tokens.size();
  while (filter.stopped() && shown > 0 && bytes_before[shown - 1] >= generation.text.size()) {
    --shown;
  }
  generation.shown_tokens = static_cast<int>(shown);

  NodeActuals& actual = query.actuals[static_cast<size_t>(decode.id)];
  actual.ms = watch.Milliseconds();
  actual.rows = static_cast<int64_t>(generation.tokens.size());
  return generation;
}

}  // namespace promptdb
