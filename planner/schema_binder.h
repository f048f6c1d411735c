// CREATE SCHEMA's syntax tree to the definition that the catalog keeps: names unique, files read.
#ifndef PROMPTDB_PLANNER_SCHEMA_BINDER_H_
#define PROMPTDB_PLANNER_SCHEMA_BINDER_H_

#include "parser/ast.h"
#include "storage/schema_definition.h"

namespace promptdb {

// Throws Error with the place to blame: a name used twice, a union member that is no module, an
// empty module, a parameter misused, a file that can't be read or holds no UTF-8, a role inside a
// role, an option unknown. The model's existence is the caller's to check.
SchemaDefinition BindSchema(const ast::CreateSchema& statement);

// Adds a part at the schema's end. Throws as BindSchema() does, and then has changed nothing.
void AddPart(const ast::Part& part, SchemaDefinition& schema);

ChatRole ToChatRole(ast::Role role);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_SCHEMA_BINDER_H_
