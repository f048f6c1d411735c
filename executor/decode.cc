#include "executor/decode.h"

#include <algorithm>
#include <random>

namespace promptdb {

namespace {

SamplingOptions ToSamplingOptions(const GenerateOptions& generate) {
  SamplingOptions options;
  options.temperature = generate.temperature;
  options.top_k = generate.top_k;
  options.top_p = generate.top_p;
  options.min_p = generate.min_p;
  options.repetition_penalty = generate.repetition_penalty;
  options.presence_penalty = generate.presence_penalty;
  options.frequency_penalty = generate.frequency_penalty;
  options.seed = generate.seed ? *generate.seed : std::random_device{}();
  return options;
}

}  // namespace

Decoder::Decoder(const DecodeNode& decode, const Stopwatch& since, bool stream, QueryState& query)
    : decode_(decode),
      since_(since),
      stream_(stream),
      query_(query),
      sampler_(ToSamplingOptions(query.plan.prompt.generate)),
      text_(query.model.tokenizer()),
      filter_(query.plan.prompt.generate.stops),
      constraint_(query.plan.prompt.generate, query.model.tokenizer(),
                  query.plan.prompt.generate.constraint != nullptr ? query.model.vocabulary_trie()
                                                                   : nullptr),
      own_(query.model.working_kv_shape(), query.plan.prompt.end_position, 0) {
  const BoundPrompt& prompt = query.plan.prompt;
  const int last = query.LastToken().segment;
  const bool extends_prompt =
      query.Segment(last).is_new && query.Segment(last).end() == prompt.end_position;
  tail_ = extends_prompt ? query.segments[static_cast<size_t>(last)].get() : &own_;
  context_ = query.PromptSpans(extends_prompt ? last : -1);
  for (const PromptSegment& segment : prompt.segments) {
    prompt_tokens_.insert(prompt_tokens_.end(), segment.tokens.begin(), segment.tokens.end());
  }
  most_ = std::min(decode.max_tokens, query.model.config().context_length - prompt.end_position);
  is_complete_ = constraint_.IsComplete();
  generation_.finish_reason = is_complete_ ? "stop" : "length";
}

void Decoder::Show(const std::string& piece) {
  if (piece.empty()) return;
  generation_.text += piece;
  if (stream_) query_.sink.OnTextPiece(piece);
}

bool Decoder::Pick(std::span<float> logits) {
  const GenerateOptions& generate = query_.plan.prompt.generate;
  const auto count = [&] { return static_cast<int>(generation_.tokens.size()); };
  if (is_complete_ || count() >= most_) return false;
  // What the model says, whatever a constraint, a penalty or the temperature make of it.
  std::optional<Distribution> distribution;
  AnswerToken told;
  if (generate.logprobs) {
    distribution.emplace(logits);
    told.top = distribution->Top(*generate.logprobs);
  }
  constraint_.Mask(logits);
  const TokenId token = sampler_.Sample(logits, prompt_tokens_, generation_.tokens);
  if (count() == 0) generation_.first_token_ms = since_.Milliseconds();
  if (query_.model.tokenizer().IsEnd(token) && !generate.ignore_eos) {
    generation_.finish_reason = "stop";
    generation_.end_token = token;
    return false;
  }
  query_.sink.OnTokensComputed(1);
  generation_.tokens.push_back(token);
  if (distribution) {
    // The mask leaves the logits of what it allows.
    told.token = {token, distribution->Logprob(token)};
    logprobs_.push_back(std::move(told));
  }
  bytes_before_.push_back(decoded_bytes_);
  const std::string piece = text_.Push(token);
  decoded_bytes_ += piece.size();
  Show(filter_.Push(piece));
  constraint_.Push(token);
  is_complete_ = constraint_.IsComplete();
  if (filter_.stopped() || is_complete_) {
    generation_.finish_reason = "stop";
    return false;
  }
  if (query_.sink.IsCanceled()) throw Error(ErrorCode::kCanceled, "the generation was stopped");
  return count() < most_;
}

void Decoder::AddStep(ForwardBatch& batch) {
  batch.tokens.push_back(generation_.tokens.back());
  batch.positions.push_back(query_.plan.prompt.end_position +
                            static_cast<int>(generation_.tokens.size()) - 1);
  batch.groups.push_back({1, context_, tail_});
  batch.logits_of.push_back(static_cast<int32_t>(batch.tokens.size()) - 1);
}

Generation Decoder::Finish() {
  if (!filter_.stopped()) Show(filter_.Push(text_.Finish()) + filter_.Finish());
  size_t shown = generation_.tokens.size();
  while (filter_.stopped() && shown > 0 && bytes_before_[shown - 1] >= generation_.text.size()) {
    --shown;
  }
  generation_.shown_tokens = static_cast<int>(shown);
  if (query_.plan.prompt.generate.logprobs) {
    generation_.logprobs = AnswerJson(std::span(logprobs_).first(shown), query_.model.tokenizer());
  }

  NodeActuals& actual = query_.actuals[static_cast<size_t>(decode_.id)];
  actual.ms = watch_.Milliseconds();
  actual.rows = static_cast<int64_t>(generation_.tokens.size());
  return std::move(generation_);
}

Generation RunDecode(const DecodeNode& decode, std::vector<float> logits, const Stopwatch& since,
                     bool stream, QueryState& query) {
  Decoder decoder(decode, since, stream, query);
  while (decoder.Pick(logits)) {
    ForwardBatch batch;
    decoder.AddStep(batch);
    logits = query.scheduler.Forward(batch, nullptr, query.plan.prompt.urgency);
  }
  return decoder.Finish();
}

}  // namespace promptdb
