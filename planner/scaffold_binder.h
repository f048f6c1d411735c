// SCAFFOLD's syntax tree, over a schema's parts, to its members.
#ifndef PROMPTDB_PLANNER_SCAFFOLD_BINDER_H_
#define PROMPTDB_PLANNER_SCAFFOLD_BINDER_H_

#include <vector>

#include "parser/ast.h"
#include "storage/schema_definition.h"

namespace promptdb {

// Adds the scaffolds to `schema`, whose parts are bound. A member is a module, or another scaffold,
// which stands for its members. Throws Error with the place: a name that is taken, a member that is
// no module (with the nearest name) or stands there twice, scaffolds that hold each other, fewer
// than two members, or members that no prompt has together.
void AddScaffolds(const std::vector<ast::Scaffold>& scaffolds, SchemaDefinition& schema);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_SCAFFOLD_BINDER_H_
