// A GPU that computes: the kernels of device/ as nvcc compiles them, products by cuBLAS, and the
// memory of cuda/cuda_device.h. Built with -DPROMPTDB_CUDA=ON alone; needs a GPU of compute
// capability 8.0 or more, whose tensor cores take bf16.
#ifndef PROMPTDB_CUDA_CUDA_COMPUTE_H_
#define PROMPTDB_CUDA_CUDA_COMPUTE_H_

#include <memory>

#include "device/device_compute.h"

namespace promptdb {

// The GPU of that number, from 0. Throws Error: kResource that says why it can't be had,
// kUnsupported where it is too old.
std::unique_ptr<DeviceCompute> OpenCudaCompute(int number);

}  // namespace promptdb

#endif  // PROMPTDB_CUDA_CUDA_COMPUTE_H_
