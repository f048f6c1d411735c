// A query of a system table, with all names looked up and all types checked, as a plan.
#ifndef PROMPTDB_PLANNER_RELATIONAL_BINDER_H_
#define PROMPTDB_PLANNER_RELATIONAL_BINDER_H_

#include <span>

#include "parser/ast.h"
#include "planner/relational_plan.h"
#include "planner/system_catalog.h"

namespace promptdb {

// Throws Error at the part of the statement to blame. `tables` must outlive the plan.
//
// Names follow PostgreSQL: WHERE and GROUP BY know the table's columns, and GROUP BY also, after
// them, what the SELECT list calls its results; ORDER BY knows those first. A whole number in
// GROUP BY or ORDER BY is a place in the SELECT list, from 1.
//
// REQUIRES: no $n is left in the query.
RelationalPlan BindSystemSelect(const ast::SystemSelect& query,
                                std::span<const SystemTable> tables = SystemTables());

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_RELATIONAL_BINDER_H_
