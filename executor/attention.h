// Attention over a list of KV slices, each of any dtype: blocked, online softmax, no mask tensors,
// nothing concatenated.
//
// Source: Milakov & Gimelshein, "Online normalizer calculation for softmax" (2018); the blocking
// over keys is that of FlashAttention (Dao et al., 2022) and, for few queries, Flash-Decoding
// (2023).
//
// Thread-safe: no state. Uses up to at::get_num_threads()-many OpenMP threads.
#ifndef PROMPTDB_EXECUTOR_ATTENTION_H_
#define PROMPTDB_EXECUTOR_ATTENTION_H_

#include <span>

#include "executor/rope.h"
#include "executor/simd.h"
#include "storage/kv_segment.h"

namespace promptdb {

// Queries that see the same keys, but for the causal tail.
struct AttentionGroup {
  const float* q = nullptr;  // [rows, heads, head_dim] f32, rotated, not scaled
  float* out = nullptr;      // [rows, heads, head_dim] f32
  int rows = 0;
  // Keys in order. Every row sees all tokens of the first slices; of the last `causal_tokens`
  // tokens of the list, which are the rows' own segment, row r sees the first causal_tokens - rows
  // + 1 + r.
  std::span<const KvSlice> slices;
  int causal_tokens = 0;   // 0: no causal part; else >= rows
  int first_position = 0;  // of row 0, the others follow one by one; only slopes ask for it
  // How many keys of the first slices are the very ones that the group before this begins with;
  // they may be read once for both. Above 0: q follows that group's.
  int shared_tokens = 0;
};

// How queries are turned to meet keys that were turned for positions less by `moved_by`.
struct QueryTurn {
  int moved_by = 0;
  Rope::Turns turns;  // one row: at the position -moved_by
};

struct AttentionShape {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  float scale = 1.0f;  // 1 / sqrt(head_dim)
  // ALiBi's slopes, [heads] or none: a score then gets -slope * (the row's position - the key's),
  // by the positions that the group and the slices say, gaps included.
  std::span<const float> slopes;
  // RoPE of models that have it, and a turn for every KvSlice::moved_by but 0, ascending. Without
  // it that says nothing: ALiBi goes by positions, and keys are not turned.
  const Rope* rope = nullptr;
  std::span<const QueryTurn> turns;
};

// Computes `out` for every group.
void Attend(const AttentionShape& shape, std::span<const AttentionGroup> groups);

// How a task reads its keys: packed into register tiles, which pays when many query rows share
// them, or straight from the slices.
enum class AttentionPath { kByRows, kPanels, kDots };

// Attend() on a path of the caller's choice, so that tests reach every one.
// REQUIRES: this CPU has `cpu`.
void AttendBy(AttentionPath path, CpuPath cpu, const AttentionShape& shape,
              std::span<const AttentionGroup> groups);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ATTENTION_H_
