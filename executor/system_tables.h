// Where the rows of the system tables (planner/system_catalog.h) come from. SHOW lists the same
// rows, so nothing is gathered twice.
//
// Thread-safe, as the database is; `settings` and `sink` belong to the session that asks.
#ifndef PROMPTDB_EXECUTOR_SYSTEM_TABLES_H_
#define PROMPTDB_EXECUTOR_SYSTEM_TABLES_H_

#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "executor/access.h"
#include "executor/database.h"
#include "executor/settings.h"
#include "planner/system_catalog.h"

namespace promptdb {

// All borrowed.
struct SystemTableSource {
  Database::Rep& database;
  const Settings& settings;
  const Access& access;
  ResultSink& sink;  // is told of models whose files have changed
};

// The rows of a table as they are now, of what the user may see, with every column. With
// `only_schema` those of other schemas may be left out.
//
// A schema whose model can't be opened has its modules in pc_modules all the same, with NULL for
// what only the model can tell, and a notice.
std::vector<Row> SystemTableRows(SystemTable::Id table,
                                 const std::optional<std::string>& only_schema,
                                 const SystemTableSource& source);

// The rows of pc_modules of one schema. Throws Error at `schema` when it can't be opened.
std::vector<Row> ModuleRowsOf(const ast::Name& schema, const SystemTableSource& source);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SYSTEM_TABLES_H_
