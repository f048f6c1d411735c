// The stand-in for a device that computes: the kernels of GPUs, compiled for the processor, on
// HostDevice's memory. Its stream is a thread. It is for trying out and for testing, on any
// machine, all that happens on a GPU; it is not fast.
//
// Thread-safe as DeviceCompute says.
#ifndef PROMPTDB_DEVICE_HOST_COMPUTE_H_
#define PROMPTDB_DEVICE_HOST_COMPUTE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "device/device_compute.h"
#include "storage/host_device.h"

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
  HostCompute(std::unique_ptr<HostDevice> memory, const Options& options);
  ~HostCompute() override;  // waits for what is queued

  HostDevice& memory() override { return *memory_; }
  int64_t shared_bytes() const override { return options_.shared_bytes; }
  int busy_blocks() const override { return options_.busy_blocks; }

  void Queue(const EmbedArgs& args) override;
  void Queue(const NormArgs& args) override;
  void Queue(const AddArgs& args) override;
  void Queue(const ActivateArgs& args) override;
  void Queue(const GatherArgs& args) override;
  void Queue(const SplitArgs& args) override;
  void Queue(const AttendFewArgs<1>& args) override;
  void Queue(const AttendFewArgs<4>& args) override;
  void Queue(const AttendFewArgs<16>& args) override;
  void Queue(const AttendManyArgs& args) override;
  void Queue(const MergeArgs& args) override;
  void Queue(const MultiplyArgs& args) override;
  void Upload(std::byte* to, const void* from, int64_t bytes) override;
  void Download(void* to, const std::byte* from, int64_t bytes) override;
  void Finish() override;

 private:
  template <typename Args>
  void QueueKernel(const Args& args);
  void Add(std::function<void()> work);
  void RunStream();

  const std::unique_ptr<HostDevice> memory_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::deque<std::function<void()>> queue_;
  bool is_running_ = false;  // one that was taken from the queue
  bool ends_ = false;
  std::thread thread_;  // begins with the first work
};

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_HOST_COMPUTE_H_
