// The forward pass's kernels one by one (Google Benchmark): linear layers and attention at the two
// shapes that docs/performance.md speaks of.
//
//   kernels [--threads=N] [--paths] [Google Benchmark's flags, such as --benchmark_filter=S/decode]
//
// S is SmolLM-135M's shape, L TinyLlama-1.1B's. "flops" counts useful work (a causal row's keys,
// no padding), "bytes" what must be read or written at least once. Weights and states are cycled
// through, so that, as in a forward pass, they come from memory and not from a cache. --paths adds
// each path beside the one that is chosen.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bfloat16.h"
#include "base/error.h"
#include "bench/program.h"
#include "executor/attention.h"
#include "executor/linear.h"
#include "executor/threads.h"
#include "storage/kv_quantization.h"

namespace promptdb {
namespace {

struct ModelShape {
  const char* name;
  int layers, dim, hidden, heads, kv_heads, vocab;

  int head_dim() const { return dim / heads; }
};

constexpr ModelShape kShapes[] = {{"S", 30, 576, 1536, 9, 3, 32000},
                                  {"L", 22, 2048, 5632, 32, 4, 32000}};
constexpr int kKeys = 4096;
// More than the last-level caches of the machines that we know.
constexpr int64_t kBytesBeyondCaches = int64_t{96} << 20;

// Numbers between -0.5 and 0.5, which are the same memory read as bf16 or as f32; the arithmetic of
// a kernel takes equally long for all numbers but denormals and NaN. Made once, since the library
// calls a benchmark several times.
const std::byte* Numbers(int64_t bytes) {
  static std::vector<uint16_t> numbers;
  static uint32_t state = 1;
  while (static_cast<int64_t>(numbers.size()) * 2 < bytes) {
    state = state * 1664525u + 1013904223u;
    numbers.push_back(Bf16FromFloat(static_cast<float>(state >> 8) / (1 << 24) - 0.5f));
  }
  return reinterpret_cast<const std::byte*>(numbers.data());
}

std::vector<float> Floats(size_t count) {
  std::vector<float> values(count);
  std::memcpy(values.data(), Numbers(static_cast<int64_t>(count) * 4), count * 4);
  return values;
}

void Report(benchmark::State& state, double flops, double bytes) {
  using benchmark::Counter;
  const auto rate = Counter::kIsIterationInvariantRate;
  state.counters["flops"] = Counter(flops, rate, Counter::OneK::kIs1000);
  state.counters["bytes"] = Counter(bytes, rate, Counter::OneK::kIs1000);
}

struct LinearCase {
  std::string name;
  int in = 0;
  int out = 0;
  int rows = 0;
  bool bf16 = true;
  int path = -1;  // a LinearPath, or -1: what Apply() chooses
};

void RunLinear(benchmark::State& state, const LinearCase& c) {
  ApplyThreads();
  const TensorDtype dtype = c.bf16 ? TensorDtype::kBf16 : TensorDtype::kF32;
  const int64_t elements = int64_t{c.in} * c.out, bytes = TensorBytes(dtype, elements);
  const int copies = static_cast<int>(kBytesBeyondCaches / bytes) + 1;
  const std::byte* memory = Numbers(bytes * copies);
  std::vector<Linear> layers;
  for (int i = 0; i < copies; ++i) {
    TensorView view;
    view.dtype = dtype;
    view.shape = {c.out, c.in};
    view.data = {memory + i * bytes, static_cast<size_t>(bytes)};
    layers.emplace_back(std::vector<const TensorView*>{&view},
                        std::vector<const TensorView*>{nullptr},
                        c.bf16 ? WeightDtype::kBf16 : WeightDtype::kF32);
  }
  const std::vector<float> x = Floats(static_cast<size_t>(c.rows) * c.in);
  std::vector<float> y(static_cast<size_t>(c.rows) * c.out);
  int next = 0;
  for (auto _ : state) {
    const Linear& layer = layers[next];
    if (c.path < 0) {
      layer.Apply(x.data(), c.rows, y.data());
    } else {
      layer.ApplyBy(static_cast<LinearPath>(c.path), BestCpuPath(), x.data(), c.rows, y.data());
    }
    benchmark::ClobberMemory();
    if (++next == copies) next = 0;
  }
  Report(state, 2.0 * c.rows * static_cast<double>(elements),
         static_cast<double>(bytes) + 4.0 * c.rows * (c.in + c.out));
}

struct AttentionCase {
  std::string name;
  ModelShape shape;
  int rows = 0;
  int earlier = 0;  // keys that every row sees; the rows' own come on top
  KvDtype dtype = KvDtype::kBf16;
  AttentionPath path = AttentionPath::kByRows;
};

void RunAttention(benchmark::State& state, const AttentionCase& c) {
  ApplyThreads();
  const ModelShape& m = c.shape;
  const KvShape kv{m.layers, m.kv_heads, m.head_dim(), c.dtype};
  const int tokens = c.earlier + c.rows;
  KvSegment segment(WorkingShape(kv), 0, tokens);
  segment.Grow(tokens);
  std::vector<std::vector<KvSlice>> layers(m.layers);
  for (int layer = 0; layer < m.layers; ++layer) {
    std::vector<KvMutableSlice> slices;
    segment.AppendMutableSlices(layer, 0, tokens, slices);
    const int element = KvDtypeBits(segment.shape().dtype) / 8;
    for (const KvMutableSlice& slice : slices) {
      for (int head = 0; head < m.kv_heads; ++head) {
        const int64_t offset = head * slice.head_stride * element;
        const int64_t bytes = int64_t{slice.tokens} * m.head_dim() * element;
        std::memcpy(slice.k + offset, Numbers(2 * bytes), static_cast<size_t>(bytes));
        std::memcpy(slice.v + offset, Numbers(2 * bytes) + bytes, static_cast<size_t>(bytes));
      }
    }
  }
  if (IsQuantized(c.dtype)) segment = Quantize(segment, c.dtype);
  for (int layer = 0; layer < m.layers; ++layer) {
    segment.AppendSlices(layer, 0, tokens, layers[layer]);
  }
  const size_t width = static_cast<size_t>(c.rows) * m.dim;
  const std::vector<float> q = Floats(width);
  std::vector<float> out(width);
  const AttentionShape shape{
      m.heads, m.kv_heads, m.head_dim(), 1.0f / std::sqrt(static_cast<float>(m.head_dim())), {}};
  int layer = 0;
  for (auto _ : state) {
    const AttentionGroup group{q.data(), out.data(), c.rows, layers[layer], c.rows, c.earlier};
    AttendBy(c.path, BestCpuPath(), shape, {&group, 1});
    benchmark::ClobberMemory();
    if (++layer == m.layers) layer = 0;
  }
  const double pairs = static_cast<double>(c.rows) * c.earlier + c.rows * (c.rows + 1.0) / 2;
  Report(state, 4 * pairs * m.dim,
         static_cast<double>(kv.BytesPerTokenLayer()) * tokens + 8.0 * static_cast<double>(width));
}

template <typename Case>
void Register(void (*run)(benchmark::State&, const Case&), Case c) {
  const std::string name = c.name;
  benchmark::RegisterBenchmark(name.c_str(),
                               [run, c = std::move(c)](benchmark::State& state) { run(state, c); })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void RegisterLinears(const ModelShape& m, bool every_path) {
  const int kv_width = m.kv_heads * m.head_dim();
  const struct {
    const char* name;
    int in, out;
  } layers[] = {{"qkv", m.dim, m.dim + 2 * kv_width},
                {"attn_output", m.dim, m.dim},
                {"gate_up", m.dim, 2 * m.hidden},
                {"down", m.hidden, m.dim},
                {"output", m.dim, m.vocab}};
  std::vector<std::pair<int, std::string>> paths{{-1, ""}};
  if (every_path) {
    for (const auto& [path, name] :
         {std::pair{LinearPath::kDots, "dots"}, {LinearPath::kPanels, "panels"}}) {
      paths.emplace_back(static_cast<int>(path), std::string("/") + name);
    }
  }
  for (const auto& layer : layers) {
    for (const bool bf16 : {true, false}) {
      for (const int rows : {1, 32, 512}) {
        // Only the last token of a prompt goes through the output head.
        if (std::string_view(layer.name) == "output" && rows > 32) continue;
        for (const auto& [path, path_name] : paths) {
          const std::string name = std::string("linear/") + m.name + "/" + layer.name + "/" +
                                   (bf16 ? "bf16" : "f32") + "/rows:" + std::to_string(rows) +
                                   path_name;
          Register<LinearCase>(RunLinear, {name, layer.in, layer.out, rows, bf16, path});
        }
      }
    }
  }
}

void RegisterAttention(const ModelShape& m, bool every_path) {
  const struct {
    const char* name;
    int rows, earlier;
  } uses[] = {{"decode", 1, kKeys}, {"tail32", 32, kKeys}, {"prefill512", 512, kKeys - 512}};
  std::vector<std::pair<AttentionPath, std::string>> paths{{AttentionPath::kByRows, ""}};
  if (every_path) {
    paths.emplace_back(AttentionPath::kPanels, "/panels");
    paths.emplace_back(AttentionPath::kDots, "/dots");
  }
  for (const auto& use : uses) {
    for (const KvDtype dtype : kAllKvDtypes) {
      for (const auto& [path, path_name] : paths) {
        const std::string name = std::string("attention/") + m.name + "/" + use.name + "/" +
                                 std::string(KvDtypeName(dtype)) + path_name;
        Register<AttentionCase>(RunAttention, {name, m, use.rows, use.earlier, dtype, path});
      }
    }
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  bool every_path = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--paths") {
      every_path = true;
    } else if (argument.starts_with("--threads=")) {
      SetThreads(std::atoi(argv[i] + std::strlen("--threads=")));
    } else {
      std::fprintf(stderr, "usage: kernels [--threads=N] [--paths] [--benchmark_filter=REGEX …]\n");
      return 2;
    }
  }
  benchmark::AddCustomContext("path", std::string(CpuPathName(BestCpuPath())));
  benchmark::AddCustomContext("threads", std::to_string(Threads()));
  for (const ModelShape& shape : kShapes) {
    RegisterLinears(shape, every_path);
    RegisterAttention(shape, every_path);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv); }
