// Which states of a schema belong to modules that a statement names, and what is done with them.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_EXECUTOR_MODULE_SELECTION_H_
#define PROMPTDB_EXECUTOR_MODULE_SELECTION_H_

#include <set>
#include <string>
#include <vector>

#include "executor/database.h"
#include "executor/result.h"
#include "parser/ast.h"
#include "planner/schema_states.h"

namespace promptdb {

// The modules' paths; empty for all that the schema has. Throws Error(kUnknownName) at a name.
std::set<std::string> SelectedPaths(const ast::Modules& modules, const SchemaDefinition& schema);

// The segments of `states` that belong to the modules `paths` and the modules in them, with the
// scaffolds of which all members are among `paths`; all of them where `paths` is empty.
std::set<int> SelectedSegments(const std::set<std::string>& paths, const OpenSchema& schema,
                               const SchemaStates& states);

// Policies by segment of `states`. A module's own one holds for the modules in it as well, unless
// they have their own. A scaffold's states are pinned if all its members are.
std::vector<StatePolicy> PoliciesOf(const OpenSchema& schema, const SchemaStates& states);
// Tells the cache.
void ApplyPolicies(const OpenSchema& schema, StateCache& cache);

// How the states of some segments came into memory.
struct WarmCounts {
  int64_t encoded = 0;
  int64_t from_disk = 0;
  int64_t in_memory = 0;
};
// Brings the segments `wanted` of the schema's states into memory, one after the other.
WarmCounts WarmSegments(const std::set<int>& wanted, const OpenSchema& schema,
                        Database::Rep& database, ResultSink& sink);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_MODULE_SELECTION_H_
