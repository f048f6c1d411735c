// A device that computes: its memory, and a stream of kernels and products over it.
//
// What is queued runs in the order in which it was queued, beside the host and beside the copies of
// DeviceMemory; these are waited for on the host (CopyEvent), which is a layer ahead of the device.
// Whoever queues holds Use(): one forward pass at a time.
//
// Thread-safe: memory() and what never changes. The rest by whoever holds Use().
#ifndef PROMPTDB_DEVICE_DEVICE_COMPUTE_H_
#define PROMPTDB_DEVICE_DEVICE_COMPUTE_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <variant>

#include "device/attend_few.h"
#include "device/attend_many.h"
#include "device/attention.h"
#include "device/merge.h"
#include "device/row_kernels.h"
#include "storage/device_memory.h"

namespace promptdb {

// A kernel, by its arguments: whatever a device runs, each device runs.
using KernelArgs =
    std::variant<EmbedArgs, NormArgs, AddArgs, ActivateArgs, SplitArgs, AttendFewArgs<1>,
                 AttendFewArgs<4>, AttendFewArgs<16>, AttendManyArgs, MergeArgs>;

// A product, which is no kernel of ours on a GPU: y = x Wᵀ, summed in f32.
struct MultiplyArgs {
  const void* x = nullptr;  // [rows, in] number
  const void* w = nullptr;  // [out, in] number
  NumberType number = NumberType::kF32;
  int32_t rows = 0;
  int32_t in = 0;
  int32_t out = 0;
  float* y = nullptr;  // [rows, out]
};

class DeviceCompute {
 public:
  virtual ~DeviceCompute() = default;

  virtual DeviceMemory& memory() = 0;
  // Of a thread block, at most.
  virtual int64_t shared_bytes() const = 0;
  // Thread blocks that keep the device busy.
  virtual int busy_blocks() const = 0;

  std::unique_lock<std::mutex> Use() { return std::unique_lock(mutex_); }

  // All that follow are queued, and throw Error(kIo) where the device refuses. Pointers in
  // arguments are the device's.
  virtual void Queue(const KernelArgs& args) = 0;
  virtual void Queue(const MultiplyArgs& args) = 0;
  // Copies in the order of the kernels, for what is small. `from` may change as soon as this
  // returns; `to`, on the host, is written once Finish() has returned.
  virtual void Upload(std::byte* to, const void* from, int64_t bytes) = 0;
  virtual void Download(void* to, const std::byte* from, int64_t bytes) = 0;

  // Waits until all that was queued is done. Throws Error(kIo) if any of it failed.
  virtual void Finish() = 0;

 private:
  std::mutex mutex_;
};

}  // namespace promptdb

#endif  // PROMPTDB_DEVICE_DEVICE_COMPUTE_H_
