#include "storage/host_device.h"

#include <unistd.h>

#include <cstring>
#include <future>
#include <new>
#include <utility>

#include "base/error.h"
#include "storage/block_memory.h"

namespace promptdb {

class HostDevice::Event : public CopyEvent {
 public:
  void Wait() override { done_.get(); }
  void Finish() { promise_.set_value(); }
  void Fail(std::exception_ptr error) { promise_.set_exception(std::move(error)); }

 private:
  std::promise<void> promise_;
  const std::shared_future<void> done_{promise_.get_future()};
};

HostDevice::HostDevice(std::optional<int64_t> total_bytes, CopyGate gate)
    : total_bytes_(total_bytes.value_or(int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE))),
      gate_(std::move(gate)) {}

HostDevice::~HostDevice() {
  for (Stream* stream : {&in_, &out_}) stream->work.Finish();
  Check(used_bytes_ == 0, "nothing is left on a device that goes");
}

int64_t HostDevice::free_bytes() const {
  const std::scoped_lock lock(mutex_);
  return total_bytes_ - used_bytes_;
}

DeviceAddress HostDevice::Allocate(int64_t bytes) {
  {
    const std::scoped_lock lock(mutex_);
    if (bytes > total_bytes_ - used_bytes_) return DeviceAddress::kNone;
    used_bytes_ += bytes;
  }
  try {
    return DeviceAddress{
        reinterpret_cast<uintptr_t>(AllocateBlockMemory(static_cast<size_t>(bytes)))};
  } catch (const std::bad_alloc&) {
    const std::scoped_lock lock(mutex_);
    used_bytes_ -= bytes;
    return DeviceAddress::kNone;
  }
}

void HostDevice::Free(DeviceAddress address, int64_t bytes) noexcept {
  FreeBlockMemory(PointerTo(address), static_cast<size_t>(bytes));
  const std::scoped_lock lock(mutex_);
  used_bytes_ -= bytes;
}

std::shared_ptr<CopyEvent> HostDevice::CopyIn(DeviceAddress to, const std::byte* from,
                                              int64_t bytes) {
  return Enqueue(Direction::kIn, PointerTo(to), from, bytes);
}

std::shared_ptr<CopyEvent> HostDevice::CopyOut(std::byte* to, DeviceAddress from, int64_t bytes) {
  return Enqueue(Direction::kOut, to, PointerTo(from), bytes);
}

const std::byte* HostDevice::ReadableOnHost(DeviceAddress address) const {
  return PointerTo(address);
}

std::shared_ptr<CopyEvent> HostDevice::Enqueue(Direction direction, std::byte* to,
                                               const std::byte* from, int64_t bytes) {
  Stream& stream = direction == Direction::kIn ? in_ : out_;
  auto event = std::make_shared<Event>();
  // Held while the copy is added, so that copies run in the order of their numbers.
  const std::scoped_lock lock(mutex_);
  stream.work.Add([this, to, from, copy = Copy{direction, bytes, stream.queued++}, event] {
    try {
      if (gate_) gate_(copy);
      std::memcpy(to, from, static_cast<size_t>(copy.bytes));
      event->Finish();
    } catch (...) {
      event->Fail(std::current_exception());
    }
  });
  return event;
}

}  // namespace promptdb
