// The system tables: their names, columns and meaning. Their rows come from executor/system_tables.
//
// Thread-safe: constants.
#ifndef PROMPTDB_PLANNER_SYSTEM_CATALOG_H_
#define PROMPTDB_PLANNER_SYSTEM_CATALOG_H_

#include <span>
#include <string_view>

#include "base/value.h"

namespace promptdb {

struct SystemColumn {
  std::string_view name;
  Column::Type type = Column::Type::kText;
  std::string_view meaning;
};

struct SystemTable {
  enum class Id {
    kModels,
    kSchemas,
    kModules,
    kStates,
    kBlocks,
    kChats,
    kConnections,
    kUsers,
    kGrants,
    kKeys,
    kAccuracy,
    kStats,
    kSettings,
    kTables,
    kColumns,
  };
  Id id = Id::kModels;
  std::string_view name;
  std::string_view meaning;
  std::span<const SystemColumn> columns;
  // Whether its rows belong to a schema that the column "schema" names, so that a scan of one
  // schema need not open the others.
  bool is_by_schema = false;

  // The place of a column, or -1.
  int FindColumn(std::string_view column) const;
};

// Every system table, in the order in which pc_tables lists them.
std::span<const SystemTable> SystemTables();

// REQUIRES: id is one of SystemTables().
const SystemTable& SystemTableOf(SystemTable::Id id);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_SYSTEM_CATALOG_H_
