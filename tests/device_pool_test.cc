#include "storage/device_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <random>
#include <thread>

#include "base/error.h"
#include "storage/host_device.h"
#include "storage/kv_segment.h"
#include "tests/copy_gate.h"

namespace promptdb {
namespace {

constexpr int64_t kBlock = 1000;

BlockId Id(uint64_t state, int index = 0) { return {Digest{state, state * 7}, index}; }

// A block that says which it is.
BlockBuffer Block(const BlockId& id, int64_t bytes = kBlock) {
  BlockBuffer block(bytes - kBlockHeaderBytes);
  std::memset(block.data(), static_cast<int>(id.state.high * 16 + static_cast<uint64_t>(id.index)),
              static_cast<size_t>(bytes));
  return block;
}

bool Says(const std::byte* data, const BlockId& id, int64_t bytes = kBlock) {
  return std::memcmp(data, Block(id, bytes).data(), static_cast<size_t>(bytes)) == 0;
}

using Direction = HostDevice::Direction;

// A device of exactly the pool's budget, so that one byte more could not be allocated.
struct Tiers {
  explicit Tiers(int64_t device_bytes, int64_t cpu_bytes = 100'000)
      : device(device_bytes, gate.AsGate()),
        cpu(cpu_bytes, MakeLruPolicy),
        pool(&device, &cpu, device_bytes, MakeLruPolicy) {}

  std::optional<DevicePin> Insert(const BlockId& id, double cost_ms = 0) {
    return pool.Insert(id, Block(id), cost_ms);
  }
  bool Put(const BlockId& id) {
    const auto pin = Insert(id);
    return pin && pin->Arrive();
  }
  int64_t allocated() const { return device.total_bytes() - device.free_bytes(); }

  CopyGate gate;
  HostDevice device;
  BufferPool cpu;
  DevicePool pool;
};

TEST(DevicePoolTest, BlocksFromEitherSourceAreReadOnTheDevice) {
  Tiers tiers(10'000);
  EXPECT_FALSE(tiers.pool.Pin(Id(1)));
  {
    const auto own = tiers.pool.Insert(Id(1), Block(Id(1)), 0);
    ASSERT_TRUE(own && own->Arrive());
    EXPECT_TRUE(Says(own->data(), Id(1)));
    EXPECT_EQ(own->data(), tiers.device.ReadableOnHost(own->address()));
    EXPECT_EQ(own->size(), kBlock);
    auto cpu_pin = tiers.cpu.Insert(Id(2), Block(Id(2)));
    const auto promoted = tiers.pool.Insert(Id(2), *std::move(cpu_pin), 0);
    ASSERT_TRUE(promoted && promoted->Arrive());
    EXPECT_TRUE(Says(promoted->data(), Id(2)));
    // Its source is let go as soon as it has arrived.
    EXPECT_EQ(tiers.cpu.stats().pinned_bytes, 0);
    const auto again = tiers.pool.Pin(Id(2));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->data(), promoted->data());
    const DevicePoolStats stats = tiers.pool.stats();
    EXPECT_EQ(stats.used_bytes, 2000);
    EXPECT_EQ(stats.pinned_bytes, 2000);
    EXPECT_EQ(stats.hits, 1);
    EXPECT_EQ(stats.misses, 1);
    EXPECT_EQ(stats.copied_in, 2);
  }
  EXPECT_EQ(tiers.pool.stats().pinned_bytes, 0);
  EXPECT_EQ(tiers.allocated(), 2000);
  EXPECT_EQ(tiers.pool.Clear(), 2000);
  EXPECT_EQ(tiers.allocated(), 0);
}

TEST(DevicePoolTest, MovesToAnotherDeviceUnlessBlocksArePinned) {
  HostDevice other(10'000);
  Tiers tiers(10'000);
  ASSERT_TRUE(tiers.Put(Id(1)));
  {
    const auto pin = tiers.pool.Pin(Id(1));
    ASSERT_TRUE(tiers.Put(Id(2)));
    EXPECT_FALSE(tiers.pool.MoveTo(&other));
    EXPECT_TRUE(Says(pin->data(), Id(1)));
    EXPECT_FALSE(tiers.pool.Contains(Id(2)));
  }
  EXPECT_TRUE(tiers.pool.MoveTo(&other));
  EXPECT_EQ(tiers.allocated(), 0);
  ASSERT_TRUE(tiers.Put(Id(3)));
  EXPECT_EQ(tiers.allocated(), 0);
  EXPECT_EQ(other.total_bytes() - other.free_bytes(), 1000);
  EXPECT_EQ(tiers.pool.Clear(), 1000);
}

TEST(DevicePoolTest, ASourceStaysPinnedUntilItHasArrived) {
  Tiers tiers(10'000, 1000);
  tiers.gate.Shut(Direction::kIn);
  auto source = tiers.cpu.Insert(Id(1), Block(Id(1)));
  auto pin = tiers.pool.Insert(Id(1), *std::move(source), 0);
  ASSERT_TRUE(pin);
  tiers.gate.AwaitCopy(Direction::kIn);
  // What is on its way counts, in both tiers.
  EXPECT_EQ(tiers.pool.stats().used_bytes, 1000);
  EXPECT_EQ(tiers.cpu.stats().pinned_bytes, 1000);
  EXPECT_FALSE(tiers.cpu.Insert(Id(2), Block(Id(2))));
  // Another query that wants the block waits for the same copy.
  auto other = std::async(std::launch::async, [&] {
    const auto second = tiers.pool.Pin(Id(1));
    return second && Says(second->data(), Id(1));
  });
  EXPECT_EQ(other.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  tiers.gate.Open(Direction::kIn);
  EXPECT_TRUE(other.get());
  EXPECT_TRUE(Says(pin->data(), Id(1)));
  EXPECT_EQ(tiers.pool.stats().copied_in, 1);
  EXPECT_TRUE(tiers.cpu.Insert(Id(2), Block(Id(2))));
}

TEST(DevicePoolTest, APinThatGoesEarlyWaitsForItsCopy) {
  Tiers tiers(10'000);
  tiers.gate.Shut(Direction::kIn);
  auto pin = tiers.Insert(Id(1));
  auto gone = std::async(std::launch::async, [&] { pin.reset(); });
  EXPECT_EQ(gone.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  tiers.gate.Open(Direction::kIn);
  gone.get();
  const auto again = tiers.pool.Pin(Id(1));
  ASSERT_TRUE(again);
  EXPECT_TRUE(Says(again->data(), Id(1)));
}

TEST(DevicePoolTest, WhatMakesRoomGoesToTheCpuTierAndBack) {
  Tiers tiers(3000);
  for (const uint64_t state : {1, 2, 3}) ASSERT_TRUE(tiers.Put(Id(state)));
  ASSERT_TRUE(tiers.pool.Pin(Id(1)));  // 2 is the oldest now
  ASSERT_TRUE(tiers.Put(Id(4)));
  EXPECT_FALSE(tiers.pool.Contains(Id(2)));
  EXPECT_EQ(tiers.pool.stats().copied_out, 1);
  EXPECT_EQ(tiers.pool.stats().evictions, 1);
  EXPECT_EQ(tiers.allocated(), 3000);
  auto demoted = tiers.cpu.Pin(Id(2));
  ASSERT_TRUE(demoted);
  EXPECT_TRUE(Says(demoted->block().data(), Id(2)));
  // Back again, from there; 3 goes for it, and 2 is not copied out once more.
  const auto back = tiers.pool.Insert(Id(2), *std::move(demoted), 0);
  ASSERT_TRUE(back);
  EXPECT_TRUE(Says(back->data(), Id(2)));
  EXPECT_FALSE(tiers.pool.Contains(Id(3)));
  EXPECT_TRUE(tiers.cpu.Contains(Id(3)));
  EXPECT_EQ(tiers.pool.stats().copied_out, 2);
}

TEST(DevicePoolTest, WhatTheCpuTierHasAlreadyIsJustDropped) {
  Tiers tiers(1000);
  ASSERT_TRUE(tiers.cpu.Insert(Id(1), Block(Id(1))));
  ASSERT_TRUE(tiers.pool.Insert(Id(1), *tiers.cpu.Pin(Id(1)), 0));
  ASSERT_TRUE(tiers.Put(Id(2)));
  EXPECT_FALSE(tiers.pool.Contains(Id(1)));
  EXPECT_TRUE(tiers.cpu.Contains(Id(1)));
  EXPECT_EQ(tiers.pool.stats().copied_out, 0);
}

TEST(DevicePoolTest, WhatTheCpuTierHasNoRoomForIsDropped) {
  Tiers tiers(1000, 1500);
  const auto in_the_way = tiers.cpu.Insert(Id(9), Block(Id(9)));
  ASSERT_TRUE(tiers.Put(Id(1)));
  ASSERT_TRUE(tiers.Put(Id(2)));
  EXPECT_FALSE(tiers.pool.Contains(Id(1)));
  EXPECT_FALSE(tiers.cpu.Contains(Id(1)));
  EXPECT_EQ(tiers.cpu.stats().used_bytes, 1000);
}

TEST(DevicePoolTest, CostsGoWithTheBlocks) {
  CopyGate gate;
  HostDevice device(2000, gate.AsGate());
  BufferPool cpu(2000, MakeGdsfPolicy);
  DevicePool pool(&device, &cpu, 2000, MakeGdsfPolicy);
  const auto put = [&](uint64_t state, double cost_ms) {
    return pool.Insert(Id(state), Block(Id(state)), cost_ms).has_value();
  };
  ASSERT_TRUE(put(1, 100) && put(2, 10) && put(3, 90) && put(4, 20));
  EXPECT_TRUE(pool.Contains(Id(1)));
  EXPECT_TRUE(pool.Contains(Id(4)));
  // 2 went down first, then 3; and there, too, 2 goes before 3.
  ASSERT_TRUE(cpu.Insert(Id(5), Block(Id(5)), 50));
  EXPECT_TRUE(cpu.Contains(Id(3)));
  EXPECT_FALSE(cpu.Contains(Id(2)));
}

TEST(DevicePoolTest, PinnedBlocksAreNeverMoved) {
  Tiers tiers(2000);
  auto first = tiers.Insert(Id(1));
  auto second = tiers.Insert(Id(2));
  ASSERT_TRUE(first && second);
  const std::byte* const place = first->data();
  HostBlock third = Block(Id(3));
  EXPECT_FALSE(tiers.pool.Insert(Id(3), std::move(third), 0));
  EXPECT_TRUE(Says(std::get<BlockBuffer>(third).data(), Id(3)));  // NOLINT: left as it was
  EXPECT_EQ(tiers.pool.stats().rejected, 1);
  EXPECT_EQ(tiers.pool.stats().evictions, 0);
  EXPECT_EQ(tiers.pool.EvictState(Id(1).state), 0);
  EXPECT_EQ(tiers.pool.Clear(), 0);
  tiers.pool.SetBudget(500);
  EXPECT_EQ(first->data(), place);
  EXPECT_TRUE(Says(place, Id(1)));
  // A smaller budget holds as soon as pins allow it.
  second.reset();
  EXPECT_EQ(tiers.pool.stats().used_bytes, 1000);
  first.reset();
  EXPECT_EQ(tiers.pool.stats().used_bytes, 0);
  EXPECT_EQ(tiers.allocated(), 0);
}

TEST(DevicePoolTest, ASmallerBudgetSendsBlocksDown) {
  Tiers tiers(4000);
  for (const uint64_t state : {1, 2, 3, 4}) ASSERT_TRUE(tiers.Put(Id(state)));
  tiers.pool.SetBudget(2500);
  EXPECT_EQ(tiers.pool.stats().used_bytes, 2000);
  for (const uint64_t state : {1, 2}) EXPECT_TRUE(tiers.cpu.Contains(Id(state)));
  // Where they can't be copied, the budget holds nevertheless.
  tiers.gate.Fail(Direction::kOut);
  tiers.pool.SetBudget(0);
  EXPECT_EQ(tiers.pool.stats().used_bytes, 0);
  EXPECT_EQ(tiers.cpu.stats().blocks, 2);
}

TEST(DevicePoolTest, EvictedStatesGoDownErasedOnesGo) {
  Tiers tiers(10'000);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tiers.Put(Id(1, i)));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(tiers.Put(Id(2, i)));
  EXPECT_EQ(tiers.pool.EvictState(Id(1).state), 3000);
  EXPECT_EQ(tiers.cpu.StateBytes(Id(1).state), 3000);
  auto pin = tiers.pool.Pin(Id(2, 1));
  EXPECT_EQ(tiers.pool.EraseState(Id(2).state), 1000);
  EXPECT_TRUE(Says(pin->data(), Id(2, 1)));
  pin.reset();
  EXPECT_EQ(tiers.pool.StateBytes(Id(2).state), 0);
  EXPECT_EQ(tiers.cpu.StateBytes(Id(2).state), 0);
  EXPECT_EQ(tiers.allocated(), 0);
}

TEST(DevicePoolTest, LowerPrioritiesLeaveFirst) {
  Tiers tiers(3000);
  tiers.pool.SetPriority(Id(1).state, 1);
  for (const uint64_t state : {1, 2, 3, 4, 5}) ASSERT_TRUE(tiers.Put(Id(state)));
  EXPECT_TRUE(tiers.pool.Contains(Id(1)));
  tiers.pool.SetPolicy(MakeS3FifoPolicy);
  for (const uint64_t state : {6, 7, 8}) ASSERT_TRUE(tiers.Put(Id(state)));
  EXPECT_TRUE(tiers.pool.Contains(Id(1)));
}

// ---- Copies that are late, or fail -------------------------------------------------------------

TEST(DevicePoolTest, ABlockThatIsPinnedWhileItLeavesStays) {
  Tiers tiers(1000);
  ASSERT_TRUE(tiers.Put(Id(1)));
  tiers.gate.Shut(Direction::kOut);
  auto insert = std::async(std::launch::async, [&] { return tiers.Insert(Id(2)).has_value(); });
  tiers.gate.AwaitCopy(Direction::kOut);
  // It leaves, but is there as long as it does; its room is not given away before that.
  EXPECT_EQ(tiers.pool.stats().used_bytes, 1000);
  EXPECT_EQ(tiers.cpu.stats().used_bytes, 1000);
  auto pin = tiers.pool.Pin(Id(1));
  ASSERT_TRUE(pin);
  const std::byte* const place = pin->data();
  tiers.gate.Open(Direction::kOut);
  EXPECT_FALSE(insert.get());  // all that is left is pinned
  EXPECT_EQ(pin->data(), place);
  EXPECT_TRUE(Says(place, Id(1)));
  EXPECT_TRUE(tiers.cpu.Contains(Id(1)));
  pin.reset();
  EXPECT_TRUE(tiers.Put(Id(2)));
}

TEST(DevicePoolTest, ABlockThatIsErasedWhileItLeavesComesNowhere) {
  Tiers tiers(1000);
  ASSERT_TRUE(tiers.Put(Id(1)));
  for (const bool fails : {false, true}) {
    tiers.gate.Shut(Direction::kOut);
    auto evict = std::async(std::launch::async, [&] { return tiers.pool.EvictState(Id(1).state); });
    tiers.gate.AwaitCopy(Direction::kOut);
    EXPECT_EQ(tiers.pool.EraseState(Id(1).state), 0);
    if (fails) {
      tiers.gate.Fail(Direction::kOut);
    } else {
      tiers.gate.Open(Direction::kOut);
    }
    EXPECT_EQ(evict.get(), 1000);
    EXPECT_FALSE(tiers.pool.Contains(Id(1)));
    EXPECT_FALSE(tiers.cpu.Contains(Id(1)));
    EXPECT_EQ(tiers.cpu.stats().used_bytes, 0);
    EXPECT_EQ(tiers.allocated(), 0);
    ASSERT_TRUE(tiers.Put(Id(1)));
  }
}

TEST(DevicePoolTest, ABlockThatDoesNotArriveIsReadOnTheHost) {
  Tiers tiers(2000, 1000);
  tiers.gate.Fail(Direction::kIn);
  {
    auto source = tiers.cpu.Insert(Id(1), Block(Id(1)));
    const std::byte* const on_host = source->block().data();
    const auto pin = tiers.pool.Insert(Id(1), *std::move(source), 0);
    ASSERT_TRUE(pin);
    EXPECT_FALSE(pin->Arrive());
    EXPECT_EQ(pin->data(), on_host);
    EXPECT_TRUE(Says(pin->data(), Id(1)));
    // Whoever else comes reads it there as well.
    const auto other = tiers.pool.Insert(Id(1), Block(Id(1)), 0);
    ASSERT_TRUE(other);
    EXPECT_EQ(other->data(), on_host);
    EXPECT_FALSE(tiers.pool.Read(Id(1)));
    const auto own = tiers.Insert(Id(2));
    ASSERT_TRUE(own);
    EXPECT_TRUE(Says(own->data(), Id(2)));
    EXPECT_EQ(tiers.pool.stats().failed_copies, 2);
  }
  // It is not taken for one that is there.
  EXPECT_FALSE(tiers.pool.Contains(Id(1)));
  EXPECT_EQ(tiers.pool.stats().used_bytes, 0);
  EXPECT_EQ(tiers.allocated(), 0);
  EXPECT_EQ(tiers.cpu.stats().pinned_bytes, 0);
  tiers.gate.Open(Direction::kIn);
  const auto pin = tiers.pool.Insert(Id(1), *tiers.cpu.Pin(Id(1)), 0);
  EXPECT_TRUE(pin && pin->Arrive());
}

TEST(DevicePoolTest, ADeviceWithLessMemoryThanTheBudgetSays) {
  HostDevice device(1500);
  BufferPool cpu(10'000, MakeLruPolicy);
  DevicePool pool(&device, &cpu, 5000, MakeLruPolicy);
  const auto first = pool.Insert(Id(1), Block(Id(1)), 0);
  const auto second = pool.Insert(Id(2), Block(Id(2)), 0);
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(first->Arrive());
  EXPECT_FALSE(second->Arrive());
  EXPECT_TRUE(Says(second->data(), Id(2)));
}

TEST(DevicePoolTest, ABlockThatCannotLeaveStays) {
  Tiers tiers(1000);
  ASSERT_TRUE(tiers.Put(Id(1)));
  tiers.gate.Fail(Direction::kOut);
  HostBlock second = Block(Id(2));
  EXPECT_FALSE(tiers.pool.Insert(Id(2), std::move(second), 0));
  EXPECT_TRUE(Says(std::get<BlockBuffer>(second).data(), Id(2)));  // NOLINT: left as it was
  EXPECT_EQ(tiers.pool.EvictState(Id(1).state), 0);
  EXPECT_EQ(tiers.pool.stats().failed_copies, 2);
  EXPECT_EQ(tiers.cpu.stats().used_bytes, 0);
  {
    const auto pin = tiers.pool.Pin(Id(1));
    ASSERT_TRUE(pin);
    EXPECT_TRUE(Says(pin->data(), Id(1)));
    EXPECT_FALSE(tiers.pool.Read(Id(1)));
  }
  tiers.gate.Open(Direction::kOut);
  const std::optional<BlockBuffer> read = tiers.pool.Read(Id(1));
  ASSERT_TRUE(read);
  EXPECT_TRUE(Says(read->data(), Id(1)));
  EXPECT_TRUE(tiers.Put(Id(2)));
  EXPECT_TRUE(tiers.cpu.Contains(Id(1)));
}

// Slices of a layer wait for that layer's blocks, and no others.
TEST(DevicePoolTest, LayersAreReadAsTheyArrive) {
  const KvShape shape{.layers = 3, .kv_heads = 8, .head_dim = 128, .dtype = KvDtype::kF32};
  constexpr int kTokens = 100;
  const BlockGrid grid(shape, kTokens);
  ASSERT_EQ(grid.groups(), 3);
  std::mutex mutex;
  std::condition_variable changed;
  int64_t let_through = 0;
  HostDevice device(std::nullopt, [&](const HostDevice::Copy& copy) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return copy.number < let_through; });
  });
  const auto let = [&](int64_t copies) {
    const std::scoped_lock lock(mutex);
    let_through = copies;
    changed.notify_all();
  };
  BufferPool cpu(int64_t{64} << 20, MakeLruPolicy);
  DevicePool pool(&device, &cpu, int64_t{64} << 20, MakeLruPolicy);
  std::vector<DevicePin> pins;
  for (int i = 0; i < grid.blocks(); ++i) {
    BlockBuffer block(grid.Extent(i).payload_bytes);
    std::memset(block.data(), i, static_cast<size_t>(block.size()));
    auto pin = pool.Insert({Id(1).state, i}, std::move(block), 0);
    ASSERT_TRUE(pin);
    pins.push_back(*std::move(pin));
  }
  const KvSegment segment(shape, 0, kTokens, std::move(pins));
  EXPECT_TRUE(segment.is_pinned());
  EXPECT_EQ(segment.bytes(), grid.TotalBytes());
  for (int layer = 0; layer < shape.layers; ++layer) {
    let(int64_t{grid.chunks()} * (layer + 1));
    std::vector<KvSlice> slices;
    segment.AppendSlices(layer, 0, kTokens, slices);
    ASSERT_EQ(slices.size(), static_cast<size_t>(grid.chunks()));
    for (int chunk = 0; chunk < grid.chunks(); ++chunk) {
      EXPECT_EQ(slices[static_cast<size_t>(chunk)].k[0], std::byte(grid.BlockIndex(layer, chunk)));
    }
    EXPECT_EQ(pool.stats().copied_in, int64_t{grid.chunks()} * (layer + 1));
  }
}

// ---- Many threads ------------------------------------------------------------------------------

class DevicePoolPolicyTest : public testing::TestWithParam<std::string> {};

TEST_P(DevicePoolPolicyTest, BudgetsHoldAndPinsReadTrueUnderManyThreads) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  constexpr int64_t kDeviceBudget = 9000, kCpuBudget = 7000;
  const EvictionPolicyFactory make_policy = EvictionPolicyNamed(GetParam());
  const auto size_of = [](const BlockId& id) { return int64_t{400} + 300 * id.index; };

  std::atomic<bool> is_moody = true;
  HostDevice device(kDeviceBudget, [&](const HostDevice::Copy& copy) {
    thread_local std::mt19937 random(seed + (copy.direction == Direction::kIn ? 77 : 78));
    if (!is_moody) return;
    if (random() % 4 == 0) std::this_thread::yield();
    if (random() % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (random() % 10 == 0) throw Error(ErrorCode::kIo, "a copy that fails by chance");
  });
  BufferPool cpu(kCpuBudget, make_policy);
  DevicePool pool(&device, &cpu, kDeviceBudget, make_policy);
  std::atomic<bool> failed = false, done = false;
  std::atomic<int64_t> inserted = 0, refused = 0, promoted = 0, read = 0, evicted = 0;
  const auto work = [&](uint32_t thread) {
    std::mt19937 random(seed + thread);
    struct Held {
      BlockId id;
      DevicePin pin;
      const std::byte* place;
    };
    std::vector<Held> held;
    const auto hold = [&](const BlockId& id, std::optional<DevicePin> pin) {
      if (!pin) return;
      const std::byte* place = random() % 2 == 0 ? pin->data() : nullptr;
      held.push_back({id, *std::move(pin), place});
    };
    for (int step = 0; step < 4000; ++step) {
      const BlockId id = Id(random() % 8, static_cast<int>(random() % 4));
      switch (random() % 12) {
        case 0:
          pool.EraseState(id.state);
          if (random() % 2 == 0) cpu.EraseState(id.state);
          break;
        case 1:
          evicted += pool.EvictState(id.state);
          break;
        case 2:
          held.clear();
          break;
        case 3:
          pool.SetPriority(id.state, static_cast<int>(random() % 3) - 1);
          cpu.SetPriority(id.state, static_cast<int>(random() % 3) - 1);
          break;
        case 4:
          if (const auto block = pool.Read(id)) {
            ++read;
            if (!Says(block->data(), id, size_of(id))) failed = true;
          }
          break;
        case 5:
        case 6: {
          auto source = cpu.Pin(id);
          if (!source) source = cpu.Insert(id, Block(id, size_of(id)));
          if (!source) break;
          auto pin = pool.Insert(id, *std::move(source), 1);
          ++(pin ? promoted : refused);
          hold(id, std::move(pin));
          break;
        }
        case 7:
        case 8: {
          auto pin = pool.Insert(id, Block(id, size_of(id)), 1);
          ++(pin ? inserted : refused);
          hold(id, std::move(pin));
          break;
        }
        default:
          hold(id, pool.Pin(id));
      }
      // Few enough that the host's pins of blocks that failed leave room for others.
      if (held.size() > 6) held.erase(held.begin(), held.begin() + 3);
      for (const Held& one : held) {
        if (one.place != nullptr && one.pin.data() != one.place) failed = true;
        if (!Says(one.pin.data(), one.id, size_of(one.id))) failed = true;
      }
    }
  };
  std::atomic<int64_t> looks = 0, most_used = 0;
  std::thread watcher([&] {
    while (!done) {
      const PoolStats here = pool.stats();
      const PoolStats below = cpu.stats();
      if (here.used_bytes > kDeviceBudget || here.pinned_bytes > here.used_bytes) failed = true;
      if (below.used_bytes > kCpuBudget || below.pinned_bytes > below.used_bytes) failed = true;
      // Nor does the device ever hold more than the books say.
      if (device.free_bytes() < 0) failed = true;
      if (here.used_bytes > most_used) most_used = here.used_bytes;
      ++looks;
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  done = true;
  watcher.join();
  EXPECT_FALSE(failed);
  EXPECT_GT(looks, 0);
  EXPECT_GT(most_used, kDeviceBudget / 2);
  for (const auto* count : {&inserted, &refused, &promoted, &read, &evicted}) EXPECT_GT(*count, 0);
  const DevicePoolStats stats = pool.stats();
  EXPECT_GT(stats.copied_in, 0);
  EXPECT_GT(stats.copied_out, 0);
  EXPECT_GT(stats.failed_copies, 0);
  EXPECT_GT(stats.evictions, 0);
  EXPECT_EQ(stats.pinned_bytes, 0);
  EXPECT_EQ(device.total_bytes() - device.free_bytes(), stats.used_bytes);
  EXPECT_EQ(cpu.stats().pinned_bytes, 0);
  is_moody = false;
  pool.SetBudget(0);
  EXPECT_EQ(pool.stats().used_bytes, 0);
  EXPECT_EQ(device.free_bytes(), kDeviceBudget);
}

INSTANTIATE_TEST_SUITE_P(Policies, DevicePoolPolicyTest, testing::ValuesIn(EvictionPolicyNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace promptdb
