// The operators of relational plans (planner/relational_plan.h), each a function from the rows
// below it to its own. System tables are small, so rows are passed whole.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_EXECUTOR_RELATIONAL_OPERATORS_H_
#define PROMPTDB_EXECUTOR_RELATIONAL_OPERATORS_H_

#include <functional>
#include <vector>

#include "base/progress.h"
#include "base/value.h"
#include "planner/explain.h"
#include "planner/relational_plan.h"

namespace promptdb {

// The rows of a table, each with all of its columns.
using TableScan = std::function<std::vector<Row>(const TableScanNode&)>;

// Runs the plan. `actuals`, if given, gets one entry a node: its own time, of the root that of the
// whole plan. Throws Error(kCanceled) when `progress` says so.
std::vector<Row> RunRelationalPlan(const RelationalPlan& plan, const TableScan& scan,
                                   std::vector<NodeActuals>* actuals,
                                   const ProgressListener& progress);

// filter.cc
std::vector<Row> RunFilter(const FilterNode& node, std::vector<Row> rows);

// aggregate.cc. Throws Error(kInvalidArgument) at a sum of integers that 64 bits can't hold; sums
// on the way there may be larger.
std::vector<Row> RunAggregate(const AggregateNode& node, const std::vector<Row>& rows);

// Less than, equal to or greater than zero, as ORDER BY has it: NULL equals NULL and is greater
// than all values.
int CompareForOrder(const Value& left, const Value& right);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_RELATIONAL_OPERATORS_H_
