// Memory on a device that is freed with its owner.
//
// Move-only; not thread-safe.
#ifndef PROMPTDB_STORAGE_DEVICE_BLOCK_H_
#define PROMPTDB_STORAGE_DEVICE_BLOCK_H_

#include <string>
#include <utility>

#include "base/error.h"
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
  std::byte* data() const { return PointerTo(address_); }

 private:
  void Free() noexcept {
    if (is_there()) device_->Free(address_, bytes_);
    address_ = DeviceAddress::kNone;
  }

  DeviceMemory* device_ = nullptr;
  int64_t bytes_ = 0;
  DeviceAddress address_ = DeviceAddress::kNone;
};

// Memory for `what`, as "device host has no room for … (8 bytes; 4 of 16 are free)" says where the
// device has none: throws Error(kResource) with that hint. REQUIRES: bytes > 0.
inline DeviceBlock AllocateOrThrow(DeviceMemory& device, int64_t bytes, const std::string& what,
                                   const std::string& hint) {
  DeviceBlock block(device, bytes);
  if (block.is_there()) return block;
  throw Error(ErrorCode::kResource,
              "device " + device.name() + " has no room for " + what + " (" +
                  std::to_string(bytes) + " bytes; " + std::to_string(device.free_bytes()) +
                  " of " + std::to_string(device.total_bytes()) + " are free)",
              hint);
}

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_DEVICE_BLOCK_H_
