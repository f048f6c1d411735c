// The sampler's distribution against exact probabilities, and what its filters leave.
#include "executor/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/expect_error.h"

namespace promptdb {
namespace {

constexpr int kDraws = 20000;

std::map<int32_t, int> Draw(const SamplingOptions& options, const std::vector<float>& logits,
                            const std::vector<int32_t>& prompt = {},
                            const std::vector<int32_t>& answer = {}) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[sampler.Sample(logits, prompt, answer)];
  return counts;
}

std::set<int32_t> Ids(const std::map<int32_t, int>& counts) {
  std::set<int32_t> ids;
  for (const auto& [id, count] : counts) ids.insert(id);
  return ids;
}

// Pearson's statistic of the counts against probabilities, by id.
double ChiSquare(const std::map<int32_t, int>& counts, const std::map<int32_t, double>& wanted) {
  double statistic = 0;
  for (const auto& [id, probability] : wanted) {
    const auto found = counts.find(id);
    const double count = found == counts.end() ? 0 : found->second;
    const double expected = probability * kDraws;
    statistic += (count - expected) * (count - expected) / expected;
  }
  return statistic;
}

std::map<int32_t, double> Softmax(const std::map<int32_t, double>& logits, double temperature) {
  double total = 0;
  std::map<int32_t, double> probabilities;
  for (const auto& [id, logit] : logits) total += probabilities[id] = std::exp(logit / temperature);
  for (auto& [id, probability] : probabilities) probability /= total;
  return probabilities;
}

const std::vector<float> kLogits = {1.0f, 0.0f, 2.0f, -1.0f, 1.5f, 0.5f};
const std::map<int32_t, double> kAll = {{0, 1.0},  {1, 0.0}, {2, 2.0},
                                        {3, -1.0}, {4, 1.5}, {5, 0.5}};

TEST(Sampler, GreedyTakesTheLikeliestAndTheLowestIdAmongEquals) {
  Sampler sampler({});
  EXPECT_EQ(sampler.Sample(kLogits, {}), 2);
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 3, 2, 3, 3}, {}), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-5}, {}), 0);
}

TEST(Sampler, FollowsTheSoftmaxAtEveryTemperature) {
  for (const double temperature : {0.5, 1.0, 2.0}) {
    for (const uint64_t seed : {1, 2, 3}) {
      const auto counts = Draw({.temperature = temperature, .seed = seed}, kLogits);
      // 5 degrees of freedom: beyond 20.5 once in a thousand.
      EXPECT_LT(ChiSquare(counts, Softmax(kAll, temperature)), 20.5)
          << "temperature " << temperature << ", seed " << seed;
    }
  }
}

TEST(Sampler, TopKKeepsTheLikeliestInTheirProportions) {
  const auto counts = Draw({.temperature = 1, .top_k = 3, .seed = 4}, kLogits);
  EXPECT_EQ(Ids(counts), (std::set<int32_t>{0, 2, 4}));
  EXPECT_LT(ChiSquare(counts, Softmax({{0, 1.0}, {2, 2.0}, {4, 1.5}}, 1)), 13.8);
  EXPECT_EQ(Ids(Draw({.temperature = 5, .top_k = 1}, kLogits)), (std::set<int32_t>{2}));
  EXPECT_EQ(Ids(Draw({.temperature = 5, .top_k = 100}, kLogits)).size(), 6u);
}

TEST(Sampler, TopKBreaksTiesByTheLowerId) {
  const std::vector<float> equal(10, 1.0f);
  EXPECT_EQ(Ids(Draw({.temperature = 1, .top_k = 4}, equal)), (std::set<int32_t>{0, 1, 2, 3}));
}

