// SELECT … FROM pc_table, and its EXPLAIN.
#include <cstdio>

#include "base/stopwatch.h"
#include "executor/plan_rows.h"
#include "executor/relational_operators.h"
#include "executor/statements.h"
#include "executor/system_tables.h"
#include "planner/relational_binder.h"

namespace promptdb {

namespace {

std::vector<Row> Run(const RelationalPlan& plan, const SystemTableSource& source,
                     std::vector<NodeActuals>* actuals) {
  const auto scan = [&](const TableScanNode& node) {
    return SystemTableRows(node.table->id, node.only_schema, source);
  };
  return RunRelationalPlan(plan, scan, actuals, source.sink);
}

}  // namespace

std::string RunSystemSelect(const ast::SystemSelect& statement, Database::Rep& database,
                            const Settings& settings, const Access& access, ResultSink& sink) {
  const RelationalPlan plan = BindSystemSelect(statement);
  const std::vector<Row> rows = Run(plan, {database, settings, access, sink}, nullptr);
  sink.OnColumns(plan.root->columns);
  for (const Row& row : rows) sink.OnRow(row);
  return "SELECT " + std::to_string(rows.size());
}

std::string RunExplainSystemSelect(const ast::SystemSelect& query, const ast::Explain& statement,
                                   Database::Rep& database, const Settings& settings,
                                   const Access& access, ResultSink& sink) {
  const Stopwatch watch;
  const RelationalPlan plan = BindSystemSelect(query);
  const double planning_ms = watch.Milliseconds();
  std::vector<NodeActuals> actuals;
  if (statement.analyze) Run(plan, {database, settings, access, sink}, &actuals);
  char timing[96];
  std::snprintf(timing, sizeof(timing), "planning_ms=%.3f, total_ms=%.3f", planning_ms,
                watch.Milliseconds());
  SendPlan(statement, *plan.root, actuals, timing, sink);
  return "EXPLAIN";
}

}  // namespace promptdb
