// Decode: picks tokens one by one until the answer ends.
#ifndef PROMPTDB_EXECUTOR_DECODE_H_
#define PROMPTDB_EXECUTOR_DECODE_H_

#include <optional>
#include <string>
#include <vector>

#include "executor/query_state.h"

namespace promptdb {

struct Generation {
  std::string text;
  std::vector<TokenId> tokens;  // without the one that ended it
  // Of `tokens`, those up to the last that has a part in `text`: without what spells only stop
  // text.
  int shown_tokens = 0;
  std::optional<TokenId> end_token;  // that ended it
  std::string finish_reason;  // "stop": an end token, a stop text or the end of the constraint;
                              // "length": max_tokens or context
  double first_token_ms = 0;  // since `since` was started
};

// Generates from the logits after the prompt; every segment must be ready. Where the prompt ends in
// new text, that segment grows by the states of the generated tokens, but for the last one's where
// the answer did not end by an end token. Tells the sink of each
// piece of text, if `stream`. Throws Error(kCanceled) within a token when the sink says so.
Generation RunDecode(const DecodeNode& decode, std::vector<float> logits, const Stopwatch& since,
                     bool stream, QueryState& query);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DECODE_H_
