// The columns of a statement's rows, without running it: what the wire protocol's Describe answers.
//
// Thread-safe: a pure function. The same functions give the columns when the statement runs.
#ifndef PROMPTDB_EXECUTOR_STATEMENT_COLUMNS_H_
#define PROMPTDB_EXECUTOR_STATEMENT_COLUMNS_H_

#include <vector>

#include "base/value.h"
#include "parser/ast.h"

namespace promptdb {

// Empty for a statement without rows. Parameters need no values yet. Throws Error for a system
// table or column that does not exist. REQUIRES: no EXECUTE, whose query the session knows.
std::vector<Column> StatementColumns(const ast::StatementNode& statement);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_STATEMENT_COLUMNS_H_
