// States in all tiers: what StateCache brings to a device, and back.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "base/error.h"
#include "storage/host_device.h"
#include "storage/state_cache.h"
#include "tests/kv_pattern.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

constexpr KvShape kShape{6, 4, 128, KvDtype::kBf16};  // 12 KiB a token
constexpr int kTokens = 300;                          // several blocks
constexpr int64_t kAmple = int64_t{1} << 30;

Digest Key(uint64_t n) { return {n * 0x9e3779b97f4a7c15u, n}; }

const int64_t kStateBytes = BlockGrid(kShape, kTokens).TotalBytes();

// All tiers on a folder, with a device whose copies can be made to fail.
struct Tiers {
  Tiers(const std::filesystem::path& folder, int64_t device_bytes, int64_t cpu_bytes = kAmple)
      : device(std::nullopt,
               [this](const HostDevice::Copy& copy) {
                 const bool in = copy.direction == HostDevice::Direction::kIn;
                 if (in ? fails_in : fails_out) {
                   throw Error(ErrorCode::kIo, "the copy failed, since the test wants it to");
                 }
               }),
        rocks(folder),
        pool(cpu_bytes, MakeLruPolicy),
        device_pool(&device, &pool, device_bytes, MakeLruPolicy),
        cache(&rocks, &pool, &device_pool) {}

  KvSegment Publish(uint64_t n, Tier home) {
    StateManifest manifest;
    manifest.key = Key(n);
    manifest.shape = kShape;
    manifest.tokens = kTokens;
    manifest.label = "s.m" + std::to_string(n);
    manifest.token_ids.assign(kTokens, static_cast<int32_t>(n));
    manifest.encode_ms = 10;
    return cache.Publish(manifest, PatternSegment(kShape, 0, kTokens, static_cast<uint32_t>(n)),
                         home);
  }

  std::optional<StateCache::Acquired> Acquire(uint64_t n, Tier home) {
    return cache.Acquire(Key(n), &no_room, home);
  }
  // "gpu", "cpu", "disk" by where a state was, "absent", or what is wrong with it.
  std::string Look(uint64_t n, Tier home) {
    const auto acquired = Acquire(n, home);
    if (!acquired) return "absent";
    const std::string mismatch = Mismatch(acquired->segment, n);
    return mismatch.empty() ? std::string(TierName(acquired->tier)) : mismatch;
  }
  static std::string Mismatch(const KvSegment& segment, uint64_t n) {
    return PatternMismatch(segment, static_cast<uint32_t>(n), 0, kTokens);
  }
  std::string TierOf(uint64_t n, Tier home = Tier::kGpu) {
    return std::string(TierName(cache.Probe(Key(n), home).tier));
  }

  std::atomic<bool> fails_in = false, fails_out = false;
  HostDevice device;
  Rocks rocks;
  BufferPool pool;
  DevicePool device_pool;
  StateCache cache;
  bool no_room = false;
};

class DeviceStatesTest : public testing::Test {
 protected:
  TemporaryFolder folder_{"device"};
};

TEST_F(DeviceStatesTest, StatesComeFromEveryTier) {
  {
    Tiers tiers(folder_ / "db", kAmple);
    const KvSegment published = tiers.Publish(1, Tier::kGpu);
    EXPECT_EQ(Tiers::Mismatch(published, 1), "");
    EXPECT_EQ(tiers.TierOf(1), "gpu");
    // For a model on the processor it is where it reads.
    EXPECT_EQ(tiers.TierOf(1, Tier::kCpu), "cpu");
    EXPECT_EQ(tiers.device_pool.stats().pinned_bytes, kStateBytes);
  }
  Tiers tiers(folder_ / "db", kAmple);
  EXPECT_EQ(tiers.TierOf(1), "disk");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "disk");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "gpu");
  // On its way it has come into the CPU tier, where others find it.
  EXPECT_EQ(tiers.Look(1, Tier::kCpu), "cpu");
  EXPECT_EQ(tiers.cache.Probe(Key(1)).memory_bytes, kStateBytes);

  EXPECT_EQ(tiers.cache.EvictFromDevice(Key(1)), kStateBytes);
  EXPECT_EQ(tiers.TierOf(1), "cpu");
  EXPECT_EQ(tiers.device_pool.stats().copied_out, 0);
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "cpu");

  EXPECT_EQ(tiers.cache.EvictFromMemory(Key(1)), kStateBytes);
  EXPECT_EQ(tiers.TierOf(1), "gpu");
  EXPECT_EQ(tiers.TierOf(1, Tier::kCpu), "gpu");
  const int64_t read = tiers.cache.stats().read_bytes;
  EXPECT_EQ(tiers.Look(1, Tier::kCpu), "gpu");
  EXPECT_EQ(tiers.cache.stats().read_bytes, read);  // copied from the device, not read
  EXPECT_EQ(tiers.Look(1, Tier::kCpu), "cpu");

  tiers.cache.EvictFromMemory(Key(1));
  EXPECT_EQ(tiers.cache.EvictFromDevice(Key(1)), kStateBytes);
  EXPECT_EQ(tiers.TierOf(1), "cpu");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "cpu");

  const StateCacheStats stats = tiers.cache.stats();
  EXPECT_EQ(stats.gpu_hits, 1);
  EXPECT_EQ(stats.disk_hits, 1);
  EXPECT_EQ(stats.cpu_hits, 5);
  tiers.cache.Erase(Key(1));
  EXPECT_EQ(tiers.device_pool.stats().used_bytes, 0);
  EXPECT_EQ(tiers.pool.stats().used_bytes, 0);
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "absent");
}

