// Exact reuse at token granularity: the states in the cache form a tree, in which a state's parent
// is what its tokens attend to; whoever has the same tokens before, and begins with the same
// tokens, can use as many of a state's tokens as agree.
//
// The tree needs no nodes of its own: a state's manifest says its context and its tokens, and its
// first tokens' states do not depend on the later ones. Nodes are shared, since a prompt that
// leaves a node half way attends to the first half of it.
#ifndef PROMPTDB_PLANNER_PREFIX_MATCH_H_
#define PROMPTDB_PLANNER_PREFIX_MATCH_H_

#include <span>

#include "planner/planner.h"

namespace promptdb {

// Cuts the segments of a prompt in exact reuse so that those whose tokens are cached stand apart:
// they are scans of the first tokens of another state (PromptSegment::prefix_of). All from the
// first token on that is not cached is new text. Segments whose own states are cached stay as they
// are. `rows` are those of one query, which differ in their last segment alone: what they share is
// cut alike, and the last token of each stays new. REQUIRES: the reuse is exact, and no chat's.
void CutAtCachedPrefixes(const Digest& model_fingerprint, PositionScheme positions,
                         const StateCache& cache, std::span<BoundPrompt> rows);

// The same for the new turn of a chat, the last segment, alone; its last token stays new.
void CutTurnAtCachedPrefix(const Digest& model_fingerprint, PositionScheme positions,
                           const StateCache& cache, BoundPrompt& prompt);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_PREFIX_MATCH_H_
