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

cudaError_t LaunchKernel(const EmbedArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const NormArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const AddArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const ActivateArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const GatherArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const SplitArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const AttendFewArgs<1>& args, cudaStream_t stream);
cudaError_t LaunchKernel(const AttendFewArgs<4>& args, cudaStream_t stream);
cudaError_t LaunchKernel(const AttendFewArgs<16>& args, cudaStream_t stream);
cudaError_t LaunchKernel(const AttendManyArgs& args, cudaStream_t stream);
cudaError_t LaunchKernel(const MergeArgs& args, cudaStream_t stream);

}  // namespace promptdb

#endif  // PROMPTDB_CUDA_KERNELS_H_