TEST(Sampler, TopPKeepsTheFewestThatHoldTheMass) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> logits = {std::log(2.0f), std::log(8.0f), std::log(4.0f),
                                     std::log(2.0f)};
  const auto with = [&](double top_p) {
    return Ids(Draw({.temperature = 1, .top_p = top_p, .seed = 5}, logits));
  };
  EXPECT_EQ(with(0.0), (std::set<int32_t>{1}));
  EXPECT_EQ(with(0.45), (std::set<int32_t>{1}));
  EXPECT_EQ(with(0.6), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(with(0.8), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(with(1.0), (std::set<int32_t>{0, 1, 2, 3}));
}

TEST(Sampler, MinPIsRelativeToTheLikeliest) {
  const std::vector<float> logits = {std::log(8.0f), std::log(4.0f), std::log(2.0f),
                                     std::log(1.0f)};
  const auto with = [&](double min_p) {
    return Ids(Draw({.temperature = 1, .min_p = min_p, .seed = 6}, logits));
  };
  EXPECT_EQ(with(0.6), (std::set<int32_t>{0}));
  EXPECT_EQ(with(0.4), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(with(0.2), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(with(1.0), (std::set<int32_t>{0}));
}

TEST(Sampler, TemperatureComesBeforeTopP) {
  // At temperature 0.1 the likeliest holds nearly all, so that top_p leaves it alone.
  EXPECT_EQ(Ids(Draw({.temperature = 0.1, .top_p = 0.9, .seed = 7}, kLogits)),
            (std::set<int32_t>{2}));
  EXPECT_GT(Ids(Draw({.temperature = 10, .top_p = 0.9, .seed = 7}, kLogits)).size(), 3u);
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  Sampler sampler(options);
  // 2.0 / 2 = 1.0 < 1.5; ids that repeat or lie out of range count once, or not at all.
  EXPECT_EQ(sampler.Sample(kLogits, std::vector<int32_t>{2, 2, 2, 99, -1}), 4);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1.0f, -1.5f}, std::vector<int32_t>{0}), 1);
  options.temperature = 1;
  options.seed = 8;
  const auto counts = Draw(options, kLogits, {2, 3});
  std::map<int32_t, double> penalized = kAll;
  penalized[2] = 1.0;
  penalized[3] = -2.0;
  EXPECT_LT(ChiSquare(counts, Softmax(penalized, 1)), 20.5);
}

TEST(Sampler, TokensOfTheAnswerPayOnceAndForEachUse) {
  const std::vector<int32_t> prompt = {4, 4, 0}, answer = {2, 2, 3, 99, -1};
  SamplingOptions options = {.presence_penalty = 0.75};
  EXPECT_EQ(Sampler(options).Sample(kLogits, prompt, answer), 4);  // 1.5 beats 2 - 0.75
  options = {.frequency_penalty = 0.2};
  EXPECT_EQ(Sampler(options).Sample(kLogits, prompt, answer), 2);  // 2 - 0.4
  options.frequency_penalty = 0.3;
  EXPECT_EQ(Sampler(options).Sample(kLogits, prompt, answer), 4);  // 2 - 0.6
  options = {.temperature = 1, .presence_penalty = 0.5, .frequency_penalty = -0.25, .seed = 12};
  std::map<int32_t, double> penalized = kAll;
  penalized[2] = 2.0 - 0.5 + 2 * 0.25;
  penalized[3] = -1.0 - 0.5 + 0.25;
  EXPECT_LT(ChiSquare(Draw(options, kLogits, prompt, answer), Softmax(penalized, 1)), 20.5);
}

TEST(Sampler, NeverDrawsWhatIsMasked) {
  std::vector<float> masked = kLogits;
  const float never = -std::numeric_limits<float>::infinity();
  masked[2] = masked[5] = never;
  EXPECT_EQ(Sampler({}).Sample(masked, {}), 4);
  for (const double penalty : {1.0, 0.5, 2.0}) {
    const std::vector<int32_t> history = {2, 3, 5};
    SamplingOptions options = {.temperature = 1, .repetition_penalty = penalty, .seed = 11};
    const auto counts = Draw(options, masked, history);
    std::map<int32_t, double> left = {{0, 1.0}, {1, 0.0}, {3, -1.0 * penalty}, {4, 1.5}};
    EXPECT_EQ(Ids(counts), (std::set<int32_t>{0, 1, 3, 4}));
    EXPECT_LT(ChiSquare(counts, Softmax(left, 1)), 16.3) << "penalty " << penalty;
    options.temperature = 100;
    options.top_k = 5;
    EXPECT_EQ(Ids(Draw(options, masked, history)), (std::set<int32_t>{0, 1, 3, 4}));
  }
  EXPECT_EQ(Sampler({.temperature = 1}).Sample(std::vector<float>{never, 0, never}, {}), 1);
}

