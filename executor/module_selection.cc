#include "executor/module_selection.h"

#include <algorithm>

#include "executor/encode.h"
#include "executor/query_state.h"
#include "executor/schema_coverage.h"
#include "executor/working_memory.h"
#include "planner/module_path.h"
#include "planner/planner.h"

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

// Brings what segment `index` attends to into `query`, from the cache or else, with what it attends
// to itself, into `missing`.
void AcquireContext(int index, Database::Rep& database, QueryState& query, std::set<int>& missing) {
  for (const AttendedSpan& span : query.Segment(index).attends) {
    const auto seen = static_cast<size_t>(span.segment);
    if (query.segments[seen] != nullptr || missing.contains(span.segment)) continue;
    const Digest& key = query.plan.scans[seen]->key;
    bool no_room = false;
    auto acquired = database.cache.Acquire(key, &no_room, query.model.home());
    if (no_room) acquired = database.cache.Read(key);
    if (acquired) {
      query.TakeStates(span.segment, std::move(acquired->segment));
    } else {
      AcquireContext(span.segment, database, query, missing);
      missing.insert(span.segment);
    }
  }
}

}  // namespace

std::set<std::string> SelectedPaths(const ast::Modules& modules, const SchemaDefinition& schema) {
  const std::vector<std::string> all_paths = ModulePaths(schema.parts);
  std::set<std::string> paths;
  for (const std::vector<ast::Name>& path : modules.modules) {
    paths.insert(ResolveModule(path, all_paths, schema.name));
  }
  return paths;
}

std::set<int> SelectedSegments(const std::set<std::string>& paths, const OpenSchema& schema,
                               const SchemaStates& states) {
  std::set<int> wanted;
  if (paths.empty()) {
    for (size_t i = 0; i < states.prompt.segments.size(); ++i) wanted.insert(static_cast<int>(i));
    return wanted;
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

std::vector<StatePolicy> PoliciesOf(const OpenSchema& schema, const SchemaStates& states) {
  std::vector<StatePolicy> policies(states.prompt.segments.size());
  // In the order of the paths a module comes before those in it.
  for (const auto& [path, policy] : schema.definition.policies) {
    std::set<int> segments;
    if (path.empty()) {
      segments = SelectedSegments({}, schema, states);
    } else {
      AddAtoms(schema.layout.parts, {path}, false, segments);
    }
    for (const int segment : segments) policies[static_cast<size_t>(segment)] = policy;
  }
  for (size_t i = 0; i < schema.layout.scaffolds.size(); ++i) {
    const std::vector<int>& atoms = schema.layout.scaffolds[i].atoms;
    const bool is_pinned = std::all_of(atoms.begin(), atoms.end(), [&](int atom) {
      return policies[static_cast<size_t>(atom)].is_pinned;
    });
    for (size_t k = 0; k < atoms.size(); ++k) {
      if (states.scaffolds[i][k] == atoms[k]) continue;
      StatePolicy& policy = policies[static_cast<size_t>(states.scaffolds[i][k])];
      policy = policies[static_cast<size_t>(atoms[k])];
      policy.is_pinned = is_pinned;
    }
  }
  return policies;
}

void ApplyPolicies(const OpenSchema& schema, StateCache& cache) {
  const KeyedStates keyed(schema);
  const std::vector<StatePolicy> policies = PoliciesOf(schema, keyed.states);
  for (size_t i = 0; i < policies.size(); ++i) cache.SetPolicy(keyed.keys[i].key, policies[i]);
}

WarmCounts WarmSegments(const std::set<int>& wanted, const OpenSchema& schema,
                        Database::Rep& database, ResultSink& sink) {
  WarmCounts counts;
  if (wanted.empty()) return counts;
  const OpenModel& model = *schema.model;
  PlanContext context = database.ContextOf(model);
  context.may_recompute = false;
  const QueryPlan plan = PlanQuery(ListStates(schema.definition, schema.layout).prompt, context);
  ForwardScheduler& scheduler = model.Scheduler(&sink);
  const ForwardScheduler::Participant participant(scheduler);

  // One segment at a time, so that no more is pinned at once than it and what it attends to.
  for (const int index : wanted) {
    const ModuleScanNode& scan = *plan.scans[static_cast<size_t>(index)];
    bool no_room = false;
    if (auto acquired = database.cache.Acquire(scan.key, &no_room, model.home())) {
      ++(acquired->tier == Tier::kDisk ? counts.from_disk : counts.in_memory);
      if (acquired->lacked_device_room) {
        sink.OnNotice("gpu_cache has no room for the states of \"" + scan.module +
                      "\"; they stay in the CPU tier");
      }
      continue;
    }
    if (no_room && database.cache.Probe(scan.key).tier != Tier::kMiss) {
      sink.OnNotice("cpu_cache has no room for the states of \"" + scan.module +
                    "\"; they stay on disk");
      continue;
    }
    QueryState query(plan, scheduler, model, database.cache, sink);
    std::set<int> missing;
    AcquireContext(index, database, query, missing);
    missing.insert(index);
    int64_t tokens = 0;
    for (const int segment : missing) {
      tokens += static_cast<int64_t>(query.Segment(segment).tokens.size());
    }
    const QueryMemory::Reservation memory =
        database.query_memory.Reserve(EncodingMemory(tokens, model), {}, sink);
    EncodeMissing({missing.begin(), missing.end()}, query);
    counts.encoded += static_cast<int64_t>(missing.size());
  }
  return counts;
}

}  // namespace promptdb
