// ALTER SCHEMA's syntax tree, over a schema's definition, to its new definition.
#ifndef PROMPTDB_PLANNER_SCHEMA_CHANGE_H_
#define PROMPTDB_PLANNER_SCHEMA_CHANGE_H_

#include "parser/ast.h"
#include "storage/schema_definition.h"

namespace promptdb {

// Added parts stand at the end, so that nothing before them moves; what stands after a module that
// is dropped moves up, unless it was one of a union that stays as long. A union or role that is
// left empty goes too. Throws Error with the place to blame: whatever CREATE SCHEMA refuses, a
// module or scaffold that is not there, one that a scaffold needs, or the last of the parts of a
// module or schema. RENAME only changes the name: whether it is taken is the caller's to check.
SchemaDefinition ChangeSchema(SchemaDefinition schema, const ast::AlterSchema& change);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_SCHEMA_CHANGE_H_
