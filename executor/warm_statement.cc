#include <algorithm>
#include <set>

#include "executor/encode.h"
#include "executor/query_state.h"
#include "executor/statements.h"
#include "planner/planner.h"

namespace promptdb {

namespace {

// The atoms of the module `path` and of the modules in it.
void AddAtoms(const std::vector<LaidOutPart>& parts, const std::set<std::string>& paths,
              bool is_inside, std::set<int>& atoms) {
  for (const LaidOutPart& part : parts) {
    const bool is_wanted = is_inside || paths.contains(part.path);
    if (is_wanted) atoms.insert(part.atoms.begin(), part.atoms.end());
    AddAtoms(part.children, paths, is_wanted, atoms);
  }
}

// The schema's atoms as the segments of one prompt, which need not be a valid one: members of a
// union lie over each other, but each attends only to what is certain before it. `wanted` is closed
// over what its atoms attend to.
BoundPrompt AtomsAsPrompt(const OpenSchema& schema, std::set<int> wanted) {
  const std::vector<Atom>& atoms = schema.layout.atoms;
  for (const int atom : std::set<int>(wanted)) {
    const std::vector<int>& visible = atoms[static_cast<size_t>(atom)].visible;
    wanted.insert(visible.begin(), visible.end());
  }
  BoundPrompt prompt;
  prompt.schema = schema.definition.name;
  prompt.model = schema.definition.model;
  std::vector<int> segment_of_atom(atoms.size(), -1);
  for (const int index : wanted) {
    const Atom& atom = atoms[static_cast<size_t>(index)];
    PromptSegment segment;
    segment.label = atom.label;
    segment.tokens = atom.tokens;
    segment.start = atom.start;
    for (const int visible : atom.visible) {
      const int seen = segment_of_atom[static_cast<size_t>(visible)];
      const size_t tokens = prompt.segments[static_cast<size_t>(seen)].tokens.size();
      segment.attends.push_back({seen, 0, static_cast<int>(tokens)});
    }
    segment_of_atom[static_cast<size_t>(index)] = static_cast<int>(prompt.segments.size());
    prompt.segments.push_back(std::move(segment));
  }
  return prompt;
}

}  // namespace

std::string RunWarm(const ast::Warm& statement, Database::Rep& database, ResultSink& sink) {
  const auto schema = database.Open(statement.schema, sink);
  const OpenModel& model = *schema->model;

  std::set<std::string> paths;
  for (const std::vector<ast::Name>& path : statement.modules) {
    paths.insert(ResolveModule(path, schema->layout, schema->definition.name));
  }
  std::set<int> wanted;
  if (paths.empty()) {
    for (size_t i = 0; i < schema->layout.atoms.size(); ++i) wanted.insert(static_cast<int>(i));
  } else {
    AddAtoms(schema->layout.parts, paths, false, wanted);
  }

  sink.OnColumns({{"schema", Column::Type::kText},
                  {"encoded", Column::Type::kInteger},
                  {"from_disk", Column::Type::kInteger},
                  {"in_memory", Column::Type::kInteger}});
  BoundPrompt prompt = AtomsAsPrompt(*schema, wanted);
  if (prompt.segments.empty()) {
    sink.OnRow({schema->definition.name, int64_t{0}, int64_t{0}, int64_t{0}});
    return "WARM";
  }
  const PlanContext context = database.ContextOf(model);
  const QueryPlan plan = PlanQuery(std::move(prompt), context);
  const Transformer& weights = model.Weights(&sink);

  // One segment at a time, so that no more is pinned at once than it and what it attends to.
  int64_t encoded = 0, from_disk = 0, in_memory = 0;
  for (size_t i = 0; i < plan.prompt.segments.size(); ++i) {
    QueryState query(plan, weights, model, database.cache, sink);
    bool no_room = false;
    if (auto acquired = database.cache.Acquire(plan.scans[i]->key, &no_room)) {
      ++(acquired->tier == Tier::kCpu ? in_memory : from_disk);
      continue;
    }
    if (no_room && database.cache.Probe(plan.scans[i]->key).tier != Tier::kMiss) {
      sink.OnNotice("cpu_cache has no room for the states of \"" + plan.scans[i]->module +
                    "\"; they stay on disk");
      continue;
    }
    std::vector<int> missing;
    for (const AttendedSpan& span : query.Segment(static_cast<int>(i)).attends) {
      const int seen = span.segment;
      auto acquired = database.cache.Acquire(plan.scans[static_cast<size_t>(seen)]->key, &no_room);
      if (acquired) {
        query.segments[static_cast<size_t>(seen)] =
            std::make_unique<KvSegment>(std::move(acquired->segment));
      } else {
        missing.push_back(seen);
      }
    }
    missing.push_back(static_cast<int>(i));
    EncodeSegments(missing, query);
    ++encoded;
  }

  sink.OnRow({schema->definition.name, encoded, from_disk, in_memory});
  return "WARM";
}

}  // namespace promptdb
