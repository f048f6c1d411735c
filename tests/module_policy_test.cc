// PIN, UNPIN, EVICT, ALTER MODULE and the budgets of disk and pins; and that two sessions which
// miss the same module compute it once.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/chat_bench.h"
#include "tests/support/expect_error.h"

namespace promptdb {
namespace {

constexpr char kThreeModules[] =
    "CREATE SCHEMA s USING m (TEXT 'the beginning', MODULE a AS 'one text of several words', "
    "MODULE b AS (TEXT 'around', MODULE inner AS 'another text, somewhat longer than that'), "
    "MODULE c AS 'the third')";
constexpr char kAsk[] =
    "SELECT GENERATE (max_tokens => 3) FROM s USE a, b, b.inner, c PROMPT 'and now'";

class ModulePolicy : public testing::Test {
 protected:
  ModulePolicy() : bench(Tiny("llama", 512)) { bench.Run(kThreeModules); }

  std::map<std::string, int64_t> Stats() {
    std::map<std::string, int64_t> stats;
    for (const auto& row : bench.Run("SELECT name, value FROM pc_stats").rows) {
      stats[std::get<std::string>(row[0])] = std::get<int64_t>(row[1]);
    }
    return stats;
  }
  std::string TierOf(const std::string& module) {
    const auto rows =
        bench.Run("SELECT tier FROM pc_modules WHERE schema = 's' AND module = '" + module + "'")
            .rows;
    return std::get<std::string>(rows.at(0).at(0));
  }
  std::map<std::string, StatePolicy> Policies() {
    return bench.database().rep().catalog.FindSchema("s")->policies;
  }
  static int64_t Number(const RecordingSink& sink, size_t column) {
    return std::get<int64_t>(sink.rows.at(0).at(column));
  }

