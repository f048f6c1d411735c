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

int32_t Sampler::Sample(std::span<const float> logits, std::span<const int32_t> history) {
  Check(!logits.empty(), "there are logits to sample from");
  if (options_.temperature <= 0 && options_.repetition_penalty == 1.0) {
    const auto likeliest = std::max_element(logits.begin(), logits.end());  // the first of equals
    Check(*likeliest != -std::numeric_limits<float>::infinity(), "some token may be drawn");
    return static_cast<int32_t>(likeliest - logits.begin());
  }
  const double penalty = options_.repetition_penalty;
  is_repeated_.assign(logits.size(), false);
  if (penalty != 1.0) {
    for (const int32_t id : history) {
      if (id >= 0 && static_cast<size_t>(id) < logits.size()) is_repeated_[id] = true;
    }
  }
  std::vector<TokenCandidate>& candidates = candidates_;
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    double logit = logits[i];
    if (logit == -std::numeric_limits<double>::infinity()) continue;
    // Less likely, whichever sign the logit has.
    if (is_repeated_[i]) logit = logit > 0 ? logit / penalty : logit * penalty;
    candidates.push_back({static_cast<int32_t>(i), logit, 0});
  }
  Check(!candidates.empty(), "some token may be drawn");
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
