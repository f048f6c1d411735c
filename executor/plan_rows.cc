#include "executor/plan_rows.h"

namespace promptdb {

std::vector<Column> PlanColumns() { return {{"plan", Column::Type::kText}}; }

void SendPlan(const ast::Explain& statement, const PlanNode& root,
              const std::vector<NodeActuals>& actuals, const std::string& timing,
              ResultSink& sink) {
  const std::vector<NodeActuals>* shown = statement.analyze ? &actuals : nullptr;
  sink.OnColumns(PlanColumns());
  if (statement.format == ast::Explain::Format::kJson) {
    sink.OnRow({ExplainJson(root, shown)});
    return;
  }
  for (std::string& line : ExplainText(root, shown)) sink.OnRow({std::move(line)});
  if (statement.analyze) sink.OnRow({"Timing (" + timing + ")"});
}

}  // namespace promptdb
