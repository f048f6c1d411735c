// The probabilities of tokens at one place of a text, and how they are told: SELECT LOGPROBS, and
// SELECT GENERATE (logprobs => n).
//
// Not thread-safe where a tokenizer or logits are borrowed for the call.
#ifndef PROMPTDB_EXECUTOR_LOGPROBS_H_
#define PROMPTDB_EXECUTOR_LOGPROBS_H_

#include <span>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace promptdb {

// A token and the natural logarithm of its probability.
struct TokenLogprob {
  TokenId id = 0;
  double logprob = 0;
};

// Logarithms of the probabilities that logits [vocab], borrowed, stand for.
class Distribution {
 public:
  explicit Distribution(std::span<const float> logits);

  double Logprob(TokenId id) const { return logits_[static_cast<size_t>(id)] - log_sum_; }
  // The `count` likeliest tokens, the lowest id first among equals.
  std::vector<TokenLogprob> Top(int count) const;

 private:
  std::span<const float> logits_;
  double log_sum_ = 0;
};

// A token of an answer with those that were likeliest in its place.
struct AnswerToken {
  TokenLogprob token;
  std::vector<TokenLogprob> top;
};

// What a token adds to a text; how it is spelled where that is nothing, or no whole characters.
std::string ShownToken(TokenId id, const Tokenizer& tokenizer);

// [{"id": …, "token": …, "logprob": …}, …]
std::string TopJson(std::span<const TokenLogprob> top, const Tokenizer& tokenizer);
// The same for the tokens of an answer. Each has "top" as well, and each token here and there has
// its "bytes", [240, 159], where it is no whole characters: none for a control token.
std::string AnswerJson(std::span<const AnswerToken> tokens, const Tokenizer& tokenizer);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_LOGPROBS_H_
