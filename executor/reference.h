// The slow, obvious forward pass that defines the right answer: f32 throughout, no cache, one mask
// matrix over the whole prompt. Tests compare every fast path with it.
#ifndef PROMPTDB_EXECUTOR_REFERENCE_H_
#define PROMPTDB_EXECUTOR_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "model/checkpoint.h"

namespace promptdb {

// mask[i][j]: whether token i attends to token j (a token always attends to itself).
using AttentionMask = std::vector<std::vector<bool>>;

// Every token attends to itself and all before it.
AttentionMask CausalMask(int tokens);

// Logits [tokens, vocab] f32, row-major. Weights are widened to f32 whatever their dtype.
std::vector<float> ReferenceForward(const Checkpoint& checkpoint,
                                    const std::vector<int32_t>& tokens,
                                    const std::vector<int32_t>& positions,
                                    const AttentionMask& mask);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_REFERENCE_H_
