// What this machine can do at most with the engine's number of threads: memory read in order, and
// f32 products and sums. Prints one JSON object; bench/compare.mjs sets times beside it.
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "executor/simd.h"
#include "executor/threads.h"
#include "storage/block_memory.h"

namespace promptdb {
namespace {

constexpr int64_t kBytes = int64_t{512} << 20;
constexpr int64_t kSteps = 40'000'000;
constexpr int kAccumulators = 12;  // enough to hide the latency of a product

// The compiler's vectors, built for each kind of vector unit and chosen when the program starts.
#if defined(__x86_64__)
#define PROMPTDB_EVERY_CPU __attribute__((target_clones("default", "arch=haswell", "avx512f")))
#else
#define PROMPTDB_EVERY_CPU
#endif

PROMPTDB_EVERY_CPU int64_t Sum(const int64_t* values, int64_t count) {
  int64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

// One vector of the widest kind in each accumulator.
template <int kLanes>
struct Wide {
  typedef float Vec __attribute__((vector_size(4 * kLanes)));
};

template <typename Vec>
__attribute__((always_inline)) inline float Multiply() {
  Vec sums[kAccumulators];
  for (int i = 0; i < kAccumulators; ++i) sums[i] = Vec{} + static_cast<float>(i);
  const Vec x = Vec{} + 0.999f, y = Vec{} + 0.1f;
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; ++i) sums[i] = sums[i] * x + y;
  }
  float sum = 0;
  for (int i = 0; i < kAccumulators; ++i) sum += sums[i][0];
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) float Multiply512() { return Multiply<Wide<16>::Vec>(); }
__attribute__((target("avx2,fma"))) float Multiply256() { return Multiply<Wide<8>::Vec>(); }
#endif
float Multiply128() { return Multiply<Wide<4>::Vec>(); }

void Main() {
  ApplyThreads();
  const int threads = Threads();
  std::byte* memory = AllocateBlockMemory(kBytes);
  auto* values = reinterpret_cast<int64_t*>(memory);
  const int64_t count = kBytes / 8 / threads;
  double read_s = 1e9, multiply_s = 1e9;
  int64_t sink = 0;
  float float_sink = 0;
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < kBytes / 8; ++i) values[i] = i;
  for (int run = 0; run < 5; ++run) {
    const double begin = omp_get_wtime();
#pragma omp parallel for num_threads(threads) reduction(+ : sink)
    for (int thread = 0; thread < threads; ++thread) sink += Sum(values + thread * count, count);
    read_s = std::min(read_s, omp_get_wtime() - begin);
  }
  int lanes = 4;
  float (*multiply)() = Multiply128;
#if defined(__x86_64__)
  if (BestCpuPath() == CpuPath::kAvx512) {
    lanes = 16;
    multiply = Multiply512;
  } else if (BestCpuPath() == CpuPath::kAvx2) {
    lanes = 8;
    multiply = Multiply256;
  }
#endif
  for (int run = 0; run < 3; ++run) {
    const double begin = omp_get_wtime();
#pragma omp parallel for num_threads(threads) reduction(+ : float_sink)
    for (int thread = 0; thread < threads; ++thread) float_sink += multiply();
    multiply_s = std::min(multiply_s, omp_get_wtime() - begin);
  }
  FreeBlockMemory(memory, kBytes);
  std::printf("{\"threads\": %d, \"read_bytes_per_s\": %.4g, \"flops_per_s\": %.4g}\n", threads,
              static_cast<double>(count * 8 * threads) / read_s,
              2.0 * static_cast<double>(kSteps) * kAccumulators * lanes * threads / multiply_s);
  std::fprintf(stderr, "sums, so that nothing is left out: %lld %g\n", static_cast<long long>(sink),
               static_cast<double>(float_sink));
}

}  // namespace
}  // namespace promptdb

int main() { promptdb::Main(); }
