// The memory of a device that computes (a GPU), as the device tier of the cache needs it: room, and
// copies from and to the host's memory that go on beside everything else.
//
// Copies are queued on two streams, one for each direction. Those of one stream are done in the
// order in which they were queued; between the two there is no order but what waiting for events
// makes.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_DEVICE_MEMORY_H_
#define PROMPTDB_STORAGE_DEVICE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace promptdb {

// Where something lies on a device. Meant for the device alone: on the host it is a number.
enum class DeviceAddress : uint64_t { kNone = 0 };

// The address as kernels, and the device's own runtime, have it. Not for the host to read, unless
// DeviceMemory::ReadableOnHost() says so.
inline std::byte* PointerTo(DeviceAddress address) {
  return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(address));
}

// The end of a copy. Thread-safe.
class CopyEvent {
 public:
  virtual ~CopyEvent() = default;
  // Returns when the copy is done. Throws Error(kIo) if it failed: then what it was to write is
  // undefined, and what it was to read is as it was. May be called again, and by many threads.
  virtual void Wait() = 0;
};

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  virtual std::string name() const = 0;         // as CREATE MODEL has it: "cuda:0"
  virtual std::string description() const = 0;  // for people: "NVIDIA H100 80GB HBM3"
  virtual int64_t total_bytes() const = 0;
  virtual int64_t free_bytes() const = 0;

  // kBlockAlignment-aligned, uninitialised. kNone if the device has no room. REQUIRES: bytes > 0.
  virtual DeviceAddress Allocate(int64_t bytes) = 0;
  // REQUIRES: `address` came from Allocate(bytes), and all copies from and to it are done.
  virtual void Free(DeviceAddress address, int64_t bytes) noexcept = 0;

  // Queues a copy to (from) the device. `from` (`to`) stays as it is, and there, until the event is
  // done, or the device is gone. Throws Error(kIo) where the device refuses.
  // REQUIRES: bytes > 0. Shared with whoever waits.
  virtual std::shared_ptr<CopyEvent> CopyIn(DeviceAddress to, const std::byte* from,
                                            int64_t bytes) = 0;
  virtual std::shared_ptr<CopyEvent> CopyOut(std::byte* to, DeviceAddress from, int64_t bytes) = 0;

  // Where the host's processor may read what lies at `address`; nullptr where only the device can.
  virtual const std::byte* ReadableOnHost(DeviceAddress address) const = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_DEVICE_MEMORY_H_