TEST_F(DeviceStatesTest, StatesThatAreSpreadOverTheTiers) {
  Tiers tiers(folder_ / "db", kAmple);
  tiers.Publish(1, Tier::kGpu);
  tiers.cache.EvictFromMemory(Key(1));
  // Some of the blocks leave the device, and come to the CPU tier.
  tiers.device_pool.SetBudget(kStateBytes / 2);
  tiers.device_pool.SetBudget(kAmple);
  const StateInfo info = tiers.cache.Probe(Key(1), Tier::kGpu);
  EXPECT_EQ(info.tier, Tier::kCpu);
  EXPECT_GT(info.gpu_bytes, 0);
  EXPECT_GT(info.cpu_bytes, 0);
  EXPECT_EQ(info.memory_bytes, kStateBytes);
  EXPECT_EQ(tiers.cache.Probe(Key(1), Tier::kCpu).tier, Tier::kGpu);
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "cpu");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "gpu");
  EXPECT_EQ(tiers.Look(1, Tier::kCpu), "gpu");
  EXPECT_EQ(tiers.cache.stats().read_bytes, 0);
}

TEST_F(DeviceStatesTest, WithoutRoomOnTheDeviceTheCpuTierServes) {
  Tiers tiers(folder_ / "db", kStateBytes * 3 / 2);
  const KvSegment first = tiers.Publish(1, Tier::kGpu);
  const KvSegment second = tiers.Publish(2, Tier::kGpu);
  EXPECT_EQ(tiers.TierOf(1), "gpu");
  EXPECT_EQ(tiers.TierOf(2), "cpu");
  EXPECT_EQ(Tiers::Mismatch(second, 2), "");
  {
    const auto acquired = tiers.Acquire(2, Tier::kGpu);
    ASSERT_TRUE(acquired);
    EXPECT_TRUE(acquired->lacked_device_room);
    EXPECT_FALSE(tiers.no_room);
    EXPECT_EQ(acquired->tier, Tier::kCpu);
  }
  EXPECT_LE(tiers.device_pool.stats().used_bytes, kStateBytes * 3 / 2);
  EXPECT_FALSE(tiers.Acquire(1, Tier::kGpu)->lacked_device_room);
  // Without a budget there is no device tier, and nobody lacks it.
  tiers.cache.SetDeviceBudget(0);
  EXPECT_FALSE(tiers.cache.HasDevice());
  EXPECT_FALSE(tiers.Acquire(2, Tier::kGpu)->lacked_device_room);
}

TEST_F(DeviceStatesTest, ADeviceLargerThanTheCpuTier) {
  { Tiers(folder_ / "db", 0).Publish(1, Tier::kCpu); }
  Tiers tiers(folder_ / "db", kAmple, 1000);
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "disk");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "gpu");
  EXPECT_EQ(tiers.pool.stats().used_bytes, 0);
}

TEST_F(DeviceStatesTest, FailedCopiesLoseNothing) {
  Tiers tiers(folder_ / "db", kStateBytes);
  tiers.fails_in = true;
  const KvSegment published = tiers.Publish(1, Tier::kGpu);
  EXPECT_EQ(Tiers::Mismatch(published, 1), "");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "gpu");  // as it seemed; it is read on the host
  EXPECT_GT(tiers.device_pool.stats().failed_copies, 0);
  {
    const KvSegment done = tiers.Publish(2, Tier::kGpu);
    EXPECT_EQ(Tiers::Mismatch(done, 2), "");
  }
  EXPECT_EQ(tiers.TierOf(2), "cpu");
  tiers.fails_in = false;
}

TEST_F(DeviceStatesTest, BlocksThatCannotLeaveKeepTheirRoom) {
  Tiers tiers(folder_ / "db", kStateBytes);
  tiers.Publish(1, Tier::kGpu);
  tiers.Publish(2, Tier::kCpu);
  tiers.cache.EvictFromMemory(Key(1));
  tiers.fails_out = true;
  const auto acquired = tiers.Acquire(2, Tier::kGpu);
  ASSERT_TRUE(acquired);
  EXPECT_TRUE(acquired->lacked_device_room);
  EXPECT_EQ(Tiers::Mismatch(acquired->segment, 2), "");
  EXPECT_EQ(tiers.TierOf(1), "gpu");
  EXPECT_EQ(tiers.Look(1, Tier::kGpu), "gpu");
  EXPECT_EQ(tiers.Look(1, Tier::kCpu), "disk");  // it can't be copied, but read
  tiers.fails_out = false;
}

