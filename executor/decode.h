// Decode: picks tokens one by one until the answer ends.
#ifndef PROMPTDB_EXECUTOR_DECODE_H_
#define PROMPTDB_EXECUTOR_DECODE_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "executor/answer_constraint.h"
#include "executor/logprobs.h"
#include "executor/query_state.h"
#include "executor/sampler.h"
#include "executor/stop_filter.h"

namespace promptdb {

struct Generation {
  std::string text;
  std::vector<TokenId> tokens;  // without the one that ended it
  // Of `tokens`, those up to the last that has a part in `text`: without what spells only stop
  // text.
  int shown_tokens = 0;
  std::optional<TokenId> end_token;  // that ended it
  // Of the shown tokens, where the query asks for them (GenerateOptions): AnswerJson().
  std::optional<std::string> logprobs;
  std::string finish_reason;  // "stop": an end token, a stop text or the end of the constraint;
                              // "length": max_tokens or context
  double first_token_ms = 0;  // since `since` was started
};

// One answer on its way, token by token, so that several can be computed in one batch. Every
// segment of the query must be ready. Where the prompt ends in new text, that segment grows by the
// states of the generated tokens, but for the last one's where the answer did not end by an end
// token.
//
// Not thread-safe; belongs to its query, which must outlive it.
class Decoder {
 public:
  // Tells the sink of each piece of text, if `stream`. `since`, borrowed: when the query began.
  Decoder(const DecodeNode& decode, const Stopwatch& since, bool stream, QueryState& query);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Picks the next token from the logits [vocab] after the last one, or after the prompt; those
  // that a constraint forbids are overwritten. False when the answer has ended, and no more are
  // wanted. Throws Error(kCanceled) when the sink says so.
  bool Pick(std::span<float> logits);
  // The row that computes the logits after the token that was picked.
  void AddStep(ForwardBatch& batch);

  // REQUIRES: Pick() returned false. Writes the plan node's actuals.
  Generation Finish();

 private:
  void Show(const std::string& piece);

  const DecodeNode& decode_;
  const Stopwatch& since_;
  const Stopwatch watch_;
  const bool stream_;
  QueryState& query_;
  Sampler sampler_;
  StreamDecoder text_;
  StopFilter filter_;
  AnswerConstraint constraint_;
  KvSegment own_;    // of the generated tokens, where they don't extend the prompt's last new text
  KvSegment* tail_;  // that they extend
  std::vector<KvSpan> context_;  // what they see, the tail apart
  std::vector<TokenId> prompt_tokens_;
  std::vector<AnswerToken> logprobs_;  // by generated token, where they are asked for
  std::vector<size_t> bytes_before_;   // of the decoded text, by generated token
  size_t decoded_bytes_ = 0;
  int most_ = 0;  // tokens
  bool is_complete_ = false;
  Generation generation_;
};

// A single answer, from the logits after its prompt.
Generation RunDecode(const DecodeNode& decode, std::vector<float> logits, const Stopwatch& since,
                     bool stream, QueryState& query);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DECODE_H_
