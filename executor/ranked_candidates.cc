#include "executor/ranked_candidates.h"

#include <algorithm>
#include <limits>
#include <numbers>

#include "executor/simd.h"

namespace promptdb {

namespace {

// Of the exponents of weights: what is less likely is drawn once in 2^92 times, and shares the last
// bucket.
constexpr float kWidestRange = 92;

}  // namespace

void RankedCandidates::Reset(size_t most) {
  size_ = 0;
  least_ = std::numeric_limits<float>::infinity();
  most_ = -std::numeric_limits<float>::infinity();
  if (ids_.size() >= most) return;
  ids_.resize(most);
  logits_.resize(most);
  exponents_.resize(most);
  weights_.resize(most);
  bucket_of_.resize(most);
}

void RankedCandidates::Weigh(double temperature) {
  const auto per_logit = static_cast<float>(std::numbers::log2e / temperature);
  for (size_t i = 0; i < size_; ++i) exponents_[i] = (logits_[i] - most_) * per_logit;
  KernelsFor(BestCpuPath()).exp2(exponents_.data(), static_cast<int>(size_), weights_.data());

  const float range = std::min(kWidestRange, (most_ - least_) * per_logit);
  const float scale = range > 0 ? static_cast<float>(kBuckets - 1) / range : 0;
  buckets_.fill({});
  sorted_bucket_ = kBuckets;
  for (size_t i = 0; i < size_; ++i) {
    // In this order, std::min() never gives what is not a number: two infinities differ by that.
    const auto bucket = static_cast<uint16_t>(std::min(range, -exponents_[i]) * scale);
    bucket_of_[i] = bucket;
    buckets_[bucket].weight += weights_[i];
    ++buckets_[bucket].count;
  }
}

const std::vector<RankedCandidates::Candidate>& RankedCandidates::Sorted(size_t bucket) {
  if (sorted_bucket_ == bucket) return sorted_;
  sorted_bucket_ = bucket;
  sorted_.clear();
  for (size_t i = 0; i < size_; ++i) {
    if (bucket_of_[i] == bucket) sorted_.push_back({ids_[i], logits_[i], weights_[i]});
  }
  std::ranges::sort(sorted_, [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
  return sorted_;
}

size_t RankedCandidates::CountOfWeight(double wanted, size_t most) {
  double sum = 0;
  size_t count = 0;
  for (size_t b = 0; b < kBuckets && count < most; ++b) {
    const Bucket& bucket = buckets_[b];
    if (count + bucket.count <= most && sum + bucket.weight < wanted) {
      count += bucket.count;
      sum += bucket.weight;
      continue;
    }
    for (const Candidate& candidate : Sorted(b)) {
      ++count;
      sum += candidate.weight;
      if (sum >= wanted || count == most) return count;
    }
  }
  return count;
}

size_t RankedCandidates::CountAtLeast(double least) const {
  return static_cast<size_t>(std::count_if(weights_.begin(),
                                           weights_.begin() + static_cast<ptrdiff_t>(size_),
                                           [&](float weight) { return weight >= least; }));
}

double RankedCandidates::WeightOf(size_t count) {
  double sum = 0;
  for (size_t b = 0; b < kBuckets && count > 0; ++b) {
    const Bucket& bucket = buckets_[b];
    if (bucket.count <= count) {
      count -= bucket.count;
      sum += bucket.weight;
      continue;
    }
    for (const Candidate& candidate : Sorted(b)) {
      if (count == 0) break;
      --count;
      sum += candidate.weight;
    }
  }
  return sum;
}

int32_t RankedCandidates::IdAt(size_t rank) {
  size_t bucket = 0;
  while (buckets_[bucket].count <= rank) rank -= buckets_[bucket++].count;
  return Sorted(bucket)[rank].id;
}

}  // namespace promptdb
