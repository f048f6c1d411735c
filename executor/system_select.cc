// SELECT … FROM pc_table, and its EXPLAIN.
#include <cstdio>

#include "base/stopwatch.h"
#include "executor/relational_operators.h"
#include "executor/statements.h"
#include "executor/system_tables.h"
#include "planner/explain.h"
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
                            const Settings& settings, ResultSink& sink) {
  const RelationalPlan plan = BindSystemSelect(statement);
  const std::vector<Row> rows = Run(plan, {database, settings, sink}, nullptr);
  sink.OnColumns(plan.root->columns);
  for (const Row& row : rows) sink.OnRow(row);
  return "SELECT " + std::to_string(rows.size());
}

std::string RunExplainSystemSelect(const ast::SystemSelect& query, const ast::Explain& statement,
                                   Database::Rep& database, const Settings& settings,
                                   ResultSink& sink) {
  const Stopwatch watch;
  const RelationalPlan plan = BindSystemSelect(query);
  const double planning_ms = watch.Milliseconds();
  std::vector<NodeActuals> actuals;
  if (statement.analyze) Run(plan, {database, settings, sink}, &actuals);
  const std::vector<NodeActuals>* shown = statement.analyze ? &actuals : nullptr;

  sink.OnColumns({{"plan", Column::Type::kText}});
  if (statement.format == ast::Explain::Format::kJson) {
    sink.OnRow({ExplainJson(*plan.root, shown)});
    return "EXPLAIN";
  }
  for (std::string& line : ExplainText(*plan.root, shown)) sink.OnRow({std::move(line)});
  if (statement.analyze) {
    char line[96];
    std::snprintf(line, sizeof(line), "Timing (planning_ms=%.3f, total_ms=%.3f)", planning_ms,
                  watch.Milliseconds());
    sink.OnRow({std::string(line)});
  }
  return "EXPLAIN";
}

}  // namespace promptdb
