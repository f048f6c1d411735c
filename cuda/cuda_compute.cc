#include "cuda/cuda_compute.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_handles.h"
#include "cuda/cuda_status.h"
#include "cuda/kernels.h"

namespace promptdb {

namespace {

// Pinned memory that small copies go through, each way. A copy that has more takes several.
constexpr int64_t kStagingBytes = int64_t{4} << 20;
// What cuBLAS works in: as much as its makers advise for Hopper.
constexpr size_t kProductBytes = size_t{32} << 20;
// Thread blocks for each multiprocessor that hide what memory takes.
constexpr int kBlocksOfProcessor = 4;

void CheckProduct(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorCode::kIo,
              std::string("cuBLAS: ") + what + ": " + cublasGetStatusString(status));
}

struct DestroyHandle {
  void operator()(cublasHandle_t handle) const { cublasDestroy(handle); }
};
struct FreeDevice {
  void operator()(void* memory) const { cudaFree(memory); }
};

class CudaCompute : public DeviceCompute {
 public:
  // REQUIRES: the device is current.
  CudaCompute(int number, std::unique_ptr<DeviceMemory> memory)
      : number_(number), memory_(std::move(memory)) {
    shared_bytes_ = Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    busy_blocks_ = kBlocksOfProcessor * Attribute(cudaDevAttrMultiProcessorCount);
    CheckCuda(PrepareKernels(shared_bytes_), "preparing the kernels");
    stream_ = MakeCudaStream();
    cublasHandle_t handle = nullptr;
    CheckProduct(cublasCreate(&handle), "starting");
    products_.reset(handle);
    void* workspace = nullptr;
    CheckCuda(cudaMalloc(&workspace, kProductBytes), "allocating memory for products");
    workspace_.reset(workspace);
    CheckProduct(cublasSetStream(handle, stream_.get()), "choosing the stream");
    CheckProduct(cublasSetWorkspace(handle, workspace, kProductBytes), "choosing its memory");
  }
  ~CudaCompute() override {
    cudaSetDevice(number_);
    cudaStreamSynchronize(stream_.get());
  }

  DeviceMemory& memory() override { return *memory_; }
  int64_t shared_bytes() const override { return shared_bytes_; }
  int busy_blocks() const override { return busy_blocks_; }

  void Queue(const KernelArgs& args) override {
    MakeCudaDeviceCurrent(number_);
    CheckCuda(LaunchKernel(args, stream_.get()), "starting a kernel");
  }

  // cuBLAS has matrices by columns: what we call [rows, columns] is to it the transposed one. So
  // yᵀ = W xᵀ, [out, in] [in, rows].
  void Queue(const MultiplyArgs& args) override {
    MakeCudaDeviceCurrent(number_);
    const cudaDataType_t type = args.number == NumberType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
    const float one = 1, zero = 0;
    CheckProduct(
        cublasGemmEx(products_.get(), CUBLAS_OP_T, CUBLAS_OP_N, args.out, args.rows, args.in, &one,
                     args.w, type, args.in, args.x, type, args.in, &zero, args.y, CUDA_R_32F,
                     args.out, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "a product");
  }

  void Upload(std::byte* to, const void* from, int64_t bytes) override {
    MakeCudaDeviceCurrent(number_);
    const auto* source = static_cast<const std::byte*>(from);
    while (bytes > 0) {
      // Once the buffer is full, the device is given time to read all of it.
      if (up_used_ == kStagingBytes) Finish();
      const int64_t part = std::min(bytes, kStagingBytes - up_used_);
      std::byte* staged = up_.get() + up_used_;
      std::memcpy(staged, source, static_cast<size_t>(part));
      up_used_ += part;
      CheckCuda(cudaMemcpyAsync(to, staged, static_cast<size_t>(part), cudaMemcpyHostToDevice,
                                stream_.get()),
                "copying to the device");
      to += part;
      source += part;
      bytes -= part;
    }
  }

  void Download(void* to, const std::byte* from, int64_t bytes) override {
    MakeCudaDeviceCurrent(number_);
    auto* target = static_cast<std::byte*>(to);
    while (bytes > 0) {
      if (down_used_ == kStagingBytes) Finish();
      const int64_t part = std::min(bytes, kStagingBytes - down_used_);
      std::byte* staged = down_.get() + down_used_;
      CheckCuda(cudaMemcpyAsync(staged, from, static_cast<size_t>(part), cudaMemcpyDeviceToHost,
                                stream_.get()),
                "copying from the device");
      down_used_ += part;
      arriving_.push_back({target, staged, static_cast<size_t>(part)});
      target += part;
      from += part;
      bytes -= part;
    }
  }

  void Finish() override {
    MakeCudaDeviceCurrent(number_);
    const cudaError_t status = cudaStreamSynchronize(stream_.get());
    const std::vector<Arriving> arriving = std::exchange(arriving_, {});
    up_used_ = down_used_ = 0;
    CheckCuda(status, "computing");
    for (const Arriving& part : arriving) std::memcpy(part.to, part.staged, part.bytes);
  }

 private:
  // What is on its way to pinned memory, and then to `to`.
  struct Arriving {
    std::byte* to = nullptr;
    const std::byte* staged = nullptr;
    size_t bytes = 0;
  };

  int Attribute(cudaDeviceAttr attribute) const {
    int value = 0;
    CheckCuda(cudaDeviceGetAttribute(&value, attribute, number_), "asking what the device is");
    return value;
  }

  const int number_;
  const std::unique_ptr<DeviceMemory> memory_;
  int64_t shared_bytes_ = 0;
  int busy_blocks_ = 0;
  CudaStream stream_;
  std::unique_ptr<void, FreeDevice> workspace_;  // of products_, which goes first
  std::unique_ptr<cublasContext, DestroyHandle> products_;
  // By whoever holds Use():
  PinnedMemory up_{kStagingBytes};
  PinnedMemory down_{kStagingBytes};
  int64_t up_used_ = 0;  // since the stream was last waited for
  int64_t down_used_ = 0;
  std::vector<Arriving> arriving_;
};

}  // namespace

std::unique_ptr<DeviceCompute> OpenCudaCompute(int number) {
  std::unique_ptr<DeviceMemory> memory = OpenCudaDevice(number);
  int major = 0;
  CheckCuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, number),
            "asking what the device is");
  if (major < 8) {
    throw Error(ErrorCode::kUnsupported,
                memory->name() + " (" + memory->description() + ") has compute capability " +
                    std::to_string(major) + "; models need 8 or more",
                "Use device 'cpu'.");
  }
  return std::make_unique<CudaCompute>(number, std::move(memory));
}

}  // namespace promptdb
