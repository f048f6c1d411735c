// Attention for few virtual rows, in f32: decoding, and a short prompt over long states. A block
// reads its keys once for all of its rows, a tile at a time, through shared memory; long contexts
// are shared out among blocks (Flash-Decoding, 2023), and merge.h puts the results together.
//
// Source of the online softmax: Milakov & Gimelshein (2018).
#ifndef PROMPTDB_DEVICE_ATTEND_FEW_H_
#define PROMPTDB_DEVICE_ATTEND_FEW_H_

#include "device/attention.h"

namespace promptdb {

// kRows: virtual rows of a task, at most.
template <int kRows>
struct AttendFewArgs : AttentionArgs {
  static constexpr int kThreads = 128;
  static constexpr int kKeys = 32;                    // of a tile
  static constexpr int kQuarters = kThreads / kKeys;  // of a dot product

  // Shared memory, in floats, in this order:
  //   q [kRows, dim], acc [kRows, dim], k [kKeys, dim + 1], v [kKeys, dim],
  //   parts [kQuarters, kKeys, kRows], scores [kKeys, kRows], weights [kKeys, kRows],
  //   most, next_most, factors, sums [kRows]
  static int64_t SharedBytes(int dim) {
    return static_cast<int64_t>(sizeof(float)) *
           (2 * kRows * dim + kKeys * (2 * dim + 1) + (kQuarters + 2) * kKeys * kRows + 4 * kRows);
  }
  Grid grid() const { return {int64_t{task_count} * kv_heads, SharedBytes(head_dim)}; }
};

template <int kRows, typename Block>
PROMPTDB_DEVICE void Run(const AttendFewArgs<kRows>& args, Block& block) {
  using Args = AttendFewArgs<kRows>;
  constexpr int kThreads = Args::kThreads, kKeys = Args::kKeys, kQuarters = Args::kQuarters;
  const DeviceAttentionTask task = args.tasks[block.index() / args.kv_heads];
  const int kv_head = static_cast<int>(block.index() % args.kv_heads);
  const int dim = args.head_dim;
  float* q = reinterpret_cast<float*>(block.shared());
  float* acc = q + kRows * dim;
  float* k = acc + kRows * dim;
  float* v = k + kKeys * (dim + 1);
  float* parts = v + kKeys * dim;
  float* scores = parts + kQuarters * kKeys * kRows;
  float* weights = scores + kKeys * kRows;
  float* most = weights + kKeys * kRows;
  float* next_most = most + kRows;
  float* factors = next_most + kRows;
  float* sums = factors + kRows;

  block.ForThreads([&](int thread) {
    for (int i = thread; i < kRows * dim; i += kThreads) acc[i] = 0;
    if (thread < kRows) {
      most[thread] = -INFINITY;
      sums[thread] = 0;
    }
  });
  int turn = -2;  // that q has; at first none
  for (int s = task.first_slice; s < task.first_slice + task.slices; ++s) {
    const AttentionSlice slice = args.slices[s];
    if (slice.turn != turn) {
      turn = slice.turn;
      block.ForThreads([&](int thread) {
        for (int i = thread; i < kRows * dim; i += kThreads) {
          const int r = i / dim;
          q[i] = r < task.virtuals
                     ? QueryElement(args, RowAt(args, task, kv_head, r), turn, i % dim)
                     : 0.0f;
        }
      });
    }
    const auto [begin, end] = KeysOf(task, slice);
    for (int first = begin; first < end; first += kKeys) {
      const int tokens = end - first < kKeys ? end - first : kKeys;
      block.ForThreads([&](int thread) {
        const auto put = [](float* to, int i, float value) { to[i] = value; };
        if (dim % 16 == 0) {
          ReadTile<kThreads, 8>(slice, kv_head, dim, first, tokens, thread, k, dim + 1, v, dim,
                                put);
        } else {
          ReadTile<kThreads, 1>(slice, kv_head, dim, first, tokens, thread, k, dim + 1, v, dim,
                                put);
        }
      });
      block.ForThreads([&](int thread) {
        const int key = thread % kKeys, quarter = thread / kKeys;
        float products[kRows] = {};
        for (int d = quarter * dim / kQuarters; d < (quarter + 1) * dim / kQuarters; ++d) {
          const float element = k[key * (dim + 1) + d];
          for (int r = 0; r < kRows; ++r) products[r] += q[r * dim + d] * element;
        }
        for (int r = 0; r < kRows; ++r) parts[thread * kRows + r] = products[r];
      });
      block.ForThreads([&](int thread) {
        for (int i = thread; i < kKeys * kRows; i += kThreads) {
          const int key = i / kRows, r = i % kRows;
          float product = 0;
          for (int p = 0; p < kQuarters; ++p) product += parts[p * kKeys * kRows + i];
          scores[i] = key < tokens && r < task.virtuals
                          ? MaskedScore(args, task, slice, RowAt(args, task, kv_head, r),
                                        first + key, product)
                          : -INFINITY;
        }
      });
      block.ForThreads([&](int thread) {
        for (int i = thread; i < kKeys * kRows; i += kThreads) {
          const int r = i % kRows;
          float highest = most[r];
          for (int key = 0; key < kKeys; ++key) highest = fmaxf(highest, scores[key * kRows + r]);
          weights[i] = SoftmaxWeight(scores[i], highest);
          if (i < kRows) {
            next_most[r] = highest;
            factors[r] = SoftmaxWeight(most[r], highest);
          }
        }
      });
      block.ForThreads([&](int thread) {
        for (int d = thread; d < dim; d += kThreads) {
          float values[kRows];
          for (int r = 0; r < kRows; ++r) values[r] = acc[r * dim + d] * factors[r];
          for (int key = 0; key < tokens; ++key) {
            const float element = v[key * dim + d];
            for (int r = 0; r < kRows; ++r) values[r] += weights[key * kRows + r] * element;
          }
          for (int r = 0; r < kRows; ++r) acc[r * dim + d] = values[r];
        }
        if (thread < kRows) {
          float sum = sums[thread] * factors[thread];
          for (int key = 0; key < tokens; ++key) sum += weights[key * kRows + thread];
          sums[thread] = sum;
          most[thread] = next_most[thread];
        }
      });
    }
  }
  block.ForThreads([&](int thread) {
    for (int i = thread; i < task.virtuals * dim; i += kThreads) {
      const int r = i / dim, d = i % dim;
      PutResult(args, task, kv_head, r, d, acc[i], most[r], sums[r]);
    }
  });
}

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_ATTEND_FEW_H_
