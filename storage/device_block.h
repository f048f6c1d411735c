// Memory on a device that is freed with its owner.
//
// Move-only; not thread-safe.
#ifndef PROMPTDB_STORAGE_DEVICE_BLOCK_H_
#define PROMPTDB_STORAGE_DEVICE_BLOCK_H_

#include <utility>

#include "storage/device_memory.h"

namespace promptdb {

class DeviceBlock {
 public:
  DeviceBlock() = default;
  // `device` is borrowed. Not is_there() where the device has no room. REQUIRES: bytes > 0.
  DeviceBlock(DeviceMemory& device, int64_t bytes)
      : device_(&device), bytes_(bytes), address_(device.Allocate(bytes)) {}
  DeviceBlock(DeviceBlock&& other) noexcept { *this = std::move(other); }
  DeviceBlock& operator=(DeviceBlock&& other) noexcept {
    if (this != &other) {
      Free();
      device_ = other.device_;
      bytes_ = other.bytes_;
      address_ = std::exchange(other.address_, DeviceAddress::kNone);
    }
    return *this;
  }
  // REQUIRES: all that reads or writes it there is done.
  ~DeviceBlock() { Free(); }

  bool is_there() const { return address_ != DeviceAddress::kNone; }
  DeviceAddress address() const { return address_; }
  int64_t bytes() const { return is_there() ? bytes_ : 0; }
  // The address as kernels have it. Not for the host to read.
  std::byte* data() const { return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(address_)); }

 private:
  void Free() noexcept {
    if (is_there()) device_->Free(address_, bytes_);
    address_ = DeviceAddress::kNone;
  }

  DeviceMemory* device_ = nullptr;
  int64_t bytes_ = 0;
  DeviceAddress address_ = DeviceAddress::kNone;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_DEVICE_BLOCK_H_
