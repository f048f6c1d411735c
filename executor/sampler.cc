#include "executor/sampler.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "base/error.h"

namespace promptdb {
namespace {

// Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (2014).
uint64_t SplitMix64(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}

bool Sampler::Penalizes() const {
  return options_.repetition_penalty != 1.0 || options_.presence_penalty != 0 ||
         options_.frequency_penalty != 0;
}

void Sampler::Penalize(std::span<const int32_t> prompt, std::span<const int32_t> answer) {
  uses_.assign(static_cast<size_t>(candidates_.back().id) + 1, {});
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
  for (TokenCandidate& candidate : candidates_) {
    const Uses& uses = uses_[static_cast<size_t>(candidate.id)];
    if (!uses.is_repeated) continue;
    // Less likely, whichever sign the logit has.
    const double penalty = options_.repetition_penalty;
    candidate.logit = candidate.logit > 0 ? candidate.logit / penalty : candidate.logit * penalty;
    if (uses.in_answer == 0) continue;
    candidate.logit -= options_.presence_penalty + options_.frequency_penalty * uses.in_answer;
  }
}

int32_t Sampler::Sample(std::span<const float> logits, std::span<const int32_t> prompt,
                        std::span<const int32_t> answer) {
  Check(!logits.empty(), "there are logits to sample from");
  if (options_.temperature <= 0 && !Penalizes()) {
    const auto likeliest = std::max_element(logits.begin(), logits.end());  // the first of equals
    Check(*likeliest != -std::numeric_limits<float>::infinity(), "some token may be drawn");
    return static_cast<int32_t>(likeliest - logits.begin());
  }
  std::vector<TokenCandidate>& candidates = candidates_;
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == -std::numeric_limits<float>::infinity()) continue;
    candidates.push_back({static_cast<int32_t>(i), logits[i], 0});
  }
  Check(!candidates.empty(), "some token may be drawn");
  if (Penalizes()) Penalize(prompt, answer);
  if (options_.temperature <= 0) {
    return std::min_element(candidates.begin(), candidates.end(), Likelier)->id;
  }

  size_t keep = candidates.size();
  if (options_.top_k > 0) keep = std::min(keep, static_cast<size_t>(options_.top_k));
  if (keep < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(keep),
                     candidates.end(), Likelier);
    candidates.resize(keep);
  }
  ranked_.Assign(candidates, options_.temperature);
  if (options_.top_p < 1.0) {
    // The fewest candidates that hold top_p of the probability; always one. Holtzman et al., 2020.
    keep = ranked_.CountOfWeight(options_.top_p * ranked_.WeightOf(keep), keep);
  }
  if (options_.min_p > 0) {
    keep = std::clamp<size_t>(ranked_.CountAtLeast(options_.min_p), 1, keep);
  }
  const double uniform = static_cast<double>(SplitMix64(state_) >> 11) * 0x1.0p-53;  // [0, 1)
  return ranked_.IdAt(ranked_.CountOfWeight(uniform * ranked_.WeightOf(keep), keep) - 1);
}

}  // namespace promptdb
