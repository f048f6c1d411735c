// The tokens that may be drawn, by likelihood, without sorting all of a large vocabulary.
#ifndef PROMPTDB_EXECUTOR_RANKED_CANDIDATES_H_
#define PROMPTDB_EXECUTOR_RANKED_CANDIDATES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace promptdb {

struct TokenCandidate {
  int32_t id = 0;
  double logit = 0;
  double weight = 0;  // proportional to its probability; the likeliest has 1
};

// Likelier first; the lower id among equals, so that order never depends on the sort.
inline bool Likelier(const TokenCandidate& a, const TokenCandidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// A bucket sort that goes on only where it is asked: candidates lie in buckets of like logits, and
// a bucket is sorted when a count ends in it. A draw sorts a few of them. Not thread-safe.
class RankedCandidates {
 public:
  // Weighs the candidates, and has them from now on instead of others. REQUIRES: there is one;
  // temperature > 0.
  void Assign(std::span<TokenCandidate> candidates, double temperature);

  size_t size() const { return candidates_.size(); }

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
    size_t end = 0;  // where it ends among candidates_
    double weight = 0;
    bool is_sorted = false;
  };

  size_t BeginOf(size_t bucket) const { return bucket == 0 ? 0 : buckets_[bucket - 1].end; }
  // Its candidates, from the likeliest.
  void Sort(size_t bucket);

  std::vector<TokenCandidate> candidates_;
  std::vector<uint16_t> bucket_of_;  // of each candidate, before they are in order
  std::array<Bucket, kBuckets> buckets_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_RANKED_CANDIDATES_H_
