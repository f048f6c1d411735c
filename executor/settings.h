// SET and RESET: what a session, and the database behind it, can be told.
//
// Not thread-safe: belongs to a session.
#ifndef PROMPTDB_EXECUTOR_SETTINGS_H_
#define PROMPTDB_EXECUTOR_SETTINGS_H_

#include <string>
#include <string_view>
#include <vector>

#include "executor/accuracy_gate.h"
#include "executor/query_memory.h"
#include "parser/ast.h"
#include "planner/prompt_binder.h"
#include "planner/urgency_options.h"
#include "storage/buffer_pool.h"
#include "storage/device_pool.h"
#include "storage/rocks.h"
#include "storage/state_cache.h"

namespace promptdb {

// Bytes; see the settings cpu_cache, disk_cache, pin_cache and query_memory.
struct MemoryBudgets {
  int64_t cpu = 0;
  int64_t disk = 0;
  int64_t pins = 0;
  int64_t queries = 0;
};

class Settings {
 public:
  // All borrowed. `defaults`: what the budgets were when the database was opened.
  Settings(BufferPool* pool, DevicePool* device_pool, StateCache* cache, Rocks* rocks,
           QueryMemory* query_memory, const MemoryBudgets& defaults);

  // Throws Error at the name or value to blame.
  void Set(const ast::Name& name, const ast::Literal& value);
  void Reset(const ast::Name& name);

  const QueryDefaults& query_defaults() const { return query_; }
  const AccuracyTolerance& accuracy_tolerance() const { return tolerance_; }
  // Of statements that say nothing of it.
  const UrgencyDefaults& urgency_defaults() const { return urgency_; }
  // Of the statement that runs next.
  void SetUrgency(const Urgency& urgency) { query_.urgency = urgency; }

  struct Row {
    std::string name;
    std::string value;
    std::string meaning;
  };
  std::vector<Row> Rows() const;
  static std::vector<std::string> Names();
  // Whether it is one for all sessions. False for what is no setting.
  static bool IsOfDatabase(std::string_view name);

 private:
  void SetPolicies(std::string_view name);  // of all pools

  BufferPool* pool_;
  DevicePool* device_pool_;
  StateCache* cache_;
  Rocks* rocks_;
  QueryMemory* query_memory_;
  MemoryBudgets defaults_;
  QueryDefaults query_;
  UrgencyDefaults urgency_;
  AccuracyTolerance tolerance_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SETTINGS_H_
