// EXPLAIN's result, whatever the plan is of.
#ifndef PROMPTDB_EXECUTOR_PLAN_ROWS_H_
#define PROMPTDB_EXECUTOR_PLAN_ROWS_H_

#include <string>
#include <vector>

#include "executor/result.h"
#include "parser/ast.h"
#include "planner/explain.h"

namespace promptdb {

std::vector<Column> PlanColumns();

// A row for each line of the plan, or one with the whole as JSON. With ANALYZE, the lines have
// `actuals` (by node id), and the text form ends in "Timing (`timing`)".
void SendPlan(const ast::Explain& statement, const PlanNode& root,
              const std::vector<NodeActuals>& actuals, const std::string& timing, ResultSink& sink);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_PLAN_ROWS_H_
