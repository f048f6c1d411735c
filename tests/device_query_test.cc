// Queries of a model on a device, with the stand-in: every answer is that of the same model without
// one, whatever room the device has. PROMPTDB_TEST_DEVICE names another, in a build that has it:
// cuda:0.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/chat_bench.h"

namespace promptdb {
namespace {

std::string DeviceName() {
  const char* named = std::getenv("PROMPTDB_TEST_DEVICE");
  return named != nullptr ? named : "host";
}

class DeviceQueryTest : public testing::Test {
 protected:
  DeviceQueryTest() : bench_(Tiny("llama", 512)) {
    bench_.Run("CREATE MODEL d FROM " + QuoteText(bench_.path()) + " WITH (device = '" +
               DeviceName() + "')");
    for (const std::string model : {"m", "d"}) {
      bench_.Run("CREATE SCHEMA on_" + model + " USING " + model +
                 " (TEXT 'the beginning', MODULE a AS 'one text of several words', "
                 "UNION u (MODULE b AS 'another text, somewhat longer than that', "
                 "MODULE c AS 'the third'), "
                 "MODULE p (x TOKENS(4)) AS 'a text with {x} in it', SCAFFOLD both (a, p))");
    }
  }

  DevicePoolStats Device() { return bench_.database().rep().device_pool.stats(); }
  int64_t Stat(const std::string& name) {
    return std::get<int64_t>(
        bench_.Run("SELECT value FROM pc_stats WHERE name = '" + name + "'").rows.at(0).at(0));
  }

  // What all queries of schema `name` answer: texts, and logprobs of every token.
  struct Answers {
    std::vector<std::string> texts;
    std::vector<double> logprobs;
    std::vector<std::string> notices;

    // "" if they are the same, to rounding: a state may have been computed with others or alone.
    std::string DifferenceFrom(const Answers& other) const {
      if (texts != other.texts) return "texts";
      if (logprobs.size() != other.logprobs.size()) return "numbers of tokens";
      for (size_t i = 0; i < logprobs.size(); ++i) {
        if (!(std::abs(logprobs[i] - other.logprobs[i]) < 1e-4)) {
          return "logprob " + std::to_string(i) + ": " + std::to_string(logprobs[i]) + " and " +
                 std::to_string(other.logprobs[i]);
        }
      }
      return "";
    }
  };
  Answers Ask(const std::string& name) {
    Answers answers;
    for (const std::string use :
         {"a", "a, b", "c, a, p(x => 'word')", "b, p(x => ''), 'own words'"}) {
      for (const std::string reuse : {"modular", "exact"}) {
        const std::string rest =
            " FROM " + name + " USE " + use + " PROMPT 'and now?' WITH (reuse = '" + reuse + "')";
        const RecordingSink generated = bench_.Run("SELECT GENERATE (max_tokens => 4)" + rest);
        answers.texts.push_back(TextOf(generated));
        answers.notices.insert(answers.notices.end(), generated.notices.begin(),
                               generated.notices.end());
        for (const auto& row : bench_.Run("SELECT LOGPROBS" + rest).rows) {
          if (const auto* logprob = std::get_if<double>(&row.at(4))) {
            answers.logprobs.push_back(*logprob);
          }
        }
      }
    }
    return answers;
  }

  Bench bench_;
};

TEST_F(DeviceQueryTest, AnswersAreThoseOfTheCpuTier) {
  const Answers expected = Ask("on_m");
  ASSERT_GT(expected.logprobs.size(), 100u);
  bench_.Run("SET gpu_cache = '64MB'");
  EXPECT_EQ(Ask("on_d").DifferenceFrom(expected), "");
  EXPECT_EQ(Ask("on_d").DifferenceFrom(expected), "");
  EXPECT_GT(Stat("gpu_hits"), 0);
  EXPECT_EQ(Stat("gpu_bytes"), Device().used_bytes);
  EXPECT_EQ(Device().pinned_bytes, 0);
  // By way of the CPU tier, and of the disk.
  bench_.Run("EVICT on_d FROM GPU");
  EXPECT_EQ(Ask("on_d").DifferenceFrom(expected), "");
  bench_.Restart();
  bench_.Run("SET gpu_cache = '64MB'");
  EXPECT_EQ(Ask("on_d").DifferenceFrom(expected), "");
  EXPECT_GT(Device().copied_in, 0);
  EXPECT_EQ(Ask("on_m").DifferenceFrom(expected), "");
}

TEST_F(DeviceQueryTest, AnswersDoNotDependOnTheDevicesRoom) {
  const Answers expected = Ask("on_m");
  for (const int64_t bytes : {0, 1000, 3000, 6000, 12'000, 1'000'000}) {
    SCOPED_TRACE("gpu_cache = " + std::to_string(bytes));
    bench_.Run("SET gpu_cache = " + std::to_string(bytes));
    const Answers answers = Ask("on_d");
    EXPECT_EQ(answers.DifferenceFrom(expected), "");
    EXPECT_LE(Device().used_bytes, bytes);
    const auto tells = [](const std::string& notice) {
      return notice.starts_with("gpu_cache has no room for the states of ");
    };
    // The prompts take more than 12 kB, and less than 1 MB. What is off is not missed.
    EXPECT_EQ(std::ranges::any_of(answers.notices, tells), bytes > 0 && bytes < 1'000'000);
  }
  // Nor on that of the CPU tier.
  bench_.Run("SET gpu_cache = '64MB'; SET cpu_cache = '2kB'");
  EXPECT_EQ(Ask("on_d").DifferenceFrom(expected), "");
  bench_.Run("SET gpu_cache = '4kB'");
  EXPECT_EQ(Ask("on_d").DifferenceFrom(expected), "");
}

TEST_F(DeviceQueryTest, RowsAndChatsReadOnTheDeviceToo) {
  bench_.Run("SET gpu_cache = '64MB'");
  std::vector<std::string> texts[2];
  for (const std::string model : {"m", "d"}) {
    std::vector<std::string>& of_model = texts[model == "d" ? 1 : 0];
    for (int round = 0; round < 2; ++round) {
      const RecordingSink rows =
          bench_.Run("SELECT GENERATE (max_tokens => 3) FROM on_" + model +
                     " USE a, b PROMPT IN ('first', 'second', 'and the third')");
      for (const auto& row : rows.rows) of_model.push_back(std::get<std::string>(row[0]));
    }
    bench_.Run("BEGIN CHAT c_" + model + " FROM on_" + model + " USE a");
    for (const std::string say : {"hello", "and then", "at last"}) {
      of_model.push_back(
          TextOf(bench_.Run("CONTINUE c_" + model + " (max_tokens => 3) PROMPT '" + say + "'")));
    }
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_GT(Stat("gpu_hits"), 0);
}

TEST_F(DeviceQueryTest, PinnedStatesStayOnTheDevice) {
  bench_.Run("SET gpu_cache = '64MB'; PIN on_d MODULE a");
  const int64_t pinned = Device().pinned_bytes;
  EXPECT_GT(pinned, 0);
  EXPECT_EQ(Stat("cpu_pinned_bytes"), 0);
  bench_.Run("WARM on_d; SET gpu_cache = " + std::to_string(pinned));
  EXPECT_EQ(Device().used_bytes, pinned);
  bench_.Run("EVICT on_d MODULE a FROM GPU");
  EXPECT_EQ(Device().used_bytes, pinned);
  bench_.Run("UNPIN on_d");
  EXPECT_EQ(Device().pinned_bytes, 0);
}

}  // namespace
}  // namespace promptdb
