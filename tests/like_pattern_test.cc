#include "planner/like_pattern.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace promptdb {
namespace {

TEST(LikePatternTest, FollowsPostgreSql) {
  const struct {
    const char* text;
    const char* pattern;
    bool matches;
  } cases[] = {
      {"", "", true},
      {"", "%", true},
      {"", "_", false},
      {"abc", "abc", true},
      {"abc", "ab", false},
      {"ab", "abc", false},
      {"abc", "ABC", false},
      {"abc", "a%", true},
      {"abc", "%c", true},
      {"abc", "%b%", true},
      {"abc", "a%%%c", true},
      {"abc", "_b_", true},
      {"abc", "____", false},
      {"abc", "%_%_%_%", true},
      {"abc", "%_%_%_%_%", false},
      {"aXbXc", "a%X_", true},
      {"mississippi", "m%iss%pi", true},
      {"mississippi", "m%iss%px", false},
      {"100%", "100\\%", true},
      {"1000", "100\\%", false},
      {"a_b", "a\\_b", true},
      {"axb", "a\\_b", false},
      {"a\\b", "a\\\\b", true},
      {"axb", "a\\xb", true},
      {"ä€😀", "___", true},
      {"ä€😀", "__", false},
      {"ä€😀", "ä_😀", true},
      {"ä€😀", "%€%", true},
      {"a\nb", "a_b", true},
      {"\xff\xc3", "__", true},  // bytes that are no characters count one each
      {"\xff", "\xfe", false},
  };
  for (const auto& [text, pattern, matches] : cases) {
    EXPECT_EQ(LikePattern(pattern).Matches(text), matches) << text << " LIKE " << pattern;
  }
}

TEST(LikePatternTest, ManyWildcardsTakeNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "%a";
  EXPECT_FALSE(LikePattern(pattern + "%b").Matches(std::string(2000, 'a')));
  EXPECT_TRUE(LikePattern(pattern + "%").Matches(std::string(2000, 'a')));
}

TEST(LikePatternTest, ABackslashNeedsSomethingToEscape) {
  EXPECT_THROW(LikePattern("a\\"), Error);
  EXPECT_TRUE(LikePattern("a\\\\").Matches("a\\"));
}

}  // namespace
}  // namespace promptdb
