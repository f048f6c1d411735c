// The cost model, the machine's rates in the catalog, and what the planner makes of them: scans,
// computing instead of reading, and states that the buffer pool has no room for.
#include "planner/cost.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "executor/machine_analysis.h"
#include "executor/threads.h"
#include "planner/planner.h"
#include "tests/chat_bench.h"

namespace promptdb {
namespace {

using Json = nlohmann::json;

constexpr char kModules[] =
    "CREATE SCHEMA t USING m (TEXT 'Always there.', MODULE a AS 'A first text of some words.', "
    "MODULE b AS 'Another text, of other words than those.', MODULE c AS 'A third.');";
constexpr char kQuery[] =
    "SELECT GENERATE (max_tokens => 6, ignore_eos => true) FROM t USE a, b, c PROMPT 'Say it.'";

// S of docs/performance.md.
ModelConfig SmallShape() {
  ModelConfig config;
  config.layers = 30;
  config.dim = 576;
  config.hidden = 1536;
  config.heads = 9;
  config.kv_heads = 3;
  config.head_dim = 64;
  config.vocab = 32000;
  return config;
}

class CostModelTest : public testing::Test {
 protected:
  double ForwardMs(int64_t rows, double context, int64_t wanted = 1) const {
    const CostedRows group{rows, context, wanted};
    return model_.ForwardMs({config_, shape_, int64_t{2} * ActiveParameters(config_)}, {&group, 1});
  }

