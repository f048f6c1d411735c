// The attention states that a schema's prompts share: what WARM computes, and what SHOW and
// DESCRIBE ask the cache for.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_PLANNER_SCHEMA_STATES_H_
#define PROMPTDB_PLANNER_SCHEMA_STATES_H_

#include <vector>

#include "planner/layout.h"
#include "planner/prompt_binder.h"

namespace promptdb {

struct SchemaStates {
  // As the segments of one prompt, which need not be a valid one: members of a union lie over each
  // other. Segment i is the layout's atom i, as it stands without scaffolds; then come the atoms of
  // each scaffold that it changes, as they stand in a prompt with that scaffold alone.
  BoundPrompt prompt;
  // Of each scaffold: the segments of all its atoms, by place. The first of them is the atom's own.
  std::vector<std::vector<int>> scaffolds;
};

SchemaStates ListStates(const SchemaDefinition& schema, const SchemaLayout& layout);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_SCHEMA_STATES_H_
