// What a Database holds. Only executor/ includes this.
#ifndef PROMPTDB_EXECUTOR_DATABASE_H_
#define PROMPTDB_EXECUTOR_DATABASE_H_

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "executor/devices.h"
#include "executor/model_registry.h"
#include "executor/query_memory.h"
#include "executor/session.h"
#include "executor/settings.h"
#include "planner/layout.h"
#include "planner/planner.h"
#include "storage/device_pool.h"
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

// Keeps a chat to one session while that changes it. Move-only; lets go when destroyed.
class ChatHold {
 public:
  ChatHold(ChatHold&& other) noexcept;
  ChatHold& operator=(ChatHold&& other) = delete;
  ~ChatHold();

 private:
  friend struct Database::Rep;
  ChatHold(Database::Rep* database, std::string name)
      : database_(database), name_(std::move(name)) {}

  Database::Rep* database_;  // null after a move
  std::string name_;
};

struct Database::Rep {
  explicit Rep(const std::filesystem::path& folder);

  // The schema laid out for its model. Throws Error(kUnknownName) at `name`.
  std::shared_ptr<const OpenSchema> Open(const ast::Name& name, ResultSink& sink);

  // A schema without parts over the model of this name, for prompts that have none.
  std::shared_ptr<const OpenSchema> OpenBare(const ast::Name& model, ResultSink& sink);

  // The model of a catalog row, with files that have changed opened again, which `sink` is told.
  // Errors point at `place`.
  std::shared_ptr<const OpenModel> Open(const ModelDefinition& definition, SourceRange place,
                                        ResultSink& sink);

  // The catalog's rows of that name. Throw Error(kUnknownName) at `name`.
  SchemaDefinition FindSchema(const ast::Name& name) const;
  ModelDefinition FindModel(const ast::Name& name) const;

  // What plans for a model depend on. Rates that were measured on another machine, or with another
  // number of threads, are not used.
  PlanContext ContextOf(const OpenModel& model);

  // Tells `sink`, once as long as the database is open, of measured rates that are not used.
  void TellOfForeignRates(ResultSink& sink);

  // Names for "did you mean".
  std::vector<std::string> ModelNames() const;
  std::vector<std::string> SchemaNames() const;

  std::vector<std::string> ChatNames() const;

  // Users' quotas of stored states, when the catalog brings users: at opening, and by RESTORE.
  void ApplyOwnerBudgets();

  // After a change to a model or schema.
  void ForgetLayouts();

  // Whoever begins, continues, ends or forks into the chat `name` holds it meanwhile; it need not
  // exist. Throws Error(kBusy) at `place` while another session does.
  ChatHold HoldChat(const std::string& name, SourceRange place);

  // Who is connected; empty without a server. Set before the first statement.
  Database::ConnectionSource connections;

  Rocks rocks;
  BufferPool pool;
  Devices devices;
  DevicePool device_pool;
  StateCache cache;
  Catalog catalog;
  ModelRegistry models;
  QueryMemory query_memory;
  const MemoryBudgets default_budgets;

 private:
  friend class ChatHold;
  std::mutex mutex_;
  bool told_of_foreign_rates_ = false;             // guarded by mutex_
  std::set<std::string, std::less<>> held_chats_;  // guarded by mutex_
  // By schema name. Shared with the queries that run on them. Guarded by mutex_.
  std::map<std::string, std::shared_ptr<const OpenSchema>> schemas_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DATABASE_H_
