// Picks the next token from logits.
#ifndef PROMPTDB_EXECUTOR_SAMPLER_H_
#define PROMPTDB_EXECUTOR_SAMPLER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "executor/ranked_candidates.h"

namespace promptdb {

struct SamplingOptions {
  double temperature = 0;           // 0: greedy, the lowest id among equals
  int top_k = 0;                    // 0: off
  double top_p = 1.0;               // 1: off
  double min_p = 0;                 // 0: off; relative to the likeliest token's probability
  double repetition_penalty = 1.0;  // 1: off; Keskar et al., "CTRL" (2019)
  // Taken from the logit of a token that is in the answer: once, and each time that it is there.
  // OpenAI's API reference.
  double presence_penalty = 0;
  double frequency_penalty = 0;
  uint64_t seed = 0;
};

// One per generation: the random sequence depends on the seed alone (an own generator, PCG or
// splitmix64, so that every platform and library version draws the same). Not thread-safe.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);

  // `prompt` and `answer`: the tokens so far, for the penalties. Filters apply in the order
  // penalties, temperature, top_k, top_p, min_p. A token of logit minus infinity, or whose logit is
  // no number, is never drawn; throws Error(kCorrupt) where there is no other.
  int32_t Sample(std::span<const float> logits, std::span<const int32_t> prompt = {},
                 std::span<const int32_t> answer = {});

 private:
  bool Penalizes() const;
  // The logits less the penalties, in penalized_.
  std::span<const float> Penalize(std::span<const float> logits, std::span<const int32_t> prompt,
                                  std::span<const int32_t> answer);

  SamplingOptions options_;
  uint64_t state_;
  // Kept, since a large vocabulary's take long to allocate.
  RankedCandidates candidates_;
  std::vector<float> penalized_;
  struct Uses {
    bool is_repeated = false;  // in prompt or answer
    int in_answer = 0;
  };
  std::vector<Uses> uses_;  // by token id
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SAMPLER_H_
