// Attention for many virtual rows, on the tensor cores: 64 rows against 32 keys at a time. Queries,
// keys, values and weights are rounded to bf16, as FlashAttention (Dao et al., 2022) has them, and
// all sums are f32.
#ifndef PROMPTDB_DEVICE_ATTEND_MANY_H_
#define PROMPTDB_DEVICE_ATTEND_MANY_H_

#include "device/attention.h"

namespace promptdb {

// REQUIRES: head_dim is a multiple of 16.
struct AttendManyArgs : AttentionArgs {
  static constexpr int kThreads = 128;
  static constexpr int kRows = 64;  // virtual rows of a task, at most; 16 of a warp
  static constexpr int kKeys = 32;  // of a tile

  // Strides of rows in shared memory: a few elements more than the row, so that rows begin in other
  // banks, and multiples of what MultiplyTiles() asks for.
  static constexpr int kScoreStride = kKeys + 4;
  static constexpr int kWeightStride = kKeys + 8;

  // Shared memory: acc [kRows, dim + 4] f32, scores [kRows, kScoreStride] f32, q [kRows, dim + 8],
  // k and v [kKeys, dim + 8], weights [kRows, kWeightStride] bf16; most [2, kRows], factors
  // [kRows], sums [2, kRows] f32. All but the last begin at multiples of 128 bytes.
  static int64_t SharedBytes(int dim) {
    return int64_t{4} * kRows * (dim + 4) + 4 * kRows * kScoreStride + 2 * kRows * (dim + 8) +
           2 * 2 * kKeys * (dim + 8) + 2 * kRows * kWeightStride + 4 * 5 * kRows;
  }
  Grid grid() const { return {int64_t{task_count} * kv_heads, SharedBytes(head_dim)}; }
};

template <typename Block>
PROMPTDB_DEVICE void Run(const AttendManyArgs& args, Block& block) {
  using Args = AttendManyArgs;
  constexpr int kThreads = Args::kThreads, kRows = Args::kRows, kKeys = Args::kKeys;
  constexpr int kScoreStride = Args::kScoreStride, kWeightStride = Args::kWeightStride;
  constexpr int kRowsOfWarp = kRows / Block::kWarps;
  const DeviceAttentionTask task = args.tasks[block.index() / args.kv_heads];
  const int kv_head = static_cast<int>(block.index() % args.kv_heads);
  const int dim = args.head_dim, wide = dim + 8, acc_stride = dim + 4;
  float* acc = reinterpret_cast<float*>(block.shared());
  float* scores = acc + kRows * acc_stride;
  uint16_t* q = reinterpret_cast<uint16_t*>(scores + kRows * kScoreStride);
  uint16_t* k = q + kRows * wide;
  uint16_t* v = k + kKeys * wide;
  uint16_t* weights = v + kKeys * wide;
  float* most = reinterpret_cast<float*>(weights + kRows * kWeightStride);  // of even tiles; of odd
  float* factors = most + 2 * kRows;
  float* sums = factors + kRows;  // of the tile's first half; of its second

  block.ForThreads([&](int thread) {
    for (int i = thread; i < kRows * acc_stride; i += kThreads) acc[i] = 0;
    if (thread < kRows) {
      most[thread] = -INFINITY;
      sums[thread] = sums[kRows + thread] = 0;
    }
  });
  int turn = -2;  // that q has; at first none
  int tile = 0;
  for (int s = task.first_slice; s < task.first_slice + task.slices; ++s) {
    const AttentionSlice slice = args.slices[s];
    if (slice.turn != turn) {
      turn = slice.turn;
      block.ForThreads([&](int thread) {
        for (int i = thread; i < kRows * dim; i += kThreads) {
          const int r = i / dim, d = i % dim;
          q[r * wide + d] =
              r < task.virtuals
                  ? RoundToBf16(QueryElement(args, RowAt(args, task, kv_head, r), turn, d))
                  : uint16_t{0};
        }
      });
    }
    const auto [begin, end] = KeysOf(task, slice);
    for (int first = begin; first < end; first += kKeys, ++tile) {
      const int tokens = end - first < kKeys ? end - first : kKeys;
      block.ForThreads([&](int thread) {
        const auto put = [](uint16_t* to, int i, float value) { to[i] = RoundToBf16(value); };
        ReadTile<kThreads, 8>(slice, kv_head, dim, first, tokens, thread, k, wide, v, wide, put);
        // What is not there must not be a NaN, which a weight of 0 would not take away.
        for (int i = tokens * wide + thread; i < kKeys * wide; i += kThreads) k[i] = v[i] = 0;
      });
      block.ForWarps([&](int warp) {
        const int row = warp * kRowsOfWarp;
        Block::template MultiplyTiles<true>(q + row * wide, wide, k, wide, kKeys, dim, false,
                                            scores + row * kScoreStride, kScoreStride);
      });
      const float* before = most + tile % 2 * kRows;
      float* after = most + (tile + 1) % 2 * kRows;
      // Two threads a row, for half of the keys each.
      block.ForThreads([&](int thread) {
        const int r = thread % kRows, half = thread / kRows;
        const VirtualRow row = RowAt(args, task, kv_head, r);
        const auto score = [&](int key) {
          if (key >= tokens || r >= task.virtuals) return -INFINITY;
          return MaskedScore(args, task, slice, row, first + key, scores[r * kScoreStride + key]);
        };
        float highest = before[r];
        for (int key = 0; key < kKeys; ++key) highest = fmaxf(highest, score(key));
        float sum = 0;
        for (int key = half * kKeys / 2; key < (half + 1) * kKeys / 2; ++key) {
          const uint16_t weight = RoundToBf16(SoftmaxWeight(score(key), highest));
          weights[r * kWeightStride + key] = weight;
          sum += WidenBf16(weight);
        }
        const float factor = SoftmaxWeight(before[r], highest);
        sums[thread] = sums[thread] * factor + sum;
        if (half == 0) {
          factors[r] = factor;
          after[r] = highest;
        }
      });
      block.ForThreads([&](int thread) {
        for (int i = thread; i < kRows * dim; i += kThreads) {
          acc[i / dim * acc_stride + i % dim] *= factors[i / dim];
        }
      });
      block.ForWarps([&](int warp) {
        const int row = warp * kRowsOfWarp;
        Block::template MultiplyTiles<false>(weights + row * kWeightStride, kWeightStride, v, wide,
                                             dim, kKeys, true, acc + row * acc_stride, acc_stride);
      });
    }
  }
  const float* last = most + tile % 2 * kRows;
  block.ForThreads([&](int thread) {
    for (int i = thread; i < task.virtuals * dim; i += kThreads) {
      const int r = i / dim, d = i % dim;
      PutResult(args, task, kv_head, r, d, acc[r * acc_stride + d], last[r],
                sums[r] + sums[kRows + r]);
    }
  });
}

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_ATTEND_MANY_H_
