// What the CUDA runtime gives out, with an owner: streams, and pinned memory of the host.
//
// Move-only, or not even that; not thread-safe. REQUIRES: the device is current where one is made.
#ifndef PROMPTDB_CUDA_CUDA_HANDLES_H_
#define PROMPTDB_CUDA_CUDA_HANDLES_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>

#include "cuda/cuda_status.h"

namespace promptdb {

struct DestroyCudaStream {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
using CudaStream = std::unique_ptr<CUstream_st, DestroyCudaStream>;

// One that does not wait for the default stream. Throws Error(kIo).
inline CudaStream MakeCudaStream() {
  cudaStream_t stream = nullptr;
  CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return CudaStream(stream);
}

// Memory of the host that the device copies from and to by itself.
class PinnedMemory {
 public:
  // Throws Error(kIo).
  explicit PinnedMemory(size_t bytes) {
    void* allocated = nullptr;
    CheckCuda(cudaHostAlloc(&allocated, bytes, cudaHostAllocDefault), "allocating pinned memory");
    memory_ = static_cast<std::byte*>(allocated);
  }
  ~PinnedMemory() { cudaFreeHost(memory_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  std::byte* get() const { return memory_; }

 private:
  std::byte* memory_ = nullptr;
};

}  // namespace promptdb

#endif  // PROMPTDB_CUDA_CUDA_HANDLES_H_
