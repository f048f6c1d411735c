// The stand-in for a device, by itself.
#include "storage/host_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "base/error.h"
#include "tests/copy_gate.h"
#include "tests/support/expect_error.h"

namespace promptdb {
namespace {

using Direction = HostDevice::Direction;

TEST(HostDeviceTest, HasAsMuchMemoryAsItWasMadeWith) {
  HostDevice device(5000);
  const DeviceAddress first = device.Allocate(3000);
  ASSERT_NE(first, DeviceAddress::kNone);
  EXPECT_EQ(device.free_bytes(), 2000);
  EXPECT_EQ(device.Allocate(2001), DeviceAddress::kNone);
  const DeviceAddress second = device.Allocate(2000);
  ASSERT_NE(second, DeviceAddress::kNone);
  device.Free(first, 3000);
  EXPECT_EQ(device.free_bytes(), 3000);
  device.Free(second, 2000);
  EXPECT_GT(HostDevice().total_bytes(), 0);
}

TEST(HostDeviceTest, StreamsAreInOrderAndDoNotWaitForEachOther) {
  CopyGate gate;
  HostDevice device(std::nullopt, gate.AsGate());
  const DeviceAddress there = device.Allocate(8);
  gate.Shut(Direction::kIn);
  uint64_t one = 1, two = 2, back = 0;
  const auto first = device.CopyIn(there, reinterpret_cast<std::byte*>(&one), 8);
  const auto second = device.CopyIn(there, reinterpret_cast<std::byte*>(&two), 8);
  const uint64_t before = 7;
  std::memcpy(const_cast<std::byte*>(device.ReadableOnHost(there)), &before, 8);
  // Queued last, done first: the other direction has a stream of its own.
  device.CopyOut(reinterpret_cast<std::byte*>(&back), there, 8)->Wait();
  EXPECT_EQ(back, 7u);
  gate.Open(Direction::kIn);
  second->Wait();
  first->Wait();
  device.CopyOut(reinterpret_cast<std::byte*>(&back), there, 8)->Wait();
  EXPECT_EQ(back, 2u);
  device.Free(there, 8);
}

TEST(HostDeviceTest, AFailedCopyTellsEveryoneWhoWaits) {
  CopyGate gate;
  HostDevice device(std::nullopt, gate.AsGate());
  const DeviceAddress there = device.Allocate(8);
  gate.Fail(Direction::kIn);
  const uint64_t value = 1;
  const auto event = device.CopyIn(there, reinterpret_cast<const std::byte*>(&value), 8);
  for (int i = 0; i < 2; ++i)
    ExpectError(ErrorCode::kIo, {"the copy failed"}, [&] { event->Wait(); });
  gate.Open(Direction::kIn);
  device.CopyIn(there, reinterpret_cast<const std::byte*>(&value), 8)->Wait();
  device.Free(there, 8);
}

}  // namespace
}  // namespace promptdb
