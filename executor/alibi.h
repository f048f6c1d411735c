// Attention with linear biases: a score gets less, the farther a key is. Press, Smith & Lewis,
// "Train Short, Test Long" (2022).
//
// Thread-safe: a function of its arguments.
#ifndef PROMPTDB_EXECUTOR_ALIBI_H_
#define PROMPTDB_EXECUTOR_ALIBI_H_

#include <vector>

namespace promptdb {

// The slopes, by head. They fall geometrically from head to head: with n heads, n a power of two,
// that of head h is 2^(-max (h + 1) / n). Other numbers take the sequence of the power of two
// below, and then every second slope of the power of two above.
std::vector<float> AlibiSlopes(int heads, double max_bias);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ALIBI_H_
