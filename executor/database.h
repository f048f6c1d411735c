// What a Database holds. Only executor/ includes this.
#ifndef PROMPTDB_EXECUTOR_DATABASE_H_
#define PROMPTDB_EXECUTOR_DATABASE_H_

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "executor/model_registry.h"
#include "executor/session.h"
#include "planner/layout.h"
#include "planner/planner.h"
#include "storage/state_cache.h"

namespace promptdb {

// A schema's layout, and what it was computed from.
struct OpenSchema {
  SchemaDefinition definition;
  std::shared_ptr<const OpenModel> model;
  SchemaLayout layout;
};

// How a note of ModelDefinition::chat_notes is told.
std::string ChatNotice(const std::string& model, const std::string& note);

struct Database::Rep {
  explicit Rep(const std::filesystem::path& folder);

  // The schema laid out for its model. Throws Error(kUnknownName) at `name`.
  std::shared_ptr<const OpenSchema> Open(const ast::Name& name, ResultSink& sink);

  // The model of a catalog row, with files that have changed opened again, which `sink` is told.
  // Errors point at `place`.
  std::shared_ptr<const OpenModel> Open(const ModelDefinition& definition, SourceRange place,
                                        ResultSink& sink);

  // What plans for a model depend on.
  PlanContext ContextOf(const OpenModel& model) const;

  // Names for "did you mean".
  std::vector<std::string> ModelNames() const;
  std::vector<std::string> SchemaNames() const;

  // After a change to a model or schema of this name.
  void ForgetLayouts();

  Rocks rocks;
  BufferPool pool;
  StateCache cache;
  Catalog catalog;
  ModelRegistry models;

 private:
  std::mutex mutex_;
  // By schema name. Shared with the queries that run on them. Guarded by mutex_.
  std::map<std::string, std::shared_ptr<const OpenSchema>> schemas_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DATABASE_H_
