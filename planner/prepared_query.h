// A statement with parameters and their values, to the statement that runs.
#ifndef PROMPTDB_PLANNER_PREPARED_QUERY_H_
#define PROMPTDB_PLANNER_PREPARED_QUERY_H_

#include <vector>

#include "parser/ast.h"

namespace promptdb {

// The query with the values in the places of $1, $2, …. Its own words stood in another statement,
// so errors that blame one of them point at the name in `execute`; those that blame a value, at the
// value. Throws Error at the place to blame for a wrong number of values, or one that is no text
// where the query needs a text.
ast::StatementNode WithValues(const ast::Prepare& prepared, const ast::Execute& execute);

// The same for a statement that holds its parameters itself (the wire protocol's Bind). Errors that
// blame a value point at its parameter. REQUIRES: as many values as the statement has parameters.
ast::StatementNode WithValues(const ast::StatementNode& statement,
                              const std::vector<ast::Literal>& values);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_PREPARED_QUERY_H_
