#include "base/value.h"

#include <gtest/gtest.h>

#include <limits>

namespace promptdb {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

TEST(ValueTest, IntegersAndRealsAreComparedExactly) {
  const struct {
    int64_t integer;
    double real;
    int order;
  } cases[] = {
      {0, 0.0, 0},
      {0, -0.0, 0},
      {1, 1.5, -1},
      {2, 1.5, 1},
      {-1, -1.5, 1},
      {-2, -1.5, -1},
      {(int64_t{1} << 53) + 1, 9007199254740992.0, 1},  // equal as reals
      {kMost, 9223372036854775808.0, -1},               // equal as reals
      {kMost, 9223372036854774784.0, 1},
      {kLeast, -9223372036854775808.0, 0},
      {kLeast, -9223372036854777856.0, 1},
      {kMost, std::numeric_limits<double>::infinity(), -1},
      {kLeast, -std::numeric_limits<double>::infinity(), 1},
      {kMost, std::numeric_limits<double>::quiet_NaN(), -1},
  };
  for (const auto& [integer, real, order] : cases) {
    EXPECT_EQ(CompareValues(integer, real), order) << integer << " " << real;
    EXPECT_EQ(CompareValues(real, integer), -order) << integer << " " << real;
  }
}

TEST(ValueTest, TextsAreInOrderOfCodePoints) {
  const std::vector<std::string> texts = {"", "A", "a", "aa", "b", "z", "Ä", "€", "😀"};
  for (size_t i = 0; i < texts.size(); ++i) {
    for (size_t j = 0; j < texts.size(); ++j) {
      const int order = CompareValues(texts[i], texts[j]);
      EXPECT_EQ((order > 0) - (order < 0), (i > j) - (i < j)) << texts[i] << " " << texts[j];
    }
  }
  EXPECT_LT(CompareValues(false, true), 0);
}

}  // namespace
}  // namespace promptdb
