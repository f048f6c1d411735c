// Needs a build with -DPROMPTDB_CUDA=ON. Without a GPU only the errors are tested.
#include "cuda/cuda_device.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "base/error.h"
#include "storage/device_pool.h"

namespace promptdb {
namespace {

std::vector<std::byte> Noise(uint32_t seed, size_t bytes) {
  std::mt19937 random(seed);
  std::vector<std::byte> noise(bytes);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(random());
  return noise;
}

TEST(CudaDeviceTest, ADeviceThatIsNotThereIsAnError) {
  for (const int number : {-1, CudaDevices()}) {
    try {
      OpenCudaDevice(number);
      ADD_FAILURE() << "opened device " << number;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kResource) << error.message();
    }
  }
}

class CudaMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (CudaDevices() == 0) GTEST_SKIP() << "there is no GPU";
    device_ = OpenCudaDevice(0);
  }

  std::unique_ptr<DeviceMemory> device_;
};

TEST_F(CudaMemoryTest, BytesComeBackAsTheyWent) {
  EXPECT_EQ(device_->name(), "cuda:0");
  EXPECT_GT(device_->free_bytes(), 0);
  EXPECT_GE(device_->total_bytes(), device_->free_bytes());
  for (const size_t bytes : {1u, 1000u, 1u << 20, (1u << 21) + 1, 9'000'001u}) {
    const std::vector<std::byte> noise = Noise(static_cast<uint32_t>(bytes), bytes);
    std::vector<std::byte> back(bytes);
    const auto size = static_cast<int64_t>(bytes);
    const DeviceAddress there = device_->Allocate(size);
    ASSERT_NE(there, DeviceAddress::kNone);
    EXPECT_EQ(device_->ReadableOnHost(there), nullptr);
    device_->CopyIn(there, noise.data(), size)->Wait();
    device_->CopyOut(back.data(), there, size)->Wait();
    EXPECT_EQ(back, noise) << bytes << " bytes";
    device_->Free(there, size);
  }
  EXPECT_EQ(device_->Allocate(device_->total_bytes() * 2), DeviceAddress::kNone);
}

TEST_F(CudaMemoryTest, CopiesOfManyThreadsDoNotMix) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (uint32_t thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint32_t round = 0; round < 50; ++round) {
        const size_t bytes = 100'000 + 10'000 * thread;
        const std::vector<std::byte> noise = Noise(thread * 100 + round, bytes);
        std::vector<std::byte> back(bytes);
        const auto size = static_cast<int64_t>(bytes);
        const DeviceAddress there = device_->Allocate(size);
        device_->CopyIn(there, noise.data(), size)->Wait();
        device_->CopyOut(back.data(), there, size)->Wait();
        device_->Free(there, size);
        if (back != noise) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CudaMemoryTest, BlocksGoThereAndBackUnchanged) {
  constexpr int64_t kBytes = int64_t{1} << 20;
  BufferPool cpu(kBytes * 64, MakeLruPolicy);
  DevicePool pool(device_.get(), &cpu, kBytes * 8, MakeLruPolicy);
  const auto id_of = [](uint64_t n) { return BlockId{Digest{n, n}, 0}; };
  const auto noise_of = [](uint64_t n) { return Noise(static_cast<uint32_t>(n), kBytes); };
  for (uint64_t n = 0; n < 32; ++n) {
    BlockBuffer block(kBytes - kBlockHeaderBytes);
    std::memcpy(block.data(), noise_of(n).data(), kBytes);
    const auto pin = pool.Insert(id_of(n), std::move(block), 0);
    ASSERT_TRUE(pin && pin->Arrive());
  }
  EXPECT_EQ(pool.stats().copied_out, 24);
  EXPECT_EQ(pool.stats().failed_copies, 0);
  for (uint64_t n = 0; n < 32; ++n) {
    const std::optional<BlockBuffer> read = pool.Read(id_of(n));
    const std::optional<BlockPin> pin = cpu.Pin(id_of(n));
    ASSERT_NE(read.has_value(), pin.has_value());
    const BlockBuffer& block = read ? *read : pin->block();
    EXPECT_EQ(std::memcmp(block.data(), noise_of(n).data(), kBytes), 0) << "block " << n;
  }
}

}  // namespace
}  // namespace promptdb
