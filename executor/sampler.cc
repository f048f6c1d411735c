#include "executor/sampler.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "base/error.h"

namespace promptdb {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (2014).
uint64_t SplitMix64(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

[[noreturn]] void ThrowNothingToDraw() {
  throw Error(ErrorCode::kCorrupt, "the model gives no token a probability",
              "Its weights may be damaged.");
}

// The first of equals. Without a list of candidates: every greedy token comes from here.
int32_t Likeliest(std::span<const float> logits) {
  int32_t likeliest = -1;
  float most = kNever;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > most)) continue;
    most = logits[i];
    likeliest = static_cast<int32_t>(i);
  }
  if (likeliest < 0) ThrowNothingToDraw();
  return likeliest;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}

bool Sampler::Penalizes() const {
  return options_.repetition_penalty != 1.0 || options_.presence_penalty != 0 ||
         options_.frequency_penalty != 0;
}

std::span<const float> Sampler::Penalize(std::span<const float> logits,
                                         std::span<const int32_t> prompt,
                                         std::span<const int32_t> answer) {
  uses_.assign(logits.size(), {});
  const auto uses_of = [&](int32_t id) {
    return id >= 0 && static_cast<size_t>(id) < uses_.size() ? &uses_[static_cast<size_t>(id)]
                                                             : nullptr;
  };
  for (const int32_t id : prompt) {
    if (Uses* uses = uses_of(id)) uses->is_repeated = true;
  }
  for (const int32_t id : answer) {
    if (Uses* uses = uses_of(id)) *uses = {.is_repeated = true, .in_answer = uses->in_answer + 1};
  }
  penalized_.assign(logits.begin(), logits.end());
  for (size_t i = 0; i < penalized_.size(); ++i) {
    if (!uses_[i].is_repeated) continue;
    double logit = penalized_[i];
    // Less likely, whichever sign the logit has.
    const double penalty = options_.repetition_penalty;
    logit = logit > 0 ? logit / penalty : logit * penalty;
    if (uses_[i].in_answer > 0) {
      logit -= options_.presence_penalty + options_.frequency_penalty * uses_[i].in_answer;
    }
    penalized_[i] = static_cast<float>(logit);
  }
  return penalized_;
}

int32_t Sampler::Sample(std::span<const float> logits, std::span<const int32_t> prompt,
                        std::span<const int32_t> answer) {
  if (Penalizes()) logits = Penalize(logits, prompt, answer);
  if (options_.temperature <= 0) return Likeliest(logits);
  candidates_.Reset(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    // Neither what is masked nor what is no number.
    if (!(logits[i] > kNever)) continue;
    candidates_.Add(static_cast<int32_t>(i), logits[i]);
  }
  if (candidates_.size() == 0) ThrowNothingToDraw();

  candidates_.Weigh(options_.temperature);
  size_t keep = candidates_.size();
  if (options_.top_k > 0) keep = std::min(keep, static_cast<size_t>(options_.top_k));
  if (options_.top_p < 1.0) {
    // The fewest candidates that hold top_p of the probability; always one. Holtzman et al., 2020.
    keep = candidates_.CountOfWeight(options_.top_p * candidates_.WeightOf(keep), keep);
  }
  if (options_.min_p > 0) {
    keep = std::clamp<size_t>(candidates_.CountAtLeast(options_.min_p), 1, keep);
  }
  const double uniform = static_cast<double>(SplitMix64(state_) >> 11) * 0x1.0p-53;  // [0, 1)
  const double wanted = uniform * candidates_.WeightOf(keep);
  return candidates_.IdAt(candidates_.CountOfWeight(wanted, keep) - 1);
}

}  // namespace promptdb
