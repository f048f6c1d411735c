#include "executor/ranked_candidates.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace promptdb {

namespace {

// Of the logits divided by the temperature: what is this much less likely than the likeliest is
// drawn once in e^64 times, and shares the last bucket.
constexpr double kWidestRange = 64;

}  // namespace

void RankedCandidates::Assign(std::span<TokenCandidate> candidates, double temperature) {
  const auto [least, most] = std::ranges::minmax_element(candidates, {}, &TokenCandidate::logit);
  const double top = most->logit;
  // In this order, std::min() never gives what is not a number, which a broken model may have.
  const double range = std::min(kWidestRange * temperature, top - least->logit);
  const double scale = range > 0 ? static_cast<double>(kBuckets - 1) / range : 0;
  buckets_.fill({});
  bucket_of_.resize(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    TokenCandidate& candidate = candidates[i];
    const double below = top - candidate.logit;
    candidate.weight = std::exp(-below / temperature);
    const auto bucket = static_cast<size_t>(std::min(range, below) * scale);
    bucket_of_[i] = static_cast<uint16_t>(bucket);
    buckets_[bucket].weight += candidate.weight;
    ++buckets_[bucket].end;
  }
  // From counts to where each begins, and with its candidates to where it ends.
  size_t begin = 0;
  for (Bucket& bucket : buckets_) begin += std::exchange(bucket.end, begin);
  candidates_.resize(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates_[buckets_[bucket_of_[i]].end++] = candidates[i];
  }
}

void RankedCandidates::Sort(size_t bucket) {
  if (std::exchange(buckets_[bucket].is_sorted, true)) return;
  std::sort(candidates_.begin() + static_cast<ptrdiff_t>(BeginOf(bucket)),
            candidates_.begin() + static_cast<ptrdiff_t>(buckets_[bucket].end), Likelier);
}

size_t RankedCandidates::CountOfWeight(double wanted, size_t most) {
  double sum = 0;
  for (size_t b = 0; b < kBuckets && BeginOf(b) < most; ++b) {
    if (buckets_[b].end <= most && sum + buckets_[b].weight < wanted) {
      sum += buckets_[b].weight;
      continue;
    }
    Sort(b);
    for (size_t i = BeginOf(b); i < std::min(buckets_[b].end, most); ++i) {
      sum += candidates_[i].weight;
      if (sum >= wanted) return i + 1;
    }
  }
  return most;
}

size_t RankedCandidates::CountAtLeast(double least) const {
  return static_cast<size_t>(std::ranges::count_if(
      candidates_, [&](const TokenCandidate& candidate) { return candidate.weight >= least; }));
}

double RankedCandidates::WeightOf(size_t count) {
  double sum = 0;
  for (size_t b = 0; b < kBuckets && BeginOf(b) < count; ++b) {
    if (buckets_[b].end <= count) {
      sum += buckets_[b].weight;
      continue;
    }
    Sort(b);
    for (size_t i = BeginOf(b); i < count; ++i) sum += candidates_[i].weight;
  }
  return sum;
}

int32_t RankedCandidates::IdAt(size_t rank) {
  size_t bucket = 0;
  while (buckets_[bucket].end <= rank) ++bucket;
  Sort(bucket);
  return candidates_[rank].id;
}

}  // namespace promptdb
