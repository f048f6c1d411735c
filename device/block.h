// Kernels in a form that nvcc and the host's compiler both take.
//
// A kernel is a function of its arguments and of a thread block, and a sequence of phases:
// ForThreads(f) calls f(thread) for every thread of the block, and all are through with it before
// the next phase begins. On a GPU that is the thread's own call and a barrier; on the host, a loop.
// So a barrier can't be forgotten, and what the tests run on the host is the code that runs on the
// GPU, but for the primitives at the end of CudaThreadBlock.
//
// What lies between phases runs in every thread of a GPU, and once on the host. Therefore a phase
// writes to global memory, to shared memory or to PerThread values, and never to a variable of its
// kernel; and of what other threads of the same phase write it reads nothing. HostThreadBlock runs
// the threads in either order, so that tests see who does.
#ifndef PROMPTDB_DEVICE_BLOCK_H_
#define PROMPTDB_DEVICE_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <mma.h>
#define PROMPTDB_DEVICE __device__ inline
#else
#include <algorithm>
#include <array>
#include <vector>
#define PROMPTDB_DEVICE inline
#endif

namespace promptdb {

// Numbers that a kernel reads or writes as either of two types.
enum class NumberType : int32_t { kF32, kBf16 };

PROMPTDB_DEVICE float WidenBf16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

// To nearest, ties to even; NaN stays NaN.
PROMPTDB_DEVICE uint16_t RoundToBf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

PROMPTDB_DEVICE float LoadNumber(const void* from, NumberType type, int64_t index) {
  return type == NumberType::kF32 ? static_cast<const float*>(from)[index]
                                  : WidenBf16(static_cast<const uint16_t*>(from)[index]);
}

PROMPTDB_DEVICE void StoreNumber(void* to, NumberType type, int64_t index, float value) {
  if (type == NumberType::kF32) {
    static_cast<float*>(to)[index] = value;
  } else {
    static_cast<uint16_t*>(to)[index] = RoundToBf16(value);
  }
}

// How a kernel runs: so many blocks, and so many bytes of shared memory for each.
struct Grid {
  int64_t blocks = 0;
  int64_t shared_bytes = 0;
};

#ifdef __CUDACC__

// kThreads: a multiple of 32.
template <int kThreads>
class CudaThreadBlock {
 public:
  template <typename T>
  class PerThread {
   public:
    __device__ T& operator[](int) { return value_; }

   private:
    T value_;
  };

  static constexpr int kWarps = kThreads / 32;

  __device__ int64_t index() const { return blockIdx.x; }
  // 128-byte aligned.
  __device__ char* shared() const {
    extern __shared__ __align__(128) char memory[];
    return memory;
  }

  template <typename Phase>
  __device__ void ForThreads(Phase phase) {
    phase(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  // The same for warps, whose threads call phase(warp) together: for MultiplyTiles() alone.
  template <typename Phase>
  __device__ void ForWarps(Phase phase) {
    phase(static_cast<int>(threadIdx.x) / 32);
    __syncthreads();
  }

  // The sum over all threads, which all of them get.
  __device__ float Sum(PerThread<float>& values) {
    __shared__ float of_warps[kWarps];
    float sum = values[0];
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warps[warp];
    __syncthreads();
    return sum;
  }

  // c[16, columns] = (adds ? c : 0) + a[16, depth] b, on the tensor cores, by one warp. b is
  // [depth, columns], or [columns, depth] if b_by_columns. Row strides in elements: those of bf16
  // are multiples of 8, of c of 4; tiles of 16 x 16 begin at multiples of 32 bytes. REQUIRES:
  // columns and depth are multiples of 16. All in shared memory.
  template <bool b_by_columns>
  __device__ static void MultiplyTiles(const uint16_t* a, int a_stride, const uint16_t* b,
                                       int b_stride, int columns, int depth, bool adds, float* c,
                                       int c_stride) {
    using nvcuda::wmma::accumulator;
    using nvcuda::wmma::col_major;
    using nvcuda::wmma::fragment;
    using nvcuda::wmma::matrix_a;
    using nvcuda::wmma::matrix_b;
    using nvcuda::wmma::mem_row_major;
    using nvcuda::wmma::row_major;
    for (int column = 0; column < columns; column += 16) {
      fragment<accumulator, 16, 16, 16, float> sum;
      if (adds) {
        nvcuda::wmma::load_matrix_sync(sum, c + column, c_stride, mem_row_major);
      } else {
        nvcuda::wmma::fill_fragment(sum, 0.0f);
      }
      for (int d = 0; d < depth; d += 16) {
        fragment<matrix_a, 16, 16, 16, __nv_bfloat16, row_major> left;
        nvcuda::wmma::load_matrix_sync(left, reinterpret_cast<const __nv_bfloat16*>(a + d),
                                       a_stride);
        if constexpr (b_by_columns) {
          fragment<matrix_b, 16, 16, 16, __nv_bfloat16, col_major> right;
          nvcuda::wmma::load_matrix_sync(
              right, reinterpret_cast<const __nv_bfloat16*>(b + column * b_stride + d), b_stride);
          nvcuda::wmma::mma_sync(sum, left, right, sum);
        } else {
          fragment<matrix_b, 16, 16, 16, __nv_bfloat16, row_major> right;
          nvcuda::wmma::load_matrix_sync(
              right, reinterpret_cast<const __nv_bfloat16*>(b + d * b_stride + column), b_stride);
          nvcuda::wmma::mma_sync(sum, left, right, sum);
        }
      }
      nvcuda::wmma::store_matrix_sync(c + column, sum, c_stride, mem_row_major);
    }
  }
};

#else

// In which the host runs the threads of a block, and the blocks of a grid.
enum class ThreadOrder { kForward, kBackward };

template <int kThreads>
class HostThreadBlock {
 public:
  template <typename T>
  class PerThread {
   public:
    T& operator[](int thread) { return values_[static_cast<size_t>(thread)]; }

   private:
    std::array<T, kThreads> values_;
  };

  static constexpr int kWarps = kThreads / 32;

  HostThreadBlock(int64_t index, char* shared, ThreadOrder order)
      : index_(index), shared_(shared), order_(order) {}

  int64_t index() const { return index_; }
  char* shared() const { return shared_; }

  template <typename Phase>
  void ForThreads(Phase phase) {
    for (int i = 0; i < kThreads; ++i) {
      phase(order_ == ThreadOrder::kForward ? i : kThreads - 1 - i);
    }
  }
  template <typename Phase>
  void ForWarps(Phase phase) {
    for (int i = 0; i < kWarps; ++i) phase(order_ == ThreadOrder::kForward ? i : kWarps - 1 - i);
  }

  float Sum(PerThread<float>& values) {
    float sum = 0;
    for (int i = 0; i < kThreads; ++i) sum += values[i];
    return sum;
  }

  template <bool b_by_columns>
  static void MultiplyTiles(const uint16_t* a, int a_stride, const uint16_t* b, int b_stride,
                            int columns, int depth, bool adds, float* c, int c_stride) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < columns; ++column) {
        float sum = adds ? c[row * c_stride + column] : 0;
        for (int d = 0; d < depth; ++d) {
          const int at = b_by_columns ? column * b_stride + d : d * b_stride + column;
          sum += WidenBf16(a[row * a_stride + d]) * WidenBf16(b[at]);
        }
        c[row * c_stride + column] = sum;
      }
    }
  }

 private:
  const int64_t index_;
  char* const shared_;
  const ThreadOrder order_;
};

#endif

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_BLOCK_H_
