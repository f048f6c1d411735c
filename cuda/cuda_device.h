// A GPU's memory, through the CUDA runtime. Built with -DPROMPTDB_CUDA=ON alone.
//
// Blocks come out of a memory pool of the device's own, which keeps what is freed for the next
// ones. The host's memory for blocks (storage/block_memory.h) is pinned as long as the device is
// open, and the device copies from and to it by itself. Copies from and to other memory go through
// buffers of pinned memory, since the runtime makes them only while the caller waits.
#ifndef PROMPTDB_CUDA_CUDA_DEVICE_H_
#define PROMPTDB_CUDA_CUDA_DEVICE_H_

#include <memory>

#include "storage/device_memory.h"

namespace promptdb {

// GPUs that the driver shows to this process; 0 where there is no driver.
int CudaDevices();

// The GPU of that number, from 0. Throws Error(kResource) that says why it can't be had.
std::unique_ptr<DeviceMemory> OpenCudaDevice(int number);

}  // namespace promptdb

#endif  // PROMPTDB_CUDA_CUDA_DEVICE_H_
