// Random numbers that are the same on every machine: the standard library's distributions are not.
// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
//
// Not thread-safe.
#ifndef PROMPTDB_CORPUS_RANDOM_H_
#define PROMPTDB_CORPUS_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace promptdb {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // From 0 to `bound` - 1. REQUIRES: bound > 0. (The bias of the remainder is beneath notice here.)
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // From `low` to `high`, both included.
  int Between(int low, int high) { return low + static_cast<int>(Below(high - low + 1)); }
  // In [0, 1).
  double Fraction() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Fraction() < probability; }

  template <typename T>
  const T& Pick(std::span<const T> from) {
    return from[Below(from.size())];
  }

  template <typename T>
  void Shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[Below(i)]);
  }

 private:
  uint64_t state_;
};

}  // namespace promptdb

#endif  // PROMPTDB_CORPUS_RANDOM_H_
