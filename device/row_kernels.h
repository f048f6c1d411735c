// Kernels over the rows of a pass: embedding, norms, sums, activations, and what lies between the
// product that makes Q, K and V and attention. See device/block.h for how kernels are written.
//
// Arguments hold pointers to the device's memory. Activations are [rows, …], row-major; those that
// go into a product have the product's NumberType, all others are f32.
#ifndef PROMPTDB_DEVICE_ROW_KERNELS_H_
#define PROMPTDB_DEVICE_ROW_KERNELS_H_

#include <math.h>

#include "device/block.h"

namespace promptdb {

// out = table[token] (+ learned[position]). Picks rows out of any other f32 table, too.
struct EmbedArgs {
  const int32_t* tokens = nullptr;     // [rows]
  const int32_t* positions = nullptr;  // [rows]; or null, without `learned`
  const void* table = nullptr;         // [vocab, dim] number
  const void* learned = nullptr;       // [context, dim] number; or null
  NumberType number = NumberType::kF32;
  int32_t dim = 0;
  int32_t rows = 0;
  float* out = nullptr;  // [rows, dim]

  static constexpr int kThreads = 128;
  Grid grid() const { return {rows, 0}; }
};

template <typename Block>
PROMPTDB_DEVICE void Run(const EmbedArgs& args, Block& block) {
  const int64_t row = block.index();
  const int64_t from = int64_t{args.tokens[row]} * args.dim;
  const int64_t learned = args.learned != nullptr ? int64_t{args.positions[row]} * args.dim : 0;
  block.ForThreads([&](int thread) {
    for (int d = thread; d < args.dim; d += EmbedArgs::kThreads) {
      float value = LoadNumber(args.table, args.number, from + d);
      if (args.learned != nullptr) value += LoadNumber(args.learned, args.number, learned + d);
      args.out[row * args.dim + d] = value;
    }
  });
}

// RMSNorm, or LayerNorm: model/model_config.h, NormKind.
struct NormArgs {
  const float* x = nullptr;       // [rows, dim]
  const float* weight = nullptr;  // [dim]; null: x is only rounded to `number`
  const float* bias = nullptr;    // [dim] or null
  float eps = 0;
  bool subtracts_mean = false;
  NumberType number = NumberType::kF32;
  int32_t dim = 0;
  int32_t rows = 0;
  void* out = nullptr;  // [rows, dim] number

  static constexpr int kThreads = 256;
  Grid grid() const { return {rows, 0}; }
};

template <typename Block>
PROMPTDB_DEVICE void Run(const NormArgs& args, Block& block) {
  constexpr int kStep = NormArgs::kThreads;
  const int64_t first = block.index() * args.dim;
  const float* x = args.x + first;
  typename Block::template PerThread<float> part;
  float mean = 0, scale = 1;
  if (args.weight != nullptr) {
    if (args.subtracts_mean) {
      block.ForThreads([&](int thread) {
        float sum = 0;
        for (int d = thread; d < args.dim; d += kStep) sum += x[d];
        part[thread] = sum;
      });
      mean = block.Sum(part) / static_cast<float>(args.dim);
    }
    block.ForThreads([&](int thread) {
      float sum = 0;
      for (int d = thread; d < args.dim; d += kStep) sum += (x[d] - mean) * (x[d] - mean);
      part[thread] = sum;
    });
    scale = 1.0f / sqrtf(block.Sum(part) / static_cast<float>(args.dim) + args.eps);
  }
  block.ForThreads([&](int thread) {
    for (int d = thread; d < args.dim; d += kStep) {
      float value = (x[d] - mean) * scale;
      if (args.weight != nullptr) value *= args.weight[d];
      if (args.bias != nullptr) value += args.bias[d];
      StoreNumber(args.out, args.number, first + d, value);
    }
  });
}

// to += x (+ bias)
struct AddArgs {
  const float* x = nullptr;     // [rows, dim]
  const float* bias = nullptr;  // [dim] or null
  int32_t dim = 0;
  int32_t rows = 0;
  float* to = nullptr;  // [rows, dim]

  static constexpr int kThreads = 256;
  static constexpr int kElements = 4 * kThreads;  // of a block
  int64_t elements() const { return int64_t{rows} * dim; }
  Grid grid() const { return {(elements() + kElements - 1) / kElements, 0}; }
};

template <typename Block>
PROMPTDB_DEVICE void Run(const AddArgs& args, Block& block) {
  const int64_t elements = int64_t{args.rows} * args.dim;
  const int64_t first = block.index() * AddArgs::kElements;
  block.ForThreads([&](int thread) {
    for (int i = thread; i < AddArgs::kElements && first + i < elements; i += AddArgs::kThreads) {
      const int64_t at = first + i;
      args.to[at] += args.x[at] + (args.bias != nullptr ? args.bias[at % args.dim] : 0.0f);
    }
  });
}

// What lies between an MLP's products.
struct ActivateArgs {
  enum class Kind : int32_t { kSwiGlu, kGeluTanh, kGeluErf };  // model/model_config.h, MlpKind
  const float* up = nullptr;    // [rows, hidden]; kSwiGlu: [rows, 2 hidden], the gate first
  const float* bias = nullptr;  // [hidden] or null; not of kSwiGlu
  Kind kind = Kind::kSwiGlu;
  NumberType number = NumberType::kF32;
  int32_t hidden = 0;
  int32_t rows = 0;
  void* out = nullptr;  // [rows, hidden] number

