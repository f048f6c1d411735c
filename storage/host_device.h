// A stand-in for a device where there is none: its memory is the host's own, its streams are
// threads that copy. All that is said of a device holds for it, so that everything above
// DeviceMemory runs, and is tested, on any machine.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_HOST_DEVICE_H_
#define PROMPTDB_STORAGE_HOST_DEVICE_H_

#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

#include "storage/device_memory.h"
#include "storage/work_stream.h"

namespace promptdb {

inline constexpr std::string_view kHostDeviceName = "host";

class HostDevice : public DeviceMemory {
 public:
  enum class Direction { kIn, kOut };
  struct Copy {
    Direction direction = Direction::kIn;
    int64_t bytes = 0;
    int64_t number = 0;  // of its direction, from 0
  };
  // Called by a stream's thread before each of its copies: it may wait, and the copy is late; or
  // throw Error(kIo), and the copy fails.
  using CopyGate = std::function<void(const Copy&)>;

  // With `total_bytes` of memory: what the machine has, unless told otherwise.
  explicit HostDevice(std::optional<int64_t> total_bytes = std::nullopt, CopyGate gate = nullptr);
  // Waits for the copies that are queued.
  ~HostDevice() override;
  HostDevice(const HostDevice&) = delete;
  HostDevice& operator=(const HostDevice&) = delete;

  std::string name() const override { return std::string(kHostDeviceName); }
  std::string description() const override { return "the host's memory, in a device's place"; }
  int64_t total_bytes() const override { return total_bytes_; }
  int64_t free_bytes() const override;

  DeviceAddress Allocate(int64_t bytes) override;
  void Free(DeviceAddress address, int64_t bytes) noexcept override;
  std::shared_ptr<CopyEvent> CopyIn(DeviceAddress to, const std::byte* from,
                                    int64_t bytes) override;
  std::shared_ptr<CopyEvent> CopyOut(std::byte* to, DeviceAddress from, int64_t bytes) override;
  const std::byte* ReadableOnHost(DeviceAddress address) const override;

 private:
  class Event;
  // Copies of one direction.
  struct Stream {
    int64_t queued = 0;  // since the device was made; guarded by mutex_
    WorkStream work;
  };

  std::shared_ptr<CopyEvent> Enqueue(Direction direction, std::byte* to, const std::byte* from,
                                     int64_t bytes);

  const int64_t total_bytes_;
  const CopyGate gate_;
  mutable std::mutex mutex_;
  int64_t used_bytes_ = 0;  // guarded by mutex_
  Stream in_;
  Stream out_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_HOST_DEVICE_H_
