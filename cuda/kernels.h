// Starts the kernels of device/ on a GPU. What nvcc compiles is kernels.cu alone.
//
// Thread-safe: no state; a stream is its caller's.
#ifndef PROMPTDB_CUDA_KERNELS_H_
#define PROMPTDB_CUDA_KERNELS_H_

#include <cuda_runtime.h>

#include "device/device_compute.h"

namespace promptdb {

// Lets kernels use as much shared memory as `shared_bytes`, on the current device.
cudaError_t PrepareKernels(int64_t shared_bytes);

cudaError_t LaunchKernel(const KernelArgs& args, cudaStream_t stream);

}  // namespace promptdb

#endif  // PROMPTDB_CUDA_KERNELS_H_
