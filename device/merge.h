// Puts results over parts of the keys together: each part's sums are relative to its own largest
// score.
#ifndef PROMPTDB_DEVICE_MERGE_H_
#define PROMPTDB_DEVICE_MERGE_H_

#include "device/attention.h"

namespace promptdb {

// A virtual row whose keys were shared out.
struct MergedRow {
  int32_t row = 0;      // in the piece
  int32_t head = 0;     // of those that share a KV head
  int32_t partial = 0;  // of the first part
  int32_t parts = 0;
  int32_t stride = 0;  // partials from one part to the next
};

struct MergeArgs : AttentionArgs {
  const MergedRow* merged = nullptr;  // [merged_count]
  int32_t merged_count = 0;

  static constexpr int kThreads = 64;
  Grid grid() const { return {int64_t{merged_count} * kv_heads, 0}; }
};

template <typename Block>
PROMPTDB_DEVICE void Run(const MergeArgs& args, Block& block) {
  const MergedRow row = args.merged[block.index() / args.kv_heads];
  const int kv_head = static_cast<int>(block.index() % args.kv_heads);
  const int dim = args.head_dim;
  const auto at = [&](int part) {
    return (int64_t{row.partial} + int64_t{part} * row.stride) * args.kv_heads + kv_head;
  };
  float most = -INFINITY;
  for (int part = 0; part < row.parts; ++part) most = fmaxf(most, args.partial_most[at(part)]);
  float sum = 0;
  for (int part = 0; part < row.parts; ++part) {
    sum += SoftmaxWeight(args.partial_most[at(part)], most) * args.partial_sums[at(part)];
  }
  const int head = kv_head * (args.heads / args.kv_heads) + row.head;
  const int64_t to = (int64_t{row.row} * args.heads + head) * dim;
  block.ForThreads([&](int thread) {
    for (int d = thread; d < dim; d += MergeArgs::kThreads) {
      float value = 0;
      for (int part = 0; part < row.parts; ++part) {
        value += SoftmaxWeight(args.partial_most[at(part)], most) *
                 args.partial_values[at(part) * dim + d];
      }
      StoreNumber(args.out, args.number, to + d, sum > 0 ? value / sum : 0.0f);
    }
  });
}

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_MERGE_H_
