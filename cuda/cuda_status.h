// Statuses of the CUDA runtime as Errors.
//
// Thread-safe: no state.
#ifndef PROMPTDB_CUDA_CUDA_STATUS_H_
#define PROMPTDB_CUDA_CUDA_STATUS_H_

#include <cuda_runtime.h>

#include <string>

#include "base/error.h"

namespace promptdb {

[[noreturn]] inline void FailCuda(ErrorCode code, const char* what, cudaError_t status) {
  throw Error(code, std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

// Throws Error(kIo) that says what failed.
inline void CheckCuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) FailCuda(ErrorCode::kIo, what, status);
}

// Every call of the runtime is about the device that is current in its thread.
inline void MakeCudaDeviceCurrent(int number) {
  CheckCuda(cudaSetDevice(number), "choosing the device");
}

}  // namespace promptdb

#endif  // PROMPTDB_CUDA_CUDA_STATUS_H_
