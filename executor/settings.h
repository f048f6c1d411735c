// SET and RESET: what a session, and the database behind it, can be told.
//
// Not thread-safe: belongs to a session.
#ifndef PROMPTDB_EXECUTOR_SETTINGS_H_
#define PROMPTDB_EXECUTOR_SETTINGS_H_

#include <string>
#include <vector>

#include "executor/accuracy_gate.h"
#include "parser/ast.h"
#include "planner/prompt_binder.h"
#include "storage/buffer_pool.h"
#include "storage/device_pool.h"
#include "storage/rocks.h"
#include "storage/state_cache.h"

namespace promptdb {

// Bytes; see the settings cpu_cache, disk_cache and pin_cache.
struct CacheBudgets {
  int64_t cpu = 0;
  int64_t disk = 0;
  int64_t pins = 0;
};

class Settings {
 public:
  // All borrowed. `defaults`: what the budgets were when the database was opened.
  Settings(BufferPool* pool, DevicePool* device_pool, StateCache* cache, Rocks* rocks,
           const CacheBudgets& defaults);

  // Throws Error at the name or value to blame.
  void Set(const ast::Name& name, const ast::Literal& value);
  void Reset(const ast::Name& name);

  const QueryDefaults& query_defaults() const { return query_; }
  const AccuracyTolerance& accuracy_tolerance() const { return tolerance_; }

  struct Row {
    std::string name;
    std::string value;
    std::string meaning;
  };
  std::vector<Row> Rows() const;
  static std::vector<std::string> Names();

 private:
  void SetPolicies(std::string_view name);  // of all pools

  BufferPool* pool_;
  DevicePool* device_pool_;
  StateCache* cache_;
  Rocks* rocks_;
  CacheBudgets defaults_;
  QueryDefaults query_;
  AccuracyTolerance tolerance_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SETTINGS_H_
