// EXPLAIN: one function prints every plan.
#ifndef PROMPTDB_PLANNER_EXPLAIN_H_
#define PROMPTDB_PLANNER_EXPLAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "planner/plan.h"

namespace promptdb {

// What running a node showed. Kept by node id.
struct NodeActuals {
  double ms = 0;
  int64_t rows = 0;          // tokens, or rows of a table, that the node gave to the one above
  std::optional<Tier> tier;  // ModuleScan: where the states really came from
};

// One line a node, two spaces of indent a level:
//   ModuleScan (module=cities.paris, tokens=120, positions=4..123, tier=cpu, bytes=276480,
//   est_ms=0)
// With `actuals` (by node id), each line goes on with "[actual_ms=…, rows=…]".
std::vector<std::string> ExplainText(const PlanNode& root, const std::vector<NodeActuals>* actuals);

// The same as JSON, indented: {"node": …, details…, "estimate_ms": …, "children": […]}.
std::string ExplainJson(const PlanNode& root, const std::vector<NodeActuals>* actuals);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_EXPLAIN_H_
