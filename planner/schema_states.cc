#include "planner/schema_states.h"

#include <map>

namespace promptdb {

namespace {

PromptSegment SegmentOf(const Atom& atom) {
  PromptSegment segment;
  segment.label = atom.label;
  segment.tokens = atom.tokens;
  segment.start = atom.start;
  segment.placeholders = atom.parameters;
  return segment;
}

}  // namespace

SchemaStates ListStates(const SchemaDefinition& schema, const SchemaLayout& layout) {
  SchemaStates states;
  states.prompt.schema = schema.name;
  states.prompt.model = schema.model;
  std::vector<PromptSegment>& segments = states.prompt.segments;
  for (const Atom& atom : layout.atoms) {
    PromptSegment segment = SegmentOf(atom);
    for (const int visible : atom.visible) {
      segments[static_cast<size_t>(visible)].AppendAllVisible(visible, segment.attends);
    }
    segments.push_back(std::move(segment));
  }
  for (size_t i = 0; i < layout.scaffolds.size(); ++i) {
    const LaidOutScaffold& scaffold = layout.scaffolds[i];
    std::map<int, int> changed;  // atom -> its segment in this scaffold
    std::vector<int>& all = states.scaffolds.emplace_back();
    for (const int atom : scaffold.atoms) {
      const std::string mark = ScaffoldMark(scaffold, atom);
      if (mark.empty()) {
        all.push_back(atom);
        continue;
      }
      PromptSegment segment = SegmentOf(layout.atoms[static_cast<size_t>(atom)]);
      segment.label += mark;
      for (const int visible : layout.VisibleIn(atom, {static_cast<int>(i)})) {
        const auto found = changed.find(visible);
        const int seen = found == changed.end() ? visible : found->second;
        segments[static_cast<size_t>(seen)].AppendAllVisible(seen, segment.attends);
      }
      all.push_back(static_cast<int>(segments.size()));
      changed[atom] = all.back();
      segments.push_back(std::move(segment));
    }
  }
  return states;
}

}  // namespace promptdb