// Draws as the contract says it, of all candidates in order.
class SlowSampler {
 public:
  explicit SlowSampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}

  int32_t Sample(const std::vector<float>& logits) {
    std::vector<std::pair<double, int32_t>> order;  // sorts from the likeliest, the lower id first
    for (size_t i = 0; i < logits.size(); ++i) order.emplace_back(-logits[i], i);
    std::sort(order.begin(), order.end());
    if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < order.size()) {
      order.resize(static_cast<size_t>(options_.top_k));
    }
    const auto weight = [&](size_t i) {
      return std::exp((order[0].first - order[i].first) / options_.temperature);
    };
    const auto total = [&] {
      double sum = 0;
      for (size_t i = 0; i < order.size(); ++i) sum += weight(i);
      return sum;
    };
    // The fewest that reach the share of what all weigh.
    const auto count_of = [&](double share) {
      const double wanted = share * total();
      double sum = 0;
      for (size_t i = 0; i < order.size(); ++i) {
        sum += weight(i);
        if (sum >= wanted) return i + 1;
      }
      return order.size();
    };
    if (options_.top_p < 1) order.resize(count_of(options_.top_p));
    while (order.size() > 1 && weight(order.size() - 1) < options_.min_p) order.pop_back();
    return order[count_of(Uniform()) - 1].second;
  }

 private:
  // SplitMix64.
  double Uniform() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
  }

  SamplingOptions options_;
  uint64_t state_;
};

// How many are likelier.
int RankOf(int32_t id, const std::vector<float>& logits) {
  const float logit = logits[static_cast<size_t>(id)];
  int rank = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    rank += logits[i] > logit || (logits[i] == logit && static_cast<int32_t>(i) < id) ? 1 : 0;
  }
  return rank;
}

TEST(Sampler, DrawsOfALargeVocabularyWhatSortingAllOfItDraws) {
  std::mt19937_64 random(3);
  int draws = 0, neighbors = 0;
  // Flat, as usual, peaked, far apart, and most of them equal.
  for (const double spread : {0.01, 3.0, 30.0, 1e6, 0.0}) {
    std::normal_distribution<float> logit(0, static_cast<float>(spread));
    std::vector<float> logits(5000);
    for (float& value : logits)
      value = spread == 0 ? static_cast<float>(random() % 3) : logit(random);
    for (const double temperature : {0.01, 1.0, 50.0}) {
      for (const int top_k : {0, 40, 4000}) {
        for (const double top_p : {1.0, 0.9, 0.1}) {
          for (const double min_p : {0.0, 0.05}) {
            const SamplingOptions options = {.temperature = temperature,
                                             .top_k = top_k,
                                             .top_p = top_p,
                                             .min_p = min_p,
                                             .seed = random()};
            Sampler sampler(options);
            SlowSampler slow(options);
            for (int i = 0; i < 5; ++i) {
              const int32_t drawn = sampler.Sample(logits), wanted = slow.Sample(logits);
              ++draws;
              if (drawn == wanted) continue;
              // Weights are floats, and sums of them end a hair beside those of doubles.
              ++neighbors;
              ASSERT_LE(std::abs(RankOf(drawn, logits) - RankOf(wanted, logits)), 1)
                  << spread << ' ' << temperature << ' ' << top_k << ' ' << top_p << ' ' << min_p;
            }
          }
        }
      }
    }
  }
  EXPECT_LE(neighbors, draws / 100);
}

// What a broken model says crashes nothing.
TEST(Sampler, NeverDrawsWhatIsNoNumber) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const SamplingOptions drawn = {.temperature = 1, .top_p = 0.9, .seed = 13};
  EXPECT_EQ(Ids(Draw(drawn, {0, kNan, 1})), (std::set<int32_t>{0, 2}));
  EXPECT_EQ(Sampler({}).Sample(std::vector<float>{kNan, 0, 1}), 2);
  for (const std::vector<float>& logits : {std::vector<float>{kInf, 0, kInf}, {kInf, kNan}}) {
    const int32_t id = Sampler(drawn).Sample(logits);
    EXPECT_GE(id, 0);
    EXPECT_LT(static_cast<size_t>(id), logits.size());
  }
  for (const SamplingOptions& options : {SamplingOptions{}, drawn}) {
    ExpectError(ErrorCode::kCorrupt, {"no token"}, [&] {
      Sampler(options).Sample(std::vector<float>{kNan, -kInf});
    });
  }
}

TEST(Sampler, TheSeedDeterminesTheSequence) {
  const auto sequence = [](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.Sample(kLogits, {}));
    return ids;
  };
  EXPECT_EQ(sequence(9), sequence(9));
  EXPECT_NE(sequence(9), sequence(10));
  // Part of the contract: the same on every platform and in every release. SplitMix64 of seed 0
  // begins with 0.8833, 0.4315, 0.0264, 0.9709 of the unit interval, which likelier ids fill first.
  const std::vector<int32_t> first = sequence(0);
  EXPECT_EQ(std::vector<int32_t>(first.begin(), first.begin() + 4),
            (std::vector<int32_t>{5, 4, 2, 1}));
}

}  // namespace
}  // namespace promptdb
