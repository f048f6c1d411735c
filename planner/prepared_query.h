// A prepared query and EXECUTE's values, to the query that runs.
#ifndef PROMPTDB_PLANNER_PREPARED_QUERY_H_
#define PROMPTDB_PLANNER_PREPARED_QUERY_H_

#include "parser/ast.h"

namespace promptdb {

// The query with the values in the places of $1, $2, …. Its own words stood in another statement,
// so errors that blame one of them point at the name in `execute`; those that blame a value, at the
// value. Throws Error at the place to blame for a wrong number of values, or one that is no text
// where the query needs a text.
ast::Query WithValues(const ast::Prepare& prepared, const ast::Execute& execute);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_PREPARED_QUERY_H_