  const ModelConfig config_ = SmallShape();
  const KvShape shape_{30, 3, 64, KvDtype::kBf16};
  const CostModel model_;
};

TEST_F(CostModelTest, MoreWorkTakesLonger) {
  for (const double context : {0.0, 100.0, 4096.0}) {
    double before = 0;
    for (const int64_t rows : {1, 2, 15, 16, 17, 32, 100, 128, 511, 512, 513, 1024, 4096}) {
      const double ms = ForwardMs(rows, context);
      EXPECT_GT(ms, before) << rows << " rows over " << context;
      EXPECT_GT(ms, ForwardMs(rows, context, 0)) << "the head costs something";
      EXPECT_LT(ms, ForwardMs(rows, context + 1000)) << rows;
      before = ms;
    }
  }
  EXPECT_LT(model_.ReadMs(1000, 1), model_.ReadMs(1 << 30, 1));
  EXPECT_LT(model_.ReadMs(1000, 1), model_.ReadMs(1000, 10));
  EXPECT_LT(model_.StoreMs(0), model_.StoreMs(1 << 20));
  EXPECT_EQ(model_.ReadMs(0, 5), 0);
}

TEST_F(CostModelTest, OnePassIsNeverDearerThanTwo) {
  for (const int64_t rows : {1, 16, 200, 512}) {
    const CostedRows both[] = {{rows, 64, 0}, {rows, 0, 1}};
    const double together =
        model_.ForwardMs({config_, shape_, int64_t{2} * ActiveParameters(config_)}, both);
    EXPECT_LE(together, ForwardMs(rows, 64, 0) + ForwardMs(rows, 0, 1)) << rows;
  }
}

TEST_F(CostModelTest, NoPassIsShorterThanItsOperationsAtTheBestRate) {
  for (const int64_t rows : {1, 16, 512, 3000}) {
    // The last layer of a pass without logits gives K and V alone.
    const double flops = PrefillFlops(config_, rows, 100 + (static_cast<double>(rows) + 1) / 2);
    EXPECT_GE(ForwardMs(rows, 100, rows), model_.LeastMs(flops)) << rows;
  }
}

TEST_F(CostModelTest, DecodingIsAPassAToken) {
  const CostedModel model{config_, shape_, int64_t{2} * ActiveParameters(config_)};
  EXPECT_EQ(model_.DecodeMs(model, 1, 100, 0), 0);
  EXPECT_EQ(model_.DecodeMs(model, 1, 100, 1), 0) << "the prefill gave the first token";
  EXPECT_NEAR(model_.DecodeMs(model, 1, 4096, 65), 64 * ForwardMs(1, 4128), 1e-6);
  EXPECT_LT(model_.DecodeMs(model, 16, 4096, 65), 16 * model_.DecodeMs(model, 1, 4096, 65));
}

TEST(RateCurveTest, IsInterpolatedBetweenPointsAndConstantOutside) {
  const RateCurve curve = {{1, 10}, {16, 40}, {64, 40}};
  EXPECT_EQ(RateAt(curve, 0.5), 10);
  EXPECT_EQ(RateAt(curve, 1), 10);
  EXPECT_NEAR(RateAt(curve, 4), 20, 1e-9);
  EXPECT_NEAR(RateAt(curve, 16), 40, 1e-9);
  EXPECT_NEAR(RateAt(curve, 30), 40, 1e-9);
  EXPECT_EQ(RateAt(curve, 1e9), 40);
}

MachineRates OwnRates() {
  MachineRates rates = CostModel().rates();
  rates.processor = ProcessorName();
  rates.threads = Threads();
  rates.measured_at = 1'700'000'000;
  return rates;
}

TEST(MachineRatesTest, RowsAreReadAsTheyWereWritten) {
  MachineRates rates = OwnRates();
  rates.processor = "a \"processor\" \\ of é";
  rates.device = "a device";
  rates.copy_bytes_per_second = 7e9;
  rates.disk_again = {{1 << 20, 5e9}, {64 << 20, 1e10}};
  EXPECT_EQ(DecodeRates(EncodeRates(rates)), rates);
}

TEST(MachineRatesTest, RowsOfEarlierReleasesAreRead) {
  Json json = Json::parse(EncodeRates(OwnRates()));
  json.erase("disk_again");
  json.erase("device");
  json.erase("copy_bytes_per_second");
  EXPECT_EQ(DecodeRates(json.dump()), OwnRates());
}

TEST(MachineRatesTest, WhatIsNoRateIsRefused) {
  const auto changed = [](const std::function<void(Json&)>& change) {
    Json json = Json::parse(EncodeRates(OwnRates()));
    change(json);
    return json.dump();
  };
  const std::vector<std::string> rows = {
      "",
      "{",
      "[]",
      "{\"version\": 1}",
      changed([](Json& json) { json.erase("linear"); }),
      changed([](Json& json) { json["linear"] = Json::array(); }),
      changed([](Json& json) {
        json["linear"] = {{1, 5}, {1, 6}};
      }),
      changed([](Json& json) {
        json["linear"] = {{-1, 5}};
      }),
      changed([](Json& json) { json["attention"] = "fast"; }),
      changed([](Json& json) { json["disk"][0][1] = 0; }),
      changed([](Json& json) { json["disk"][0] = {4}; }),
      changed([](Json& json) { json["store_seconds"] = -1; }),
      changed([](Json& json) { json["copy_bytes_per_second"] = 0; }),
      changed([](Json& json) { json["call_seconds"] = nullptr; }),
      changed([](Json& json) { json["version"] = 2; }),
  };
  for (const std::string& row : rows) EXPECT_THROW(DecodeRates(row), Error) << row;
}

TEST(MachineRatesTest, AreThereWhenTheDatabaseIsOpenedAgain) {
  const TemporaryFolder folder("rates");
  {
    Database database(folder / "db");
    EXPECT_FALSE(database.rep().catalog.Rates().has_value());
    database.rep().catalog.PutRates(OwnRates());
  }
  Database database(folder / "db");
  EXPECT_EQ(database.rep().catalog.Rates(), OwnRates());
}

TEST(MachineRatesTest, ARowThatCannotBeReadIsAsIfNothingHadBeenMeasured) {
  const TemporaryFolder folder("rates");
  {
    Rocks rocks(folder / "db");
    Rocks::Batch batch;
    batch.Put(Family::kCatalog, "machine", "{\"version\": 1, \"processor\": 5}");
    rocks.Write(std::move(batch));
  }
  Database database(folder / "db");
  EXPECT_FALSE(database.rep().catalog.Rates().has_value());
  database.rep().catalog.PutRates(OwnRates());
  EXPECT_TRUE(database.rep().catalog.Rates().has_value());
}

class PlannedByCostTest : public testing::Test {
 protected:
  PlannedByCostTest() : bench_(Tiny("llama", 512)) {
    bench_.Run(kModules);
    bench_.Run("WARM t");
  }

