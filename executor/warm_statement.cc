#include <algorithm>
#include <set>

#include "executor/encode.h"
#include "executor/query_state.h"
#include "executor/statements.h"
#include "planner/module_path.h"
#include "planner/planner.h"
#include "planner/schema_states.h"

namespace promptdb {

namespace {

// The atoms of the modules `paths` and of the modules in them.
void AddAtoms(const std::vector<LaidOutPart>& parts, const std::set<std::string>& paths,
              bool is_inside, std::set<int>& atoms) {
  for (const LaidOutPart& part : parts) {
    const bool is_wanted = is_inside || paths.contains(part.path);
    if (is_wanted) atoms.insert(part.atoms.begin(), part.atoms.end());
    AddAtoms(part.children, paths, is_wanted, atoms);
  }
}

// The segments of `states` that WARM computes: all, or those of the modules named, with the
// scaffolds of which all members are named.
std::set<int> WantedSegments(const ast::Warm& statement, const OpenSchema& schema,
                             const SchemaStates& states) {
  std::set<int> wanted;
  if (statement.modules.empty()) {
    for (size_t i = 0; i < states.prompt.segments.size(); ++i) wanted.insert(static_cast<int>(i));
    return wanted;
  }
  const std::vector<std::string> all_paths = ModulePaths(schema.definition.parts);
  std::set<std::string> paths;
  for (const std::vector<ast::Name>& path : statement.modules) {
    paths.insert(ResolveModule(path, all_paths, schema.definition.name));
  }
  AddAtoms(schema.layout.parts, paths, false, wanted);
  for (size_t i = 0; i < schema.layout.scaffolds.size(); ++i) {
    const std::vector<std::string>& members = schema.layout.scaffolds[i].members;
    const auto is_named = [&](const std::string& path) { return paths.contains(path); };
    if (std::all_of(members.begin(), members.end(), is_named)) {
      wanted.insert(states.scaffolds[i].begin(), states.scaffolds[i].end());
    }
  }
  return wanted;
}

// Brings what segment `index` attends to into `query`, from the cache or else, with what it attends
// to itself, into `missing`.
void AcquireContext(int index, Database::Rep& database, QueryState& query, std::set<int>& missing) {
  for (const AttendedSpan& span : query.Segment(index).attends) {
    const auto seen = static_cast<size_t>(span.segment);
    if (query.segments[seen] != nullptr || missing.contains(span.segment)) continue;
    bool no_room = false;
    if (auto acquired = database.cache.Acquire(query.plan.scans[seen]->key, &no_room)) {
      query.segments[seen] = std::make_unique<KvSegment>(std::move(acquired->segment));
    } else {
      AcquireContext(span.segment, database, query, missing);
      missing.insert(span.segment);
    }
  }
}

}  // namespace

std::string RunWarm(const ast::Warm& statement, Database::Rep& database, ResultSink& sink) {
  const auto schema = database.Open(statement.schema, sink);
  const OpenModel& model = *schema->model;
  SchemaStates states = ListStates(schema->definition, schema->layout);
  const std::set<int> wanted = WantedSegments(statement, *schema, states);

  sink.OnColumns({{"schema", Column::Type::kText},
                  {"encoded", Column::Type::kInteger},
                  {"from_disk", Column::Type::kInteger},
                  {"in_memory", Column::Type::kInteger}});
  if (wanted.empty()) {
    sink.OnRow({schema->definition.name, int64_t{0}, int64_t{0}, int64_t{0}});
    return "WARM";
  }
  const PlanContext context = database.ContextOf(model);
  const QueryPlan plan = PlanQuery(std::move(states.prompt), context);
  const Transformer& weights = model.Weights(&sink);

  // One segment at a time, so that no more is pinned at once than it and what it attends to.
  int64_t encoded = 0, from_disk = 0, in_memory = 0;
  for (const int index : wanted) {
    const ModuleScanNode& scan = *plan.scans[static_cast<size_t>(index)];
    bool no_room = false;
    if (auto acquired = database.cache.Acquire(scan.key, &no_room)) {
      ++(acquired->tier == Tier::kCpu ? in_memory : from_disk);
      continue;
    }
    if (no_room && database.cache.Probe(scan.key).tier != Tier::kMiss) {
      sink.OnNotice("cpu_cache has no room for the states of \"" + scan.module +
                    "\"; they stay on disk");
      continue;
    }
    QueryState query(plan, weights, model, database.cache, sink);
    std::set<int> missing;
    AcquireContext(index, database, query, missing);
    missing.insert(index);
    EncodeSegments({missing.begin(), missing.end()}, query);
    encoded += static_cast<int64_t>(missing.size());
  }

  sink.OnRow({schema->definition.name, encoded, from_disk, in_memory});
  return "WARM";
}

}  // namespace promptdb