TEST_F(DeviceStatesTest, PoliciesKeepStatesWhereTheirModelReadsThem) {
  Tiers tiers(folder_ / "db", kStateBytes * 3);
  tiers.cache.SetPinBudget(kStateBytes * 2);
  StatePolicy pinned;
  pinned.is_pinned = true;
  for (const uint64_t n : {1, 2, 3}) tiers.cache.SetPolicy(Key(n), pinned);
  tiers.Publish(1, Tier::kGpu);
  EXPECT_TRUE(tiers.cache.IsHeld(Key(1)));
  EXPECT_EQ(tiers.device_pool.stats().pinned_bytes, kStateBytes);
  EXPECT_EQ(tiers.pool.stats().pinned_bytes, 0);
  // One that the CPU tier keeps is kept on the device once it is used there, and counts once.
  tiers.Publish(2, Tier::kCpu);
  EXPECT_EQ(tiers.pool.stats().pinned_bytes, kStateBytes);
  EXPECT_EQ(tiers.Look(2, Tier::kGpu), "cpu");
  EXPECT_EQ(tiers.pool.stats().pinned_bytes, 0);
  EXPECT_EQ(tiers.device_pool.stats().pinned_bytes, kStateBytes * 2);
  EXPECT_EQ(tiers.Look(2, Tier::kCpu), "cpu");
  EXPECT_EQ(tiers.cache.stats().held_bytes, kStateBytes * 2);
  tiers.Publish(3, Tier::kGpu);
  EXPECT_FALSE(tiers.cache.IsHeld(Key(3)));  // pin_cache is full
  // A smaller budget of the device lowers what policies keep there.
  tiers.cache.SetDeviceBudget(kStateBytes);
  EXPECT_EQ(tiers.device_pool.stats().used_bytes, kStateBytes);
  EXPECT_EQ(tiers.cache.stats().held_bytes, kStateBytes);
  tiers.cache.SetDeviceBudget(0);
  EXPECT_EQ(tiers.device_pool.stats().used_bytes, 0);
  EXPECT_EQ(tiers.cache.stats().held_bytes, 0);
}

TEST_F(DeviceStatesTest, TiersAgreeUnderManyThreads) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const int64_t device_budget = kStateBytes * 3, cpu_budget = kStateBytes * 9 / 2;
  Tiers tiers(folder_ / "db", device_budget, cpu_budget);
  constexpr uint64_t kStates = 6;
  for (uint64_t n = 0; n < kStates; ++n) tiers.Publish(n, n % 2 == 0 ? Tier::kGpu : Tier::kCpu);
  std::atomic<bool> failed = false, done = false;
  std::atomic<int64_t> whole = 0, lacked = 0;
  const auto work = [&](uint32_t thread) {
    std::mt19937 random(seed + thread);
    std::vector<std::pair<uint64_t, KvSegment>> held;
    for (int step = 0; step < 60; ++step) {
      const uint64_t n = random() % kStates;
      const Tier home = random() % 3 == 0 ? Tier::kCpu : Tier::kGpu;
      switch (random() % 8) {
        case 0:
          tiers.cache.EvictFromDevice(Key(n));
          break;
        case 1:
          tiers.cache.EvictFromMemory(Key(n));
          break;
        case 2:
          if (thread == 0) tiers.cache.Erase(Key(n));
          break;
        case 3:
          held.emplace_back(n, tiers.Publish(n, home));
          break;
        default: {
          bool no_room = false;
          auto acquired = tiers.cache.Acquire(Key(n), &no_room, home);
          if (!acquired) break;
          if (acquired->lacked_device_room) ++lacked;
          held.emplace_back(n, std::move(acquired->segment));
        }
      }
      if (held.size() > 1) held.erase(held.begin());
      for (const auto& [key, segment] : held) {
        if (!Tiers::Mismatch(segment, key).empty()) failed = true;
        ++whole;
      }
    }
  };
  std::thread watcher([&] {
    while (!done) {
      if (tiers.device_pool.stats().used_bytes > device_budget) failed = true;
      if (tiers.device.total_bytes() - tiers.device.free_bytes() > device_budget) failed = true;
      if (tiers.pool.stats().used_bytes > cpu_budget) failed = true;
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 3; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  done = true;
  watcher.join();
  EXPECT_FALSE(failed);
  EXPECT_GT(whole, 0);
  const StateCacheStats stats = tiers.cache.stats();
  EXPECT_GT(stats.gpu_hits, 0);
  EXPECT_EQ(stats.corrupt, 0);
  EXPECT_EQ(tiers.device_pool.stats().pinned_bytes, 0);
  EXPECT_EQ(tiers.pool.stats().pinned_bytes, 0);
}

}  // namespace
}  // namespace promptdb
