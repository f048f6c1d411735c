// What every statement does that makes or changes a schema, once its definition is bound.
#ifndef PROMPTDB_EXECUTOR_INSTALL_SCHEMA_H_
#define PROMPTDB_EXECUTOR_INSTALL_SCHEMA_H_

#include <span>

#include "executor/database.h"

namespace promptdb {

// Where a statement names things that an error may have to point at.
struct SchemaPlaces {
  SourceRange schema;
  SourceRange model;
  std::span<const ast::Part> parts = {};  // with parameters whose default values may be too long
};

// Lays the schema out for its model, so that one that can never be used is refused here and not at
// its first query; then puts it into the catalog. `replaced`, if given, is the definition that it
// takes the place of, maybe under another name: states that it shares with the new one are kept,
// the others are dropped. Throws Error(kUnknownName) for the model, Error(kTooLong) for a schema
// that is longer than the model's context; then nothing has changed.
void InstallSchema(SchemaDefinition schema, const SchemaDefinition* replaced,
                   const SchemaPlaces& places, Database::Rep& database, ResultSink& sink);

// Frees what was stored for a schema. Where another schema lays the same text alike, it shared
// these states, and computes them again.
void DropStates(const std::string& schema, Database::Rep& database);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_INSTALL_SCHEMA_H_
