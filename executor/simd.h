// The inner loops of the forward pass, built once for each kind of vector unit and chosen at run
// time.
//
// Every build computes the same thing; only speed and rounding differ. The sources are one text,
// executor/simd_kernels.inc, so that the portable build, which tests can always run, is the fast
// one.
//
// Thread-safe: no state.
#ifndef PROMPTDB_EXECUTOR_SIMD_H_
#define PROMPTDB_EXECUTOR_SIMD_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/checkpoint.h"
#include "storage/kv_format.h"

namespace promptdb {

struct KvSlice;

enum class CpuPath { kPortable, kAvx2, kAvx512 };

std::string_view CpuPathName(CpuPath path);
// The fastest path that this CPU has.
CpuPath BestCpuPath();
// Every path that this CPU has, slowest first.
std::vector<CpuPath> CpuPaths();

// One KV head's query rows against a run of keys, with what online softmax leaves behind: the
// output is acc / sum; parts over different keys are merged by their maxima.
//
// A row stands for one token and has `heads` queries (those that share the KV head); query i of row
// r is virtual row r * heads + i.
struct AttentionTask {
  const float* q = nullptr;  // [rows, heads, head_dim], rows q_stride elements apart
  int64_t q_stride = 0;
  int rows = 0;
  int heads = 0;
  int head_dim = 0;
  float scale = 1.0f;
  KvDtype dtype = KvDtype::kBf16;   // of the slices that it reads
  const KvSlice* slices = nullptr;  // the whole list of keys
  int slice_count = 0;
  int kv_head = 0;
  int first_key = 0;  // the keys of the list that this task reads
  int last_key = 0;
  // ALiBi: a score gets slopes[query] * (key's position - first_position - row). nullptr: no bias.
  const float* slopes = nullptr;  // [heads]
  int first_position = 0;         // of row 0; the others follow one by one
  // Row r sees the keys of the list before first_limit + r * limit_step.
  int first_limit = 0;
  int limit_step = 0;  // 0 or 1
  // Results, for rows * heads virtual rows rounded up to column_tile:
  float* acc = nullptr;      // [virtual rows, AccWidth()] not divided by sum
  float* maximum = nullptr;  // [virtual rows] in units of log2
  float* sum = nullptr;      // [virtual rows]
  float* scratch = nullptr;  // scratch_floats() floats, aligned to 64 bytes
};

// Rows rounded to 16 bits in blocks of 32, for products with quantized weights; the caller's
// memory. A block's values are in units of its scale, first the even ones, then the odd ones.
struct NarrowRows {
  int rows = 0;
  int in = 0;                  // a multiple of 32
  int16_t* values = nullptr;   // [rows, in]
  float* scales = nullptr;     // [rows, in / 32]
  float* sums = nullptr;       // [rows, in / 32], of the blocks
  float* half_sums = nullptr;  // [rows, in / 16], of their first and last sixteen
};
constexpr int kMostNarrowRows = 4;

// Of a call of multiply_panels: they bound its scratch memory, on the stack.
constexpr int kMostPanelRows = 192;
constexpr int kMostPanelOut = 96;

struct SimdKernels {
  int row_tile;     // rows of a register tile
  int column_tile;  // columns of a register tile

  int AccWidth(int head_dim) const {
    return (head_dim + column_tile - 1) / column_tile * column_tile;
  }
  int PaddedRows(int rows) const { return (rows + column_tile - 1) / column_tile * column_tile; }

  // Attention with queries packed in panels, for many virtual rows; and straight from the slices,
  // for few. Both do any number.
  size_t (*attention_scratch)(int virtual_rows, int head_dim);
  void (*attend_panels)(const AttentionTask& task);
  void (*attend_dots)(const AttentionTask& task);

  // y[r, o] = Σ x[r, i] w[o, i] (+ bias[o]); y's rows are y_stride apart. bias may be nullptr.
  // w [out, in] in whole blocks.
  void (*dot_rows)(const float* x, int rows, int in, const void* w, TensorDtype dtype, int out,
                   const float* bias, float* y, int64_t y_stride);

  // The same with quantized weights and at most kMostNarrowRows rows, which narrow_rows writes.
  void (*narrow_rows)(const float* x, int rows, int in, const NarrowRows& to);
  void (*dot_narrow)(const NarrowRows& x, const void* w, TensorDtype dtype, int out,
                     const float* bias, float* y, int64_t y_stride);

  // The same with x packed in panels of column_tile rows ([panel][in][column_tile], each by
  // pack_columns, zero-padded), for many rows; at most kMostPanelRows and kMostPanelOut. Meanwhile
  // fetches what the next call reads first of `next`, as many weights, unless it is nullptr.
  void (*multiply_panels)(const float* x, int rows, int in, const void* w, TensorDtype dtype,
                          int out, const void* next, const float* bias, float* y, int64_t y_stride);
  void (*pack_columns)(const float* x, int64_t stride, int columns, int depth, float* packed);

  // The values of whole blocks of any dtype.
  void (*widen)(const void* in, TensorDtype dtype, int n, float* out);
  void (*round_bf16)(const float* in, int64_t n, uint16_t* out);
  // out = x / sqrt(mean(x²) + eps) * weight; out may be x.
  void (*rms_norm)(const float* x, const float* weight, int n, float eps, float* out);
  // out = (x - mean(x)) / sqrt(variance(x) + eps) * weight (+ bias); out may be x, bias nullptr.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int n, float eps,
                     float* out);
  // out = x / 2 (1 + tanh(sqrt(2 / π) (x + 0.044715 x³))); out may be x.
  void (*gelu_tanh)(const float* x, int n, float* out);
  // out = x / 2 (1 + erf(x / sqrt(2))); out may be x.
  void (*gelu_erf)(const float* x, int n, float* out);
  // Every value is moved to the nearest in [-limit, limit].
  void (*clamp)(float* x, int64_t n, float limit);
  // out = gate * sigmoid(gate) * up; out may be gate.
  void (*swiglu)(const float* gate, const float* up, int n, float* out);
  // x += y.
  void (*add)(float* x, const float* y, int64_t n);
  // 2 to the power of x, to about 2e-7 relative, 0 below 2^-126. REQUIRES: x < 127.
  void (*exp2)(const float* x, int n, float* out);
};

// REQUIRES: this CPU has the path.
const SimdKernels& KernelsFor(CpuPath path);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SIMD_H_