  static constexpr int kThreads = 256;
  static constexpr int kElements = 4 * kThreads;
  int64_t elements() const { return int64_t{rows} * hidden; }
  Grid grid() const { return {(elements() + kElements - 1) / kElements, 0}; }
};

template <typename Block>
PROMPTDB_DEVICE void Run(const ActivateArgs& args, Block& block) {
  const int64_t elements = int64_t{args.rows} * args.hidden;
  const int64_t first = block.index() * ActivateArgs::kElements;
  block.ForThreads([&](int thread) {
    for (int i = thread; i < ActivateArgs::kElements && first + i < elements;
         i += ActivateArgs::kThreads) {
      const int64_t at = first + i;
      const int64_t row = at / args.hidden, d = at % args.hidden;
      float value;
      if (args.kind == ActivateArgs::Kind::kSwiGlu) {
        const float* gate = args.up + row * 2 * args.hidden + d;
        value = gate[0] / (1.0f + expf(-gate[0])) * gate[args.hidden];
      } else {
        const float x = args.up[at] + (args.bias != nullptr ? args.bias[d] : 0.0f);
        constexpr float kRoot2OverPi = 0.79788456f, kRootHalf = 0.70710678f;
        value = args.kind == ActivateArgs::Kind::kGeluErf
                    ? 0.5f * x * (1.0f + erff(x * kRootHalf))
                    : 0.5f * x * (1.0f + tanhf(kRoot2OverPi * (x + 0.044715f * x * x * x)));
      }
      StoreNumber(args.out, args.number, at, value);
    }
  });
}

// Where a row's K and V go, in one layer: head h is at k + h * head_stride elements.
struct KvPlace {
  void* k = nullptr;
  void* v = nullptr;
  int64_t head_stride = 0;
  NumberType number = NumberType::kF32;
};

// Brings Q and K to what attention compares (biases, clamped, normed by head, turned), and writes K
// and V to where the rows' segments have them. A block is one head of one row.
struct SplitArgs {
  const float* qkv = nullptr;     // [rows, (heads + 2 kv_heads) * head_dim]
  const float* bias = nullptr;    // of such a row; or null
  const float* q_norm = nullptr;  // [head_dim] or null
  const float* k_norm = nullptr;
  const float* q_turns = nullptr;  // [rows, 2, pairs] cosines, sines; without RoPE, pairs is 0
  const float* k_turns = nullptr;
  const KvPlace* places = nullptr;  // [rows]
  float eps = 0;
  float clip = 0;  // 0: none
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t pairs = 0;
  bool pairs_halves = false;  // model/model_config.h, RopePairing
  int32_t rows = 0;
  float* q = nullptr;  // [rows, heads, head_dim]

  static constexpr int kThreads = 64;
  Grid grid() const {
    return {int64_t{rows} * (heads + 2 * kv_heads), static_cast<int64_t>(sizeof(float)) * head_dim};
  }
};

// Element d of a head that is turned by a row's cosines and sines. x: the head before that.
PROMPTDB_DEVICE float Turned(const float* x, const float* turns, int pairs, bool halves, int d) {
  if (d >= 2 * pairs) return x[d];
  const int pair = halves ? d % pairs : d / 2;
  const bool is_second = halves ? d >= pairs : d % 2 == 1;
  const int first = halves ? pair : 2 * pair;
  const float a = x[first], b = x[halves ? first + pairs : first + 1];
  const float cosine = turns[pair], sine = turns[pairs + pair];
  return is_second ? a * sine + b * cosine : a * cosine - b * sine;
}

template <typename Block>
PROMPTDB_DEVICE void Run(const SplitArgs& args, Block& block) {
  const int all_heads = args.heads + 2 * args.kv_heads, head_dim = args.head_dim;
  const int64_t row = block.index() / all_heads;
  const int head = static_cast<int>(block.index() % all_heads);
  const bool is_q = head < args.heads, is_k = !is_q && head < args.heads + args.kv_heads;
  const float* x = args.qkv + block.index() * head_dim;
  const float* bias = args.bias != nullptr ? args.bias + head * head_dim : nullptr;
  const float* norm = is_q ? args.q_norm : is_k ? args.k_norm : nullptr;
  float* values = reinterpret_cast<float*>(block.shared());
  typename Block::template PerThread<float> squares;
  block.ForThreads([&](int thread) {
    float sum = 0;
    for (int d = thread; d < head_dim; d += SplitArgs::kThreads) {
      float value = x[d] + (bias != nullptr ? bias[d] : 0.0f);
      if (args.clip > 0) value = fminf(fmaxf(value, -args.clip), args.clip);
      values[d] = value;
      sum += value * value;
    }
    squares[thread] = sum;
  });
  if (norm != nullptr) {
    const float scale = 1.0f / sqrtf(block.Sum(squares) / static_cast<float>(head_dim) + args.eps);
    block.ForThreads([&](int thread) {
      for (int d = thread; d < head_dim; d += SplitArgs::kThreads) values[d] *= scale * norm[d];
    });
  }
  const int pairs = is_q || is_k ? args.pairs : 0;
  const float* turns = (is_q ? args.q_turns : args.k_turns) + row * 2 * pairs;
  const KvPlace place = args.places[row];
  block.ForThreads([&](int thread) {
    for (int d = thread; d < head_dim; d += SplitArgs::kThreads) {
      const float value = Turned(values, turns, pairs, args.pairs_halves, d);
      if (is_q) {
        args.q[(row * args.heads + head) * head_dim + d] = value;
      } else if (is_k) {
        StoreNumber(place.k, place.number, (head - args.heads) * place.head_stride + d, value);
      } else {
        const int kv_head = head - args.heads - args.kv_heads;
        StoreNumber(place.v, place.number, kv_head * place.head_stride + d, value);
      }
    }
  });
}

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_ROW_KERNELS_H_