  Bench bench;
};

TEST_F(ModulePolicy, PinLoadsAndKeepsInMemory) {
  const RecordingSink pinned = bench.Run("PIN s MODULE a");
  EXPECT_EQ(Number(pinned, 1), 1);
  EXPECT_GT(Number(pinned, 2), 0);
  EXPECT_EQ(Stats()["cpu_kept_bytes"], Number(pinned, 2));
  bench.Run("WARM s");
  // Room for the pinned one alone.
  bench.Run("SET cpu_cache = " + std::to_string(Number(pinned, 2)));
  EXPECT_EQ(TierOf("a"), "cpu");
  EXPECT_EQ(TierOf("c"), "disk");
  const RecordingSink evicted = bench.Run("EVICT s MODULE a");
  EXPECT_EQ(TierOf("a"), "cpu");
  ASSERT_EQ(evicted.notices.size(), 1u);
  EXPECT_NE(evicted.notices[0].find("UNPIN"), std::string::npos);

  // After a restart it is kept again from its first use on.
  bench.Restart();
  bench.Run(kAsk);
  EXPECT_EQ(Stats()["cpu_kept_bytes"], Number(pinned, 2));
  bench.Run("UNPIN s");
  EXPECT_EQ(Stats()["cpu_kept_bytes"], 0);
  EXPECT_TRUE(Policies().empty());
  bench.Run("SET cpu_cache = 0");
  EXPECT_EQ(TierOf("a"), "disk");
}

TEST_F(ModulePolicy, PinsHaveABudget) {
  bench.Run("SET pin_cache = 100");
  ExpectError(ErrorCode::kResource, {"pin_cache", "100"}, [&] { bench.Run("PIN s"); });
  ExpectError(ErrorCode::kResource, {"pin_cache"},
              [&] { bench.Run("ALTER MODULE s.a SET (pinned = on)"); });
  EXPECT_TRUE(Policies().empty());
  EXPECT_EQ(Stats()["states"], 0);
  bench.Run("RESET pin_cache; PIN s");
  EXPECT_EQ(Stats()["cpu_kept_bytes"], Stats()["disk_bytes"]);
  // What no longer fits is let go.
  bench.Run("SET pin_cache = 0");
  EXPECT_EQ(Stats()["cpu_kept_bytes"], 0);
}

TEST_F(ModulePolicy, EvictTakesFromMemoryOrFromDisk) {
  const RecordingSink computed = bench.Run(kAsk);
  const RecordingSink from_cpu = bench.Run("EVICT s MODULE a FROM CPU");
  EXPECT_EQ(Number(from_cpu, 1), 1);
  EXPECT_EQ(Number(from_cpu, 2), 0);
  EXPECT_GT(Number(from_cpu, 3), 0);
  EXPECT_EQ(Number(from_cpu, 4), 0);
  EXPECT_EQ(TierOf("a"), "disk");
  EXPECT_EQ(Number(bench.Run("EVICT s FROM GPU"), 1), 0);
  const int64_t states = Stats()["states"];
  const RecordingSink everywhere = bench.Run("EVICT s");
  EXPECT_EQ(Number(everywhere, 1), states);
  EXPECT_GT(Number(everywhere, 4), 0);
  EXPECT_EQ(Stats()["disk_bytes"], 0);
  EXPECT_EQ(Stats()["cpu_bytes"], 0);
  EXPECT_EQ(TextOf(bench.Run(kAsk)), TextOf(computed));
  ExpectError(ErrorCode::kUnknownName, {"nothing"}, [&] { bench.Run("EVICT s MODULE nothing"); });
}

TEST_F(ModulePolicy, ATimeToLiveEndsAfterTheLastUse) {
  bench.Run("ALTER MODULE s.a SET (ttl = '1s')");
  bench.Run(kAsk);
  EXPECT_EQ(TierOf("a"), "cpu");
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  EXPECT_EQ(TierOf("a"), "miss");
  EXPECT_EQ(TierOf("c"), "cpu");
  const RecordingSink again = bench.Run(kAsk);
  EXPECT_LT(CachedTokens(again), std::get<int64_t>(again.rows.at(0)[2]));
  EXPECT_EQ(TierOf("a"), "cpu");
  EXPECT_EQ(Stats()["expired_states"], 1);
  ExpectError(ErrorCode::kInvalidArgument, {"ttl", "span of time"},
              [&] { bench.Run("ALTER MODULE s.a SET (ttl = 'soon')"); });
  ExpectError(ErrorCode::kUnknownName, {"nothing"},
              [&] { bench.Run("ALTER MODULE s.nothing SET (ttl = '1h')"); });
}

TEST_F(ModulePolicy, PoliciesFollowTheirModules) {
  bench.Run(
      "ALTER MODULE s.b SET (priority = 7, ttl = '2 days'); ALTER MODULE s.b.inner SET "
      "(priority = -3)");
  bench.Restart();
  ASSERT_EQ(Policies().size(), 2u);
  EXPECT_EQ(Policies()["b"], (StatePolicy{2 * 86400, 7, false}));
  EXPECT_EQ(Policies()["b.inner"], (StatePolicy{2 * 86400, -3, false}));
  // What a module has of its own stays when those around it are pinned.
  bench.Run("PIN s MODULE b");
  EXPECT_EQ(Policies()["b.inner"], (StatePolicy{2 * 86400, -3, true}));
  bench.Run("UNPIN s");
  bench.Run("ALTER SCHEMA s RENAME TO t");
  bench.Run("ALTER SCHEMA t RENAME TO s");
  EXPECT_EQ(Policies().size(), 2u);
  bench.Run("ALTER SCHEMA s DROP MODULE b.inner");
  EXPECT_EQ(Policies().size(), 1u);
  bench.Run("CREATE OR REPLACE SCHEMA s USING m (MODULE b AS 'new', MODULE z AS 'other')");
  EXPECT_EQ(Policies()["b"].priority, 7);
  bench.Run("DROP SCHEMA s");
}

TEST_F(ModulePolicy, DiskHasAHardBudgetAndTheWorthiestStay) {
  const RecordingSink free = bench.Run(kAsk);
  const int64_t all = Stats()["disk_bytes"];
  bench.Run("ALTER MODULE s.c SET (priority = 5)");
  bench.Run("SET disk_cache = " + std::to_string(all - 1));
  EXPECT_LT(Stats()["disk_bytes"], all);
  EXPECT_GE(Stats()["evicted_states"], 1);
  EXPECT_NE(TierOf("c"), "miss");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(TextOf(bench.Run(kAsk)), TextOf(free));
    EXPECT_LT(Stats()["disk_bytes"], all);
  }
  // Nothing fits: all is computed, nothing stored, and the answers stay what they are.
  bench.Run("EVICT s; SET disk_cache = 1");
  EXPECT_EQ(TextOf(bench.Run(kAsk)), TextOf(free));
  EXPECT_EQ(Stats()["states"], 0);
  EXPECT_GE(Stats()["rejected_states"], 4);
  bench.Run("RESET disk_cache");
  bench.Run(kAsk);
  EXPECT_EQ(Stats()["disk_bytes"], all);
}

TEST_F(ModulePolicy, SessionsThatMissTheSameModulesComputeThemOnce) {
  constexpr int kSessions = 6;
  std::vector<std::string> texts(kSessions);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kSessions; ++i) {
      threads.emplace_back([&, i] { texts[static_cast<size_t>(i)] = TextOf(bench.Run(kAsk)); });
    }
  }
  for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
  EXPECT_EQ(Stats()["states_written"], Stats()["states"]);
}

}  // namespace
}  // namespace promptdb
