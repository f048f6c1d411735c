// The relational operators against plain loops: random tables with NULLs, random queries.
// PROMPTDB_SEED and PROMPTDB_CASES choose what is run; the seed is printed.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/value.h"
#include "executor/relational_operators.h"
#include "executor/result.h"
#include "parser/parser.h"
#include "planner/relational_binder.h"
#include "tests/support/random_cases.h"
#include "tests/support/random_relational_query.h"

namespace promptdb {
namespace {

// So that a failure shows values.
std::string Print(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    for (const Value& value : row) {
      text += IsNull(value) ? "NULL" : FormatValue(value);
      text += "\t";
    }
    text += "\n";
  }
  return text;
}

class NoProgress : public ProgressListener {
 public:
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool IsCanceled() const override { return false; }
};

std::vector<Row> RunQuery(const std::string& text, const std::vector<Row>& table,
                          std::vector<NodeActuals>* actuals = nullptr) {
  const std::vector<ast::Statement> statements = Parse(text);
  const auto& select = std::get<ast::SystemSelect>(statements.front().node);
  const RelationalPlan plan = BindSystemSelect(select, kTables);
  const auto scan = [&](const TableScanNode& node) {
    std::vector<Row> rows = table;
    std::erase_if(rows, [&](const Row& row) {
      return node.only_schema && row[4] != Value(*node.only_schema);
    });
    return rows;
  };
  return RunRelationalPlan(plan, scan, actuals, NoProgress());
}

TEST(RelationalTest, RandomQueriesAnswerAsPlainLoopsDo) {
  const auto first_seed = static_cast<uint32_t>(FromEnvironment("PROMPTDB_SEED", 20261125));
  const int cases = FromEnvironment("PROMPTDB_CASES", 4000);
  int with_rows = 0;
  int overflows = 0;
  for (int i = 0; i < cases; ++i) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(i);
    const RandomQuery query = MakeRandomQuery(seed);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + query.text + "\n" + Print(query.table));
    try {
      const std::vector<Row> rows = RunQuery(query.text, query.table);
      ASSERT_TRUE(query.answer.has_value()) << "the sum should have overflowed";
      ASSERT_EQ(rows, *query.answer) << Print(rows) << "expected\n" << Print(*query.answer);
      with_rows += rows.empty() ? 0 : 1;
    } catch (const Error& error) {
      ASSERT_FALSE(query.answer.has_value()) << FormatError(error, query.text);
      ASSERT_NE(error.message().find("too large"), std::string::npos) << error.message();
      ++overflows;
    }
  }
  std::printf("seed %u, %d queries: %d have rows, %d have sums that are too large\n", first_seed,
              cases, with_rows, overflows);
  EXPECT_GT(with_rows, cases / 4);
}

TEST(RelationalTest, ASumMayLeave64BitsOnItsWayOnly) {
  const auto row = [](int64_t big) { return Row{{}, big, {}, {}, {}, {}}; };
  EXPECT_EQ(RunQuery("SELECT sum(big) FROM pc_random",
                     {row(kMost), row(kMost), row(kLeast), row(kLeast)}),
            (std::vector<Row>{{int64_t{-2}}}));
  EXPECT_EQ(RunQuery("SELECT avg(big) FROM pc_random", {row(kMost), row(kMost)}),
            (std::vector<Row>{{9223372036854775808.0}}));
  const std::string text = "SELECT i, sum(big) FROM pc_random GROUP BY i";
  try {
    RunQuery(text, {row(kMost), row(1)});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(FormatError(error, text),
              "error: invalid argument: the sum is too large for an integer of 64 bits: sum(big)\n"
              "  line 1: SELECT i, sum(big) FROM pc_random GROUP BY i\n"
              "                    ^^^^^^^^\n");
  }
}

TEST(RelationalTest, ActualsCountRowsOfEachNode) {
  std::vector<Row> table;
  for (int64_t i = 0; i < 10; ++i) table.push_back({i % 3, {}, {}, {}, {}, {}});
  std::vector<NodeActuals> actuals;
  RunQuery("SELECT i, count(*) FROM pc_random WHERE i > 0 GROUP BY i ORDER BY i LIMIT 1", table,
           &actuals);
  std::vector<int64_t> rows;
  for (const NodeActuals& actual : actuals) rows.push_back(actual.rows);
  // Project, Limit, Sort, Aggregate, Filter, TableScan.
  EXPECT_EQ(rows, (std::vector<int64_t>{1, 1, 2, 2, 6, 10}));
}

TEST(RelationalTest, StopsWhenItIsCanceled) {
  class Canceled : public NoProgress {
   public:
    bool IsCanceled() const override { return true; }
  };
  const std::vector<ast::Statement> statements = Parse("SELECT * FROM pc_random");
  const RelationalPlan plan =
      BindSystemSelect(std::get<ast::SystemSelect>(statements.front().node), kTables);
  const auto scan = [](const TableScanNode&) { return std::vector<Row>(); };
  EXPECT_THROW(RunRelationalPlan(plan, scan, nullptr, Canceled()), Error);
}

}  // namespace
}  // namespace promptdb
