// What the attention kernels are told: tables of slices, tasks and sums, and how keys and values
// are read. The kernels themselves: device/attend_few.h, attend_many.h and merge.h.
//
// A pass's rows are cut into parts: rows of one group, which see the same list of slices, but for
// the causal tail. With grouped-query attention the query heads that share a KV head are rows, too:
// virtual row v of a part is its row v / (heads / kv_heads) and, of the KV head's query heads, the
// one at v % (heads / kv_heads). A task is a run of a part's virtual rows over a run of its keys;
// it is a thread block for every KV head.
#ifndef PROMPTDB_DEVICE_ATTENTION_H_
#define PROMPTDB_DEVICE_ATTENTION_H_

#include <math.h>

#include "device/row_kernels.h"

namespace promptdb {

// As KvDtype (storage/kv_format.h), which has what the codes mean.
enum class StateDtype : int32_t { kF32, kBf16, kInt8, kInt4 };

// A KvSlice on the device.
struct AttentionSlice {
  const void* k = nullptr;
  const void* v = nullptr;
  const uint16_t* k_scales = nullptr;  // of the chunk
  const uint16_t* v_scales = nullptr;
  int64_t head_stride = 0;  // in elements; a chunk has head_stride / head_dim tokens
  int32_t tokens = 0;
  int32_t first_key = 0;  // of the list
  int32_t position = 0;   // of the first token
  int32_t turn = -1;      // of the queries that meet these keys; -1: none
  StateDtype dtype = StateDtype::kF32;
  int32_t first_of_chunk = 0;
};

struct DeviceAttentionTask {
  int32_t first_slice = 0;  // that has keys of this task
  int32_t slices = 0;
  int32_t first_key = 0;
  int32_t last_key = 0;  // their end
  int32_t part_row = 0;  // the part's first row, in the piece
  int32_t first_virtual = 0;
  int32_t virtuals = 0;
  int32_t first_limit = 0;     // the part's row r sees the keys below first_limit + r
  int32_t first_position = 0;  // of the part's first row
  int32_t partial = -1;        // where the results go that are merged later; -1: to `out`
};

// Tokens [begin, end) of a slice: those whose keys are the task's.
struct SliceKeys {
  int begin = 0;
  int end = 0;
};
PROMPTDB_DEVICE SliceKeys KeysOf(const DeviceAttentionTask& task, const AttentionSlice& slice) {
  const int begin = task.first_key > slice.first_key ? task.first_key - slice.first_key : 0;
  const int end = task.last_key - slice.first_key;
  return {begin, end < slice.tokens ? end : slice.tokens};
}

struct AttentionArgs {
  const float* q = nullptr;  // [rows, heads, head_dim], turned, not scaled
  const AttentionSlice* slices = nullptr;
  const DeviceAttentionTask* tasks = nullptr;
  int32_t task_count = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  float scale = 1;                // 1 / sqrt(head_dim)
  const float* slopes = nullptr;  // [heads], ALiBi; or null
  const float* turns = nullptr;   // [turns, 2, pairs] cosines, sines
  int32_t pairs = 0;
  bool pairs_halves = false;
  NumberType number = NumberType::kF32;
  void* out = nullptr;  // [rows, heads, head_dim] number
  // Results over a part of the keys, [partials, kv_heads, …]: sums of values relative to the
  // largest score, which is in powers of two, and the sums of weights.
  float* partial_values = nullptr;  // […, head_dim]
  float* partial_most = nullptr;
  float* partial_sums = nullptr;
};

// Scores are kept in powers of two.
constexpr float kLog2E = 1.44269504f;
// Tokens whose keys share scales (storage/kv_format.h, kScaledTokens).
constexpr int kTokensOfScale = 64;

// So many bytes, at a multiple of as many; the compiler then reads them at once.
template <int kBytes>
struct alignas(kBytes) Packed {
  unsigned char bytes[kBytes];
};
template <int kBytes>
PROMPTDB_DEVICE Packed<kBytes> ReadPacked(const void* from) {
  Packed<kBytes> packed;
  memcpy(&packed, __builtin_assume_aligned(from, kBytes), kBytes);
  return packed;
}

// Elements d … d + kCount - 1 of the key (the value) of a slice's token in one KV head. kCount: 8
// where head_dim is a multiple of 16, and d one of 8; else 1.
template <int kCount>
PROMPTDB_DEVICE void ReadState(const AttentionSlice& slice, bool is_key, int kv_head, int head_dim,
                               int token, int d, float* to) {
  const void* plane = is_key ? slice.k : slice.v;
  const int64_t at = kv_head * slice.head_stride + int64_t{token} * head_dim + d;
  if (slice.dtype == StateDtype::kF32) {
    const float* from = static_cast<const float*>(plane) + at;
    for (int i = 0; i < kCount; ++i) to[i] = from[i];
    return;
  }
  if (slice.dtype == StateDtype::kBf16) {
    const auto packed = ReadPacked<2 * kCount>(static_cast<const uint16_t*>(plane) + at);
    for (int i = 0; i < kCount; ++i) {
      to[i] = WidenBf16(static_cast<uint16_t>(packed.bytes[2 * i] | packed.bytes[2 * i + 1] << 8));
    }
    return;
  }
  const auto* codes = static_cast<const unsigned char*>(plane);
  if (slice.dtype == StateDtype::kInt8) {
    const auto packed = ReadPacked<kCount>(codes + at);
    for (int i = 0; i < kCount; ++i) to[i] = static_cast<float>(packed.bytes[i]);
  } else {
    const int half = head_dim / 2;
    const bool is_high = d >= half;
    const auto packed = ReadPacked<kCount>(codes + (at - d) / 2 + (is_high ? d - half : d));
    for (int i = 0; i < kCount; ++i) {
      to[i] = static_cast<float>(is_high ? packed.bytes[i] >> 4 : packed.bytes[i] & 15);
    }
  }
  const int chunk_tokens = static_cast<int>(slice.head_stride / head_dim);
  const int in_chunk = slice.first_of_chunk + token;
  if (is_key) {
    const int groups = (chunk_tokens + kTokensOfScale - 1) / kTokensOfScale;
    const int64_t group = int64_t{kv_head} * groups + in_chunk / kTokensOfScale;
    const uint16_t* scales = slice.k_scales + group * 2 * head_dim + d;
    for (int i = 0; i < kCount; ++i) {
      to[i] = WidenBf16(scales[head_dim + i]) + to[i] * WidenBf16(scales[i]);
    }
  } else {
    const uint16_t* scales = slice.v_scales + int64_t{kv_head} * 2 * chunk_tokens + in_chunk;
    const float scale = WidenBf16(scales[0]), offset = WidenBf16(scales[chunk_tokens]);
    for (int i = 0; i < kCount; ++i) to[i] = offset + to[i] * scale;
  }
}

// The keys and values of `tokens` tokens from `first` on, to [keys, stride] each; put(to, i, value)
// writes element i.
template <int kThreads, int kCount, typename Put, typename To>
PROMPTDB_DEVICE void ReadTile(const AttentionSlice& slice, int kv_head, int head_dim, int first,
                              int tokens, int thread, To* k, int k_stride, To* v, int v_stride,
                              Put put) {
  const int units = head_dim / kCount;
  for (int i = thread; i < tokens * units; i += kThreads) {
    const int token = i / units, d = i % units * kCount;
    float values[kCount];
    ReadState<kCount>(slice, true, kv_head, head_dim, first + token, d, values);
    for (int j = 0; j < kCount; ++j) put(k, token * k_stride + d + j, values[j]);
    ReadState<kCount>(slice, false, kv_head, head_dim, first + token, d, values);
    for (int j = 0; j < kCount; ++j) put(v, token * v_stride + d + j, values[j]);
  }
}

// The row of the piece, and the query head, of a task's virtual row.
struct VirtualRow {
  int row = 0;      // in the piece
  int of_part = 0;  // in the part
  int head = 0;
};
PROMPTDB_DEVICE VirtualRow RowAt(const AttentionArgs& args, const DeviceAttentionTask& task,
                                 int kv_head, int index) {
  const int shared = args.heads / args.kv_heads;
  const int at = task.first_virtual + index;
  return {task.part_row + at / shared, at / shared, kv_head * shared + at % shared};
}

// Element d of a virtual row's query as it meets keys of that turn: scores of it are in powers of
// two.
PROMPTDB_DEVICE float QueryElement(const AttentionArgs& args, const VirtualRow& row, int turn,
                                   int d) {
  const float* x = args.q + (int64_t{row.row} * args.heads + row.head) * args.head_dim;
  const int pairs = turn < 0 ? 0 : args.pairs;
  const float* turns = turn < 0 ? nullptr : args.turns + int64_t{turn} * 2 * pairs;
  return Turned(x, turns, pairs, args.pairs_halves, d) * (args.scale * kLog2E);
}

// A score as softmax sees it: -inf where the row doesn't see the key.
PROMPTDB_DEVICE float MaskedScore(const AttentionArgs& args, const DeviceAttentionTask& task,
                                  const AttentionSlice& slice, const VirtualRow& row, int token,
                                  float product) {
  if (slice.first_key + token >= task.first_limit + row.of_part) return -INFINITY;
  if (args.slopes == nullptr) return product;
  const int distance = task.first_position + row.of_part - (slice.position + token);
  return product - args.slopes[row.head] * kLog2E * static_cast<float>(distance);
}

// 2^(x - most), and 0 where nothing was seen yet.
PROMPTDB_DEVICE float SoftmaxWeight(float x, float most) {
  return most == -INFINITY ? 0.0f : exp2f(x - most);
}

// Element d of a task's virtual row, where it goes: its sum of values, its largest score, its sum
// of weights.
PROMPTDB_DEVICE void PutResult(const AttentionArgs& args, const DeviceAttentionTask& task,
                               int kv_head, int index, int d, float value, float most, float sum) {
  if (task.partial < 0) {
    const VirtualRow row = RowAt(args, task, kv_head, index);
    const int64_t at = (int64_t{row.row} * args.heads + row.head) * args.head_dim + d;
    StoreNumber(args.out, args.number, at, sum > 0 ? value / sum : 0.0f);
    return;
  }
  const int64_t at = (int64_t{task.partial} + index) * args.kv_heads + kv_head;
  args.partial_values[at * args.head_dim + d] = value;
  if (d == 0) {
    args.partial_most[at] = most;
    args.partial_sums[at] = sum;
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_ATTENTION_H_
