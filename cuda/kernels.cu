#include "cuda/kernels.h"

namespace promptdb {

namespace {

template <typename Args>
__global__ void __launch_bounds__(Args::kThreads) Kernel(const Args args) {
  CudaThreadBlock<Args::kThreads> block;
  Run(args, block);
}

template <typename Args>
cudaError_t Launch(const Args& args, cudaStream_t stream) {
  const Grid grid = args.grid();
  if (grid.blocks == 0) return cudaSuccess;
  Kernel<<<static_cast<unsigned>(grid.blocks), Args::kThreads,
           static_cast<size_t>(grid.shared_bytes), stream>>>(args);
  return cudaGetLastError();
}

template <typename Args>
cudaError_t Prepare(int64_t shared_bytes) {
  return cudaFuncSetAttribute(Kernel<Args>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(shared_bytes));
}

}  // namespace

// The others take little, or none.
cudaError_t PrepareKernels(int64_t shared_bytes) {
  cudaError_t status = Prepare<AttendFewArgs<1>>(shared_bytes);
  if (status == cudaSuccess) status = Prepare<AttendFewArgs<4>>(shared_bytes);
  if (status == cudaSuccess) status = Prepare<AttendFewArgs<16>>(shared_bytes);
  if (status == cudaSuccess) status = Prepare<AttendManyArgs>(shared_bytes);
  return status;
}

cudaError_t LaunchKernel(const KernelArgs& args, cudaStream_t stream) {
  return std::visit([&](const auto& of_kernel) { return Launch(of_kernel, stream); }, args);
}

}  // namespace promptdb
