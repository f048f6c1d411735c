#include <algorithm>

#include "executor/module_selection.h"
#include "executor/schema_coverage.h"
#include "executor/statements.h"
#include "parser/parser.h"
#include "planner/module_path.h"
#include "planner/options.h"

namespace promptdb {

namespace {

using Type = Column::Type;

constexpr int64_t kMostPriority = 1000;

// That of the nearest of the path, the modules around it, and the whole schema, that has one.
StatePolicy EffectivePolicy(const SchemaDefinition& schema, std::string path) {
  for (;;) {
    if (const auto found = schema.policies.find(path); found != schema.policies.end()) {
      return found->second;
    }
    if (path.empty()) return {};
    const size_t dot = path.rfind('.');
    path.resize(dot == path.npos ? 0 : dot);
  }
}

// Drops policies that say no more than what holds without them.
void Prune(SchemaDefinition& schema) {
  for (auto it = schema.policies.begin(); it != schema.policies.end();) {
    const auto entry = it++;
    const std::pair<std::string, StatePolicy> own = *entry;
    schema.policies.erase(entry);
    if (EffectivePolicy(schema, own.first) != own.second) schema.policies.insert(own);
  }
}

bool IsWithin(const std::string& path, const std::string& around) {
  return around.empty() || path == around || path.starts_with(around + ".");
}

// The schema as it was opened, with other policies.
OpenSchema WithPolicies(const OpenSchema& schema, SchemaDefinition definition) {
  OpenSchema changed = schema;
  changed.definition = std::move(definition);
  return changed;
}

// Throws Error(kResource) if what is pinned would be more than the pin budget allows.
void CheckPinBudget(const OpenSchema& schema, const StateCache& cache, SourceRange place) {
  const KeyedStates keyed(schema);
  const std::vector<StatePolicy> policies = PoliciesOf(schema, keyed.states);
  int64_t needed = 0;
  for (size_t i = 0; i < policies.size(); ++i) {
    if (!policies[i].is_pinned || cache.IsHeld(keyed.keys[i].key)) continue;
    const auto tokens = static_cast<int>(keyed.states.prompt.segments[i].tokens.size());
    needed += BlockGrid(schema.model->kv_shape(), tokens).TotalBytes();
  }
  const StateCacheStats stats = cache.stats();
  if (stats.held_bytes + needed <= stats.pin_budget) return;
  throw Error(ErrorCode::kResource,
              "the states take " + std::to_string(needed) + " bytes, and pin_cache has " +
                  std::to_string(std::max<int64_t>(0, stats.pin_budget - stats.held_bytes)) +
                  " left of " + std::to_string(stats.pin_budget),
              "SET pin_cache to more, or UNPIN others.", place);
}

void Store(const OpenSchema& schema, Database::Rep& database) {
  database.catalog.PutSchema(schema.definition);
  database.ForgetLayouts();
  ApplyPolicies(schema, database.cache);
}

}  // namespace

std::vector<Column> WarmColumns() {
  return {{"schema", Type::kText},
          {"encoded", Type::kInteger},
          {"from_disk", Type::kInteger},
          {"in_memory", Type::kInteger}};
}

std::vector<Column> PinColumns() {
  return {{"schema", Type::kText}, {"pinned", Type::kInteger}, {"bytes", Type::kInteger}};
}

std::vector<Column> EvictColumns() {
  return {{"schema", Type::kText},
          {"states", Type::kInteger},
          {"gpu_bytes", Type::kInteger},
          {"cpu_bytes", Type::kInteger},
          {"disk_bytes", Type::kInteger}};
}

std::string RunWarm(const ast::Warm& statement, Database::Rep& database, ResultSink& sink) {
  const auto schema = database.Open(statement.schema, sink);
  const SchemaStates states = ListStates(schema->definition, schema->layout);
  const std::set<int> wanted =
      SelectedSegments(SelectedPaths(statement, schema->definition), *schema, states);
  sink.OnColumns(WarmColumns());
  const WarmCounts counts = WarmSegments(wanted, *schema, database, sink);
  sink.OnRow({schema->definition.name, counts.encoded, counts.from_disk, counts.in_memory});
  return "WARM";
}

std::string RunPin(const ast::Pin& statement, Database::Rep& database, ResultSink& sink) {
  const auto schema = database.Open(statement.schema, sink);
  std::set<std::string> paths = SelectedPaths(statement, schema->definition);
  SchemaDefinition changed = schema->definition;
  std::set<std::string> named = paths;
  if (named.empty()) named.insert("");
  for (const std::string& path : named) {
    changed.policies[path] = EffectivePolicy(changed, path);
    for (auto& [other, policy] : changed.policies) {
      if (IsWithin(other, path)) policy.is_pinned = statement.is_pinned;
    }
  }
  Prune(changed);
  const OpenSchema pinned = WithPolicies(*schema, std::move(changed));
  if (statement.is_pinned) CheckPinBudget(pinned, database.cache, statement.schema.range);
  Store(pinned, database);

  const KeyedStates keyed(pinned);
  const std::set<int> wanted = SelectedSegments(paths, pinned, keyed.states);
  if (statement.is_pinned) WarmSegments(wanted, pinned, database, sink);
  int64_t states = 0, bytes = 0;
  for (const int segment : wanted) {
    const Digest& key = keyed.keys[static_cast<size_t>(segment)].key;
    if (!database.cache.IsHeld(key)) continue;
    ++states;
    bytes += database.cache.Probe(key).bytes;
  }
  sink.OnColumns(PinColumns());
  sink.OnRow({pinned.definition.name, states, bytes});
  return statement.is_pinned ? "PIN" : "UNPIN";
}

std::string RunEvict(const ast::Evict& statement, Database::Rep& database, ResultSink& sink) {
  using From = ast::Evict::From;
  const auto schema = database.Open(statement.schema, sink);
  const KeyedStates keyed(*schema);
  const std::set<int> wanted =
      SelectedSegments(SelectedPaths(statement, schema->definition), *schema, keyed.states);
  int64_t states = 0, gpu_bytes = 0, cpu_bytes = 0, disk_bytes = 0, kept = 0;
  for (const int segment : wanted) {
    const Digest& key = keyed.keys[static_cast<size_t>(segment)].key;
    const StateInfo info = database.cache.Probe(key);
    if (info.tier == Tier::kMiss) continue;
    if (database.cache.PolicyOf(key).is_pinned) {
      ++kept;
      continue;
    }
    if (statement.from == From::kGpu) {
      const int64_t freed = database.cache.EvictFromDevice(key);
      gpu_bytes += freed;
      states += freed > 0 ? 1 : 0;
    } else if (statement.from == From::kCpu) {
      const int64_t freed = database.cache.EvictFromMemory(key);
      cpu_bytes += freed;
      states += freed > 0 ? 1 : 0;
    } else {
      database.cache.Erase(key);
      gpu_bytes += info.gpu_bytes;
      cpu_bytes += info.cpu_bytes;
      disk_bytes += info.bytes;
      ++states;
    }
  }
  if (kept > 0) {
    const std::string kept_states = kept == 1
                                        ? "1 state is pinned and stays"
                                        : std::to_string(kept) + " states are pinned and stay";
    sink.OnNotice(kept_states + "; UNPIN " + QuoteName(schema->definition.name) + "; lets " +
                  (kept == 1 ? "it" : "them") + " go");
  }
  sink.OnColumns(EvictColumns());
  sink.OnRow({schema->definition.name, states, gpu_bytes, cpu_bytes, disk_bytes});
  return "EVICT";
}

std::string RunAlterModule(const ast::AlterModule& statement, Database::Rep& database,
                           ResultSink& sink) {
  const auto schema = database.Open(statement.path.front(), sink);
  const std::string path =
      ResolveModule({statement.path.begin() + 1, statement.path.end()},
                    ModulePaths(schema->definition.parts), schema->definition.name);
  const OptionReader options(statement.options, "ALTER MODULE", {"ttl", "priority", "pinned"});
  SchemaDefinition changed = schema->definition;
  StatePolicy policy = EffectivePolicy(changed, path);
  if (const auto ttl = options.Seconds("ttl")) policy.ttl_seconds = *ttl;
  if (const auto priority = options.Integer("priority", -kMostPriority, kMostPriority)) {
    policy.priority = static_cast<int>(*priority);
  }
  const std::optional<bool> pinned = options.Boolean("pinned");
  if (pinned) policy.is_pinned = *pinned;
  changed.policies[path] = policy;
  Prune(changed);
  const OpenSchema altered = WithPolicies(*schema, std::move(changed));
  if (pinned.value_or(false)) {
    CheckPinBudget(altered, database.cache, options.RangeOf("pinned"));
  }
  Store(altered, database);
  return "ALTER MODULE";
}

}  // namespace promptdb
