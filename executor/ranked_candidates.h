// The tokens that may be drawn, by likelihood, without sorting all of a large vocabulary.
#ifndef PROMPTDB_EXECUTOR_RANKED_CANDIDATES_H_
#define PROMPTDB_EXECUTOR_RANKED_CANDIDATES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace promptdb {

// A bucket sort that goes on only where it is asked: candidates are counted and weighed in buckets
// of like logits, and a bucket is sorted when a count ends in it. A draw sorts one or two of them.
// The likelier is before; of equals, the lower id. Not thread-safe.
class RankedCandidates {
 public:
  // Forgets what was there, and makes room for as many.
  void Reset(size_t most);
  // By rising ids. The logit is a number, and more than minus infinity.
  void Add(int32_t id, float logit) {
    ids_[size_] = id;
    logits_[size_++] = logit;
    // Seldom, and without a store otherwise.
    if (logit < least_) least_ = logit;
    if (logit > most_) most_ = logit;
  }

  size_t size() const { return size_; }

  // A candidate's weight is proportional to its probability, to 2e-7; the likeliest has 1. All that
  // follow want it. REQUIRES: there is one; temperature > 0.
  void Weigh(double temperature);

  // How many of the likeliest it takes to weigh `wanted` together: at least one, at most `most`.
  size_t CountOfWeight(double wanted, size_t most);
  // How many weigh `least` or more each.
  size_t CountAtLeast(double least) const;
  // What the `count` likeliest weigh together.
  double WeightOf(size_t count);
  // The one that `rank` are likelier than. REQUIRES: rank < size().
  int32_t IdAt(size_t rank);

 private:
  static constexpr size_t kBuckets = 1024;
  struct Bucket {
    size_t count = 0;
    double weight = 0;
  };
  struct Candidate {
    int32_t id = 0;
    float logit = 0;
    float weight = 0;
  };

  // The bucket's candidates in order, until the next call.
  const std::vector<Candidate>& Sorted(size_t bucket);

  size_t size_ = 0;
  float least_ = 0;
  float most_ = 0;
  // Of each candidate; the vectors are longer than size_, or as long.
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
  std::vector<float> exponents_;  // 2 to the power of it is the weight
  std::vector<float> weights_;
  std::vector<uint16_t> bucket_of_;

  std::array<Bucket, kBuckets> buckets_;
  size_t sorted_bucket_ = kBuckets;  // that sorted_ is of
  std::vector<Candidate> sorted_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_RANKED_CANDIDATES_H_
