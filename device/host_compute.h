// The stand-in for a device that computes: the kernels of GPUs, compiled for the processor, on
// HostDevice's memory. Its stream is a thread. It is for trying out and for testing, on any
// machine, all that happens on a GPU; it is not fast.
//
// Thread-safe as DeviceCompute says.
#ifndef PROMPTDB_DEVICE_HOST_COMPUTE_H_
#define PROMPTDB_DEVICE_HOST_COMPUTE_H_

#include <memory>
#include <utility>

#include "device/device_compute.h"
#include "storage/host_device.h"
#include "storage/work_stream.h"

namespace promptdb {

class HostCompute : public DeviceCompute {
 public:
  struct Options {
    // Threads and blocks run one after another, so or so; nothing may depend on it.
    ThreadOrder order = ThreadOrder::kForward;
    // As a GPU of a modest size has them.
    int64_t shared_bytes = 99 << 10;
    int busy_blocks = 64;
  };

  explicit HostCompute(std::unique_ptr<HostDevice> memory) : HostCompute(std::move(memory), {}) {}
  HostCompute(std::unique_ptr<HostDevice> memory, const Options& options)
      : memory_(std::move(memory)), options_(options) {}

  HostDevice& memory() override { return *memory_; }
  int64_t shared_bytes() const override { return options_.shared_bytes; }
  int busy_blocks() const override { return options_.busy_blocks; }

  void Queue(const KernelArgs& args) override;
  void Queue(const MultiplyArgs& args) override;
  void Upload(std::byte* to, const void* from, int64_t bytes) override;
  void Download(void* to, const std::byte* from, int64_t bytes) override;
  void Finish() override { stream_.Finish(); }

 private:
  template <typename Args>
  void QueueKernel(const Args& args);

  const std::unique_ptr<HostDevice> memory_;
  const Options options_;
  WorkStream stream_;  // goes first, and waits for what is queued
};

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_HOST_COMPUTE_H_
