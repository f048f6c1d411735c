// Exact reuse by the longest prefix of tokens: whatever is found, the answer is that of one
// uncached pass.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/chat_bench.h"

namespace promptdb {
namespace {

constexpr char kExact[] = " WITH (reuse = 'exact')";
constexpr char kUncached[] = " WITH (reuse = 'exact', cache = off)";

class PrefixReuse : public testing::TestWithParam<const char*> {
 protected:
  PrefixReuse() : bench(Tiny(GetParam(), 1024)) {
    bench.Run(
        "CREATE SCHEMA s USING m (TEXT 'the beginning', MODULE a AS 'one text of several words', "
        "MODULE b AS 'another text')");
  }

  RecordingSink Ask(const std::string& rest, const std::string& with = kExact) {
    return bench.Run("SELECT GENERATE (max_tokens => 6, ignore_eos => true) FROM s " + rest + with);
  }
  static int64_t PromptTokens(const RecordingSink& sink) {
    return std::get<int64_t>(sink.rows.at(0)[2]);
  }

  Bench bench;
};

TEST_P(PrefixReuse, TheSamePromptIsFoundWhole) {
  const std::string query = "USE a PROMPT 'who lives in the old house near the river'";
  const RecordingSink first = Ask(query);
  EXPECT_LT(CachedTokens(first), PromptTokens(first));
  const RecordingSink again = Ask(query);
  EXPECT_EQ(CachedTokens(again), PromptTokens(again));
  EXPECT_EQ(TextOf(again), TextOf(first));
  bench.Restart();
  const RecordingSink restarted = Ask(query);
  EXPECT_EQ(CachedTokens(restarted), PromptTokens(restarted));
  EXPECT_EQ(TextOf(restarted), TextOf(first));
  EXPECT_EQ(TextOf(Ask(query, kUncached)), TextOf(first));
}

TEST_P(PrefixReuse, PromptsThatDivergeShareWhatTheyBeginWith) {
  const std::string shared = "USE a PROMPT 'who lives in the old house near the ";
  Ask(shared + "river'");
  const RecordingSink other = Ask(shared + "hills, and why'");
  const RecordingSink module = Ask("USE a PROMPT 'x'");
  // More than the module's own text: the words in common as well.
  EXPECT_GT(CachedTokens(other), CachedTokens(module) + 10);
  EXPECT_LT(CachedTokens(other), PromptTokens(other));
  EXPECT_EQ(TextOf(other), TextOf(Ask(shared + "hills, and why'", kUncached)));
  // What was computed behind the fork has become a branch of its own.
  const RecordingSink again = Ask(shared + "hills, and why'");
  EXPECT_EQ(CachedTokens(again), PromptTokens(again));
}

TEST_P(PrefixReuse, ModulesBehindAFreeTextAreFoundToo) {
  const std::string query = "USE 'a word', b PROMPT 'and now this'";
  const RecordingSink first = Ask(query);
  const RecordingSink again = Ask(query);
  EXPECT_EQ(CachedTokens(again), PromptTokens(again));
  EXPECT_EQ(TextOf(again), TextOf(first));
  EXPECT_EQ(TextOf(first), TextOf(Ask(query, kUncached)));
}

// A parameter's value is too short to be kept; what stands behind it is found when it is the same.
TEST_P(PrefixReuse, TextsBehindOneThatIsNotKept) {
  bench.Run(
      "CREATE SCHEMA p USING m (TEXT 'the beginning', MODULE v (x TOKENS(3)) AS 'so {x} it is')");
  for (const std::string text : {"and now this", "and now this", "and now this, and more"}) {
    const std::string query =
        "SELECT GENERATE (max_tokens => 6, ignore_eos => true) FROM p USE v(x => 'a') PROMPT '" +
        text + "'";
    EXPECT_EQ(TextOf(bench.Run(query + kExact)), TextOf(bench.Run(query + kUncached))) << text;
  }
}

TEST_P(PrefixReuse, AChangedModuleKeepsWhatIsInFrontOfTheChange) {
  Ask("USE a PROMPT 'x'");
  bench.Run(
      "CREATE SCHEMA t USING m (TEXT 'the beginning', MODULE a AS 'one text of several words, and "
      "then some')");
  const std::string query =
      "SELECT GENERATE (max_tokens => 6, ignore_eos => true) FROM t USE a PROMPT 'x'";
  const RecordingSink changed = bench.Run(query + kExact);
  const RecordingSink uncached = bench.Run(query + kUncached);
  EXPECT_GT(CachedTokens(changed), 10);
  EXPECT_EQ(TextOf(changed), TextOf(uncached));
}

TEST_P(PrefixReuse, RowsOfPromptInFindWhatPromptsHaveLeft) {
  const std::string shared = "USE a, 'some words that come before, and more of them'";
  const std::string first = "who lives in the old house near the river";
  Ask(shared + " PROMPT '" + first + "'");
  const std::string rows = shared + " PROMPT IN ('" + first + "', '" + first +
                           " and why', 'who lives in the old', 'another question')";
  const RecordingSink found = Ask(rows);
  const RecordingSink uncached = Ask(rows, kUncached);
  ASSERT_EQ(found.rows.size(), 4u);
  const auto cached = [&](size_t row) { return std::get<int64_t>(found.rows[row][3]); };
  const auto tokens = [&](size_t row) { return std::get<int64_t>(found.rows[row][2]); };
  for (size_t row = 0; row < 4; ++row) EXPECT_EQ(found.rows[row][0], uncached.rows[row][0]) << row;
  // All but its last token, whose logits are wanted.
  EXPECT_EQ(cached(0), tokens(0) - 1);
  EXPECT_GT(cached(1), cached(3) + 10);
  EXPECT_LT(cached(1), tokens(1));
  EXPECT_EQ(cached(2), tokens(2) - 1);
  // The words before are found as well, though no module has them.
  EXPECT_GT(cached(3), CachedTokens(Ask("USE a PROMPT 'x'")) + 10);
}

TEST_P(PrefixReuse, ATurnFindsWhatAnotherChatHasSaid) {
  const std::string question = " PROMPT 'who lives in the old house near the river'";
  bench.Run("BEGIN CHAT c FROM s USE a" + std::string(kExact) + "; BEGIN CHAT d FROM s USE a" +
            kExact);
  const std::string say = "CONTINUE ";
  const std::string options = " (max_tokens => 6, ignore_eos => true)";
  const RecordingSink first = bench.Run(say + "c" + options + question);
  const RecordingSink second = bench.Run(say + "d" + options + question);
  EXPECT_EQ(TextOf(second), TextOf(first));
  EXPECT_EQ(CachedTokens(second), PromptTokens(second) - 1);
  // Both go on from states that are whole; the one whose states were used first may go.
  bench.Run("END CHAT c");
  bench.Restart();
  const RecordingSink next = bench.Run(say + "d" + options + " PROMPT 'and why'");
  EXPECT_GE(CachedTokens(next), PromptTokens(second));
  // A turn that begins like a plain prompt's continuation of the same tokens, then differs.
  bench.Run("BEGIN CHAT e FROM s USE a" + std::string(kExact));
  const RecordingSink third =
      bench.Run(say + "e" + options + " PROMPT 'who lives in the old house near the hills'");
  EXPECT_GT(CachedTokens(third), CachedTokens(Ask("USE a PROMPT 'x'")) + 10);
  bench.Run("BEGIN CHAT f FROM s USE a WITH (reuse = 'exact', cache = off)");
  const RecordingSink uncached =
      bench.Run(say + "f" + options + " PROMPT 'who lives in the old house near the hills'");
  EXPECT_EQ(TextOf(third), TextOf(uncached));
  EXPECT_EQ(CachedTokens(uncached), 0);
}

TEST_P(PrefixReuse, RandomPromptsAnswerAsUncached) {
  constexpr uint32_t kSeed = 5;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  const std::vector<std::string> words = {"the", "old", "house", "near", "a", "river", "why", "is"};
  std::vector<std::string> asked;
  int64_t cached = 0;
  for (int i = 0; i < 40; ++i) {
    // A part of an earlier one, and more words.
    std::string text = asked.empty() ? "" : asked[random() % asked.size()];
    text.resize(std::min(text.size(), static_cast<size_t>(random() % 60)));
    for (int k = 0; k < 4; ++k) text += (text.empty() ? "" : " ") + words[random() % words.size()];
    asked.push_back(text);
    const std::string query =
        std::string(random() % 2 == 0 ? "USE a, b" : "USE b") + " PROMPT '" + text + "'";
    const RecordingSink answer = Ask(query);
    cached += CachedTokens(answer);
    ASSERT_EQ(TextOf(answer), TextOf(Ask(query, kUncached))) << query;
    if (i == 20) bench.Restart();
    // Now and then states go, as they may at any time.
    if (i % 10 == 9) bench.EraseStates([&] { return random() % 2 == 0; });
  }
  EXPECT_GT(cached, 0);
}

INSTANTIATE_TEST_SUITE_P(Families, PrefixReuse, testing::Values("llama", "qwen2", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace promptdb