  // Nothing in memory; reading from disk is so slow that all is cheaper than that.
  void MakeDiskSlow() {
    MachineRates rates = OwnRates();
    rates.disk = {{1, 1e3}};
    bench_.database().rep().catalog.PutRates(rates);
  }
  void ForgetMemory() { bench_.database().rep().pool.Clear(); }

  std::string Explain(const std::string& query = kQuery) {
    std::string lines;
    for (const std::vector<Value>& row : bench_.Run("EXPLAIN " + query).rows) {
      lines += std::get<std::string>(row[0]) + "\n";
    }
    return lines;
  }

  static int Count(const std::string& text, const std::string& part) {
    int count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++count;
    }
    return count;
  }

  Bench bench_;
};

// One of the context's own, in the place of the machine's.
double SpentOn(const QueryPlan& plan, int segment) {
  const auto index = static_cast<size_t>(segment);
  return plan.scans[index] != nullptr ? plan.scans[index]->estimate_ms
                                      : plan.encodes[index]->estimate_ms;
}

TEST_F(PlannedByCostTest, ThePickFlipsWhereTheArithmeticSaysSo) {
  ForgetMemory();
  RecordingSink sink;
  const std::vector<ast::Statement> statements = Parse(std::string(kQuery) + ";");
  const auto& select = std::get<ast::Select>(statements[0].node);
  const auto schema = bench_.database().rep().Open(select.schema, sink);
  const OpenModel& model = *schema->model;
  const auto plan_with = [&](double bytes_per_second, bool may_recompute) {
    PlanContext context = bench_.database().rep().ContextOf(model);
    MachineRates rates = CostModel().rates();
    rates.disk = {{1, bytes_per_second}};
    context.cost = CostModel(rates);
    context.may_recompute = may_recompute;
    return PlanQuery(BindPrompt(select, schema->definition, schema->layout, model.tokenizer(),
                                model.chat_template(), 512, QueryDefaults()),
                     context);
  };
  // From a disk that is fast to one that is slow: once computing begins it goes on, and there is a
  // segment between whose two estimates the disk's rate passed when it began.
  int computed_before = 0;
  for (double rate = 1e10; rate > 1e2; rate /= 1.3) {
    const QueryPlan plan = plan_with(rate, true), scanned = plan_with(rate, false);
    int computed = 0;
    double ms = 0, scanned_ms = 0;
    for (size_t i = 0; i < plan.scans.size(); ++i) {
      if (plan.prompt.segments[i].is_new) continue;
      ASSERT_NE(scanned.scans[i], nullptr);
      if (plan.scans[i] == nullptr) {
        ASSERT_NE(plan.encodes[i], nullptr);
        EXPECT_NE(plan.encodes[i]->reason, "");
        ++computed;
      }
      ms += SpentOn(plan, static_cast<int>(i));
      scanned_ms += SpentOn(scanned, static_cast<int>(i));
    }
    EXPECT_LE(ms, scanned_ms * 1.0001) << rate;
    EXPECT_GE(computed, computed_before) << rate;
    computed_before = computed;
  }
  EXPECT_EQ(computed_before, 5) << "on the slowest disk everything is computed";
  const QueryPlan fast = plan_with(1e10, true);
  for (const EncodeNode* encode : fast.encodes) EXPECT_EQ(encode, nullptr);
}

TEST_F(PlannedByCostTest, WhatIsCheaperToComputeIsComputedAndNotStoredAgain) {
  const std::string text = TextOf(bench_.Run(std::string(kQuery) + " WITH (cache = off)"));
  ForgetMemory();
  EXPECT_EQ(Count(Explain(), "tier=disk"), 5);
  MakeDiskSlow();
  const std::string plan = Explain();
  EXPECT_EQ(Count(plan, "tier=disk"), 0) << plan;
  EXPECT_EQ(Count(plan, "Encode (module=t."), 5) << plan;
  EXPECT_EQ(Count(plan, "reason=cheaper to compute than to read "), 5) << plan;
  const StateCacheStats before = bench_.cache().stats();
  const RecordingSink sink = bench_.Run(kQuery);
  EXPECT_EQ(TextOf(sink), text);
  EXPECT_EQ(CachedTokens(sink), 0);
  EXPECT_EQ(sink.notices, std::vector<std::string>());
  const StateCacheStats after = bench_.cache().stats();
  EXPECT_EQ(after.writes, before.writes);
  EXPECT_EQ(after.read_bytes, before.read_bytes);
  EXPECT_EQ(bench_.database().rep().pool.stats().used_bytes, 0);
}

TEST_F(PlannedByCostTest, WhatIsInMemoryIsAlwaysTakenFromThere) {
  MakeDiskSlow();
  bench_.Run("WARM t");
  EXPECT_EQ(Count(Explain(), "tier=cpu"), 5);
  EXPECT_GT(CachedTokens(bench_.Run(kQuery)), 0);
}

TEST_F(PlannedByCostTest, CopiesToADeviceCount) {
  bench_.Run("WARM t");
  StateCache& cache = bench_.cache();
  RecordingSink sink;
  const std::vector<ast::Statement> statements = Parse(std::string(kQuery) + ";");
  const auto& select = std::get<ast::Select>(statements[0].node);
  const auto schema = bench_.database().rep().Open(select.schema, sink);
  const OpenModel& model = *schema->model;
  const auto plan_with = [&](double bytes_per_second) {
    PlanContext context = bench_.database().rep().ContextOf(model);
    MachineRates rates = CostModel().rates();
    rates.copy_bytes_per_second = bytes_per_second;
    context.cost = CostModel(rates);
    context.home = Tier::kGpu;
    return PlanQuery(BindPrompt(select, schema->definition, schema->layout, model.tokenizer(),
                                model.chat_template(), 512, QueryDefaults()),
                     context);
  };
  // By how much longer a slow copy makes the scans, in bytes at its rate.
  const auto copied_bytes = [&] {
    const QueryPlan slow = plan_with(1e3), fast = plan_with(1e12);
    double bytes = 0;
    for (size_t i = 0; i < slow.scans.size(); ++i) {
      if (slow.scans[i] != nullptr) {
        bytes += slow.scans[i]->estimate_ms - fast.scans[i]->estimate_ms;
      }
    }
    return bytes;
  };
  const auto all = static_cast<double>(bench_.database().rep().pool.stats().used_bytes);
  EXPECT_EQ(copied_bytes(), 0) << "there is no device tier";
  cache.SetDeviceBudget(int64_t{1} << 20);
  EXPECT_NEAR(copied_bytes(), all, 1);
  cache.SetDeviceBudget(static_cast<int64_t>(all) - 1);
  EXPECT_LT(copied_bytes(), all - 1);
  EXPECT_GT(copied_bytes(), 0);
  int lacking = 0;
  for (const ModuleScanNode* scan : plan_with(1e9).scans) {
    if (scan == nullptr || !scan->lacks_device_room) continue;
    EXPECT_EQ(scan->reason, "no room in gpu_cache, read in the CPU tier");
    ++lacking;
  }
  EXPECT_EQ(lacking, 1);
  cache.SetDeviceBudget(0);
}

TEST_F(PlannedByCostTest, WarmScansHoweverSlowTheDisk) {
  ForgetMemory();
  MakeDiskSlow();
  const RecordingSink sink = bench_.Run("WARM t");
  EXPECT_EQ(std::get<int64_t>(sink.rows.at(0)[1]), 0) << "encoded";
  EXPECT_EQ(std::get<int64_t>(sink.rows.at(0)[2]), 5) << "from disk";
}

TEST_F(PlannedByCostTest, APoolThatIsTooSmallStillAnswersTheSame) {
  const std::string off = std::string(kQuery) + " WITH (cache = off)";
  const std::string text = TextOf(bench_.Run(off));
  BufferPool& pool = bench_.database().rep().pool;
  const int64_t all = pool.stats().used_bytes;
  for (const bool is_slow : {false, true}) {
    if (is_slow) MakeDiskSlow();
    for (const int64_t budget : {all - 1, all / 2, int64_t{1000}, int64_t{0}}) {
      ForgetMemory();
      pool.SetBudget(budget);
      const std::string plan = Explain();
      if (!is_slow) {
        EXPECT_GE(Count(plan, "reason=no room in cpu_cache, read for this query alone"), 1) << plan;
      }
      // The second time finds in memory what the first has left there.
      for (int run = 0; run < 2; ++run) {
        const RecordingSink sink = bench_.Run(kQuery);
        EXPECT_EQ(TextOf(sink), text) << budget;
        EXPECT_LE(pool.stats().used_bytes, budget);
        EXPECT_EQ(pool.stats().pinned_bytes, 0);
        if (is_slow) continue;
        ASSERT_EQ(sink.notices.size(), 1u) << budget;
        EXPECT_NE(sink.notices[0].find("read from disk for this query alone"), std::string::npos)
            << sink.notices[0];
      }
    }
  }
  const RecordingSink sink = bench_.Run(kQuery);
  ASSERT_EQ(sink.notices.size(), 1u);
  EXPECT_NE(sink.notices[0].find("computed again"), std::string::npos) << sink.notices[0];
}

TEST_F(PlannedByCostTest, AStateThatWasDamagedOnDiskIsComputedWhereThereIsNoRoom) {
  const std::string text = TextOf(bench_.Run(kQuery));
  BufferPool& pool = bench_.database().rep().pool;
  pool.SetBudget(0);
  for (const StateManifest& state : bench_.cache().List()) {
    Rocks::Batch batch;
    batch.Put(Family::kBlocks, state.key.ToBytes() + std::string(4, '\0'), "no block");
    bench_.database().rep().rocks.Write(std::move(batch));
  }
  EXPECT_EQ(TextOf(bench_.Run(kQuery)), text);
  EXPECT_GT(bench_.cache().stats().corrupt, 0);
}

TEST_F(PlannedByCostTest, ForeignRatesAreNotUsedAndToldOfOnce) {
  ForgetMemory();
  for (const bool other_processor : {true, false}) {
    MachineRates rates = OwnRates();
    rates.disk = {{1, 1e3}};
    if (other_processor) {
      rates.processor = "another";
    } else {
      rates.threads += 1;
    }
    bench_.database().rep().catalog.PutRates(rates);
    EXPECT_EQ(Count(Explain(), "tier=disk"), 5);
  }
  bench_.Restart();
  EXPECT_TRUE(bench_.Run(kQuery).notices.empty());
  EXPECT_TRUE(bench_.Run("EXPLAIN ANALYZE " + std::string(kQuery)).notices.empty());
  const RecordingSink first = bench_.Run("EXPLAIN " + std::string(kQuery));
  ASSERT_EQ(first.notices.size(), 1u);
  EXPECT_NE(first.notices[0].find("default rates"), std::string::npos) << first.notices[0];
  EXPECT_TRUE(bench_.Run("EXPLAIN " + std::string(kQuery)).notices.empty());
}

TEST(AnalyzeTest, MeasuresWithoutAnyModelAndLeavesNothingBehind) {
  const TemporaryFolder folder("analyze");
  {
    Database database(folder / "db");
    // Less memory than the state that it writes needs.
    database.rep().pool.SetBudget(1 << 20);
    const RecordingSink sink = Say(database, "ANALYZE;");
    EXPECT_EQ(sink.rows.size(), 44u);
    for (const std::vector<Value>& row : sink.rows) EXPECT_GT(std::get<double>(row[1]), 0);
    EXPECT_EQ(database.rep().cache.stats().states, 0);
    EXPECT_EQ(database.rep().pool.stats().used_bytes, 0);
    const auto rates = database.rep().catalog.Rates();
    ASSERT_TRUE(rates.has_value());
    EXPECT_TRUE(AreOfThisMachine(*rates));
  }
  Database database(folder / "db");
  EXPECT_TRUE(database.rep().catalog.Rates().has_value());
  EXPECT_EQ(database.rep().cache.List().size(), 0u);
}

TEST(AnalyzeTest, CanBeCanceledAndThenKeepsNothing) {
  const TemporaryFolder folder("analyze");
  Database database(folder / "db");
  RecordingSink sink;
  sink.is_canceled = true;
  EXPECT_THROW(Session(&database).Execute("ANALYZE;", sink), Error);
  EXPECT_FALSE(database.rep().catalog.Rates().has_value());
  EXPECT_EQ(database.rep().cache.stats().states, 0);
}

}  // namespace
}  // namespace promptdb
