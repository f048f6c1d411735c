// Stop texts against a plain search of the whole text, however it is cut into pieces.
#include "executor/stop_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>

namespace promptdb {
namespace {

// The text up to the stop text that is complete first (the longest of those that end there).
std::optional<std::string> CutAtStop(const std::string& text,
                                     const std::vector<std::string>& stops) {
  size_t best_end = std::string::npos, best_begin = 0;
  for (const std::string& stop : stops) {
    const size_t begin = text.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < best_end || (end == best_end && begin < best_begin)) {
      best_end = end;
      best_begin = begin;
    }
  }
  if (best_end == std::string::npos) return std::nullopt;
  return text.substr(0, best_begin);
}

TEST(StopFilter, EqualsASearchOfTheWholeTextWhateverThePieces) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  const auto text_of = [&](size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += "abc"[below(random() % 2 == 0 ? 2 : 3)];
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops(below(4));
    for (std::string& stop : stops) stop = text_of(1 + below(6));
    const std::string text = text_of(below(30));
    const std::optional<std::string> wanted = CutAtStop(text, stops);

    StopFilter filter(stops);
    std::string shown;
    for (size_t begin = 0; begin < text.size() && !filter.stopped();) {
      const size_t size = std::min(text.size() - begin, below(5));
      shown += filter.Push(std::string_view(text).substr(begin, size));
      begin += size;
      // What is out is never taken back, and nothing is held without a reason.
      ASSERT_TRUE((wanted ? *wanted : text).starts_with(shown));
      if (!filter.stopped()) {
        const std::string held = text.substr(shown.size(), begin - shown.size());
        ASSERT_TRUE(held.empty() || std::any_of(stops.begin(), stops.end(), [&](const auto& stop) {
                      return stop.size() > held.size() && stop.starts_with(held);
                    }));
      }
    }
    shown += filter.Finish();
    ASSERT_EQ(filter.stopped(), wanted.has_value());
    ASSERT_EQ(shown, wanted ? *wanted : text);
    if (wanted) ++stopped;
  }
  EXPECT_GT(stopped, 1000);
}

TEST(StopFilter, TheFirstCompleteStopTextCounts) {
  StopFilter filter({"abcd", "c", "bc"});
  EXPECT_EQ(filter.Push("xxab"), "xx");
  EXPECT_EQ(filter.Push("cd"), "a");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.Finish(), "");
}

}  // namespace
}  // namespace promptdb
