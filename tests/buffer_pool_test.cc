#include "storage/buffer_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <list>
#include <random>
#include <thread>

namespace promptdb {
namespace {

constexpr int64_t kPayload = 1000 - kBlockHeaderBytes;

BlockId Id(uint64_t state, int index = 0) { return {Digest{state, state * 7}, index}; }

// A block of 1000 bytes that says which it is.
BlockBuffer Block(const BlockId& id, int64_t payload = kPayload) {
  BlockBuffer block(payload);
  std::memset(block.data(), static_cast<int>(id.state.high * 16 + static_cast<uint64_t>(id.index)),
              static_cast<size_t>(block.size()));
  return block;
}

bool IsBlock(const BlockBuffer& block, const BlockId& id) {
  const BlockBuffer expected = Block(id, block.payload_bytes());
  return std::memcmp(block.data(), expected.data(), static_cast<size_t>(block.size())) == 0;
}

bool Put(BufferPool& pool, const BlockId& id) { return pool.Insert(id, Block(id)).has_value(); }

TEST(BufferPoolTest, PinsWhatWasInserted) {
  BufferPool pool(10'000, MakeLruPolicy);
  EXPECT_FALSE(pool.Pin(Id(1)));
  ASSERT_TRUE(Put(pool, Id(1)));
  const auto pin = pool.Pin(Id(1));
  ASSERT_TRUE(pin);
  EXPECT_TRUE(IsBlock(pin->block(), Id(1)));
  const PoolStats stats = pool.stats();
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.misses, 1);
  EXPECT_EQ(stats.used_bytes, 1000);
  EXPECT_EQ(stats.pinned_bytes, 1000);
  EXPECT_EQ(stats.blocks, 1);
}

TEST(BufferPoolTest, EvictsTheLeastRecentlyUsed) {
  BufferPool pool(3000, MakeLruPolicy);
  for (const uint64_t state : {1, 2, 3}) ASSERT_TRUE(Put(pool, Id(state)));
  ASSERT_TRUE(pool.Pin(Id(1)));  // 2 is now the oldest
  ASSERT_TRUE(Put(pool, Id(4)));
  EXPECT_FALSE(pool.Contains(Id(2)));
  ASSERT_TRUE(Put(pool, Id(5)));
  EXPECT_FALSE(pool.Contains(Id(3)));
  EXPECT_TRUE(pool.Contains(Id(1)));
  EXPECT_EQ(pool.stats().evictions, 2);
}

TEST(BufferPoolTest, LooksDoNotCountAsUse) {
  BufferPool pool(2000, MakeLruPolicy);
  ASSERT_TRUE(Put(pool, Id(1)));
  ASSERT_TRUE(Put(pool, Id(2)));
  EXPECT_TRUE(pool.Contains(Id(1)));
  EXPECT_EQ(pool.StateBytes(Id(1).state), 1000);
  ASSERT_TRUE(Put(pool, Id(3)));
  EXPECT_FALSE(pool.Contains(Id(1)));
}

TEST(BufferPoolTest, PinnedBlocksStayAndRefusedBlocksGoBack) {
  BufferPool pool(2000, MakeLruPolicy);
  auto first = pool.Insert(Id(1), Block(Id(1)));
  auto second = pool.Insert(Id(2), Block(Id(2)));
  ASSERT_TRUE(first && second);
  BlockBuffer third = Block(Id(3));
  EXPECT_FALSE(pool.Insert(Id(3), std::move(third)));
  EXPECT_TRUE(IsBlock(third, Id(3)));  // NOLINT: a refused block is left as it was
  EXPECT_EQ(pool.stats().rejected, 1);
  EXPECT_EQ(pool.stats().evictions, 0);
  EXPECT_EQ(pool.UnpinnedBudget(), 0);
  first.reset();
  EXPECT_TRUE(pool.Insert(Id(3), std::move(third)));
  EXPECT_FALSE(pool.Contains(Id(1)));
  EXPECT_TRUE(IsBlock(second->block(), Id(2)));
}

TEST(BufferPoolTest, RefusesWithoutEvictingWhatIsLargerThanTheBudget) {
  BufferPool pool(2000, MakeLruPolicy);
  ASSERT_TRUE(Put(pool, Id(1)));
  EXPECT_FALSE(pool.Insert(Id(2), Block(Id(2), 2000)));
  EXPECT_TRUE(pool.Contains(Id(1)));
}

TEST(BufferPoolTest, SecondInsertPinsTheFirstBlock) {
  BufferPool pool(2000, MakeLruPolicy);
  const auto first = pool.Insert(Id(1), Block(Id(1)));
  const auto second = pool.Insert(Id(1), Block(Id(1)));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(&first->block(), &second->block());
  EXPECT_EQ(pool.stats().used_bytes, 1000);
  EXPECT_EQ(pool.stats().pinned_bytes, 1000);
}

TEST(BufferPoolTest, MovedPinsUnpinOnce) {
  BufferPool pool(2000, MakeLruPolicy);
  auto pin = pool.Insert(Id(1), Block(Id(1)));
  auto other = pool.Insert(Id(2), Block(Id(2)));
  {
    BlockPin moved = std::move(*pin);
    pin.reset();
    EXPECT_EQ(pool.stats().pinned_bytes, 2000);
    moved = std::move(*other);  // gives up block 1
    EXPECT_EQ(pool.stats().pinned_bytes, 1000);
  }
  other.reset();
  EXPECT_EQ(pool.stats().pinned_bytes, 0);
}

TEST(BufferPoolTest, WholeStatesAreInsertedOrNot) {
  BufferPool pool(4000, MakeLruPolicy);
  const Digest state = Id(1).state;
  const auto blocks_of = [&] {
    std::vector<BlockBuffer> blocks;
    for (int i = 0; i < 3; ++i) blocks.push_back(Block(Id(1, i)));
    return blocks;
  };
  auto in_the_way = pool.Insert(Id(8), Block(Id(8)));
  auto too_much = pool.Insert(Id(9), Block(Id(9)));
  std::vector<BlockBuffer> blocks = blocks_of();
  EXPECT_FALSE(pool.InsertState(state, blocks));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(IsBlock(blocks[static_cast<size_t>(i)], Id(1, i)));
  EXPECT_EQ(pool.StateBytes(state), 0);

  too_much.reset();
  {
    const auto pins = pool.InsertState(state, blocks);
    ASSERT_TRUE(pins);
    ASSERT_EQ(pins->size(), 3u);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(IsBlock((*pins)[static_cast<size_t>(i)].block(), Id(1, i)));
    }
    EXPECT_FALSE(pool.Contains(Id(9)));
    EXPECT_EQ(pool.UnpinnedBudget(), 0);
    // All of it is there already: no more room is needed.
    std::vector<BlockBuffer> again = blocks_of();
    EXPECT_TRUE(pool.InsertState(state, again));
  }
  // One block of it was evicted meanwhile; the other two are no victims of its return.
  in_the_way.reset();
  auto newer = pool.Insert(Id(10), Block(Id(10)));
  auto newest = pool.Insert(Id(11), Block(Id(11)));
  EXPECT_EQ(pool.StateBytes(state), 2000);
  newest.reset();
  std::vector<BlockBuffer> again = blocks_of();
  const auto pins = pool.InsertState(state, again);
  ASSERT_TRUE(pins);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsBlock((*pins)[static_cast<size_t>(i)].block(), Id(1, i)));
  }
  EXPECT_EQ(pool.stats().used_bytes, 4000);
}

TEST(BufferPoolTest, ErasedStatesGoAtOnceOrWhenUnpinned) {
  BufferPool pool(10'000, MakeLruPolicy);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(pool, Id(1, i)));
  ASSERT_TRUE(Put(pool, Id(2)));
  auto pin = pool.Pin(Id(1, 1));
  EXPECT_EQ(pool.EraseState(Id(1).state), 2000);
  EXPECT_TRUE(IsBlock(pin->block(), Id(1, 1)));
  EXPECT_EQ(pool.StateBytes(Id(1).state), 1000);
  pin.reset();
  EXPECT_EQ(pool.StateBytes(Id(1).state), 0);
  EXPECT_TRUE(pool.Contains(Id(2)));
  pin = pool.Pin(Id(2));
  EXPECT_EQ(pool.Clear(), 0);
  pin.reset();
  EXPECT_EQ(pool.Clear(), 1000);
  EXPECT_EQ(pool.stats().blocks, 0);
}

TEST(BufferPoolTest, SmallerBudgetEvictsNowAndAsPinsGo) {
  BufferPool pool(4000, MakeLruPolicy);
  auto first = pool.Insert(Id(1), Block(Id(1)));
  auto second = pool.Insert(Id(2), Block(Id(2)));
  ASSERT_TRUE(Put(pool, Id(3)));
  pool.SetBudget(1000);
  EXPECT_EQ(pool.stats().used_bytes, 2000);
  EXPECT_FALSE(Put(pool, Id(4)));
  second.reset();
  EXPECT_EQ(pool.stats().used_bytes, 1000);
  EXPECT_TRUE(IsBlock(first->block(), Id(1)));
}

TEST(BufferPoolTest, RoomIsReservedForWhatIsOnItsWay) {
  BufferPool pool(3000, MakeLruPolicy);
  for (const uint64_t state : {1, 2, 3}) ASSERT_TRUE(Put(pool, Id(state)));
  {
    auto room = pool.Reserve(1000);
    ASSERT_TRUE(room);
    EXPECT_FALSE(pool.Contains(Id(1)));
    EXPECT_EQ(pool.stats().used_bytes, 3000);
    EXPECT_EQ(pool.UnpinnedBudget(), 2000);
    EXPECT_FALSE(pool.Reserve(2001));
    EXPECT_TRUE(pool.Contains(Id(2)));
    pool.Insert(*std::move(room), Id(4), Block(Id(4)), 0);
    EXPECT_EQ(pool.stats().pinned_bytes, 0);
    EXPECT_TRUE(IsBlock(pool.Pin(Id(4))->block(), Id(4)));
    // Room for a block that has come by another way is given back, and so is room that is not used.
    auto second = pool.Reserve(1000);
    ASSERT_TRUE(second);
    pool.Insert(*std::move(second), Id(4), Block(Id(4)), 0);
    const auto unused = pool.Reserve(1000);
    ASSERT_TRUE(unused);
  }
  EXPECT_EQ(pool.stats().pinned_bytes, 0);
  // A budget that has shrunk meanwhile holds.
  pool.Clear();
  auto room = pool.Reserve(1000);
  ASSERT_TRUE(room);
  pool.SetBudget(500);
  pool.Insert(*std::move(room), Id(5), Block(Id(5)), 0);
  EXPECT_EQ(pool.stats().used_bytes, 0);
}

// LRU against an independent model: a list that is searched.
TEST(BufferPoolTest, AgreesWithAListOverRandomUse) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  BufferPool pool(10'000, MakeLruPolicy);
  std::list<uint64_t> model;  // least recently used first
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t state = random() % 20;
    const bool expected = std::find(model.begin(), model.end(), state) != model.end();
    ASSERT_EQ(pool.Pin(Id(state)).has_value(), expected) << "step " << step;
    model.remove(state);
    if (random() % 10 == 0) {
      pool.EraseState(Id(state).state);
      continue;
    }
    if (!expected && model.size() == 10) model.pop_front();
    model.push_back(state);
    if (!expected) {
      ASSERT_TRUE(Put(pool, Id(state)));
    }
    ASSERT_EQ(pool.stats().used_bytes, static_cast<int64_t>(model.size()) * 1000);
  }
}

// ---- Priorities, and whatever the policy -------------------------------------------------------

class BufferPoolPolicyTest : public testing::TestWithParam<std::string> {
 protected:
  EvictionPolicyFactory factory() const { return EvictionPolicyNamed(GetParam()); }
};

TEST_P(BufferPoolPolicyTest, LowerPrioritiesGoFirst) {
  BufferPool pool(6000, factory());
  pool.SetPriority(Id(1).state, 2);  // before it is there
  for (uint64_t state = 1; state <= 6; ++state) ASSERT_TRUE(Put(pool, Id(state)));
  for (int use = 0; use < 20; ++use) pool.Pin(Id(5));
  pool.SetPriority(Id(2).state, 1);
  pool.SetPriority(Id(5).state, -1);
  ASSERT_TRUE(Put(pool, Id(7)));
  EXPECT_FALSE(pool.Contains(Id(5)));
  for (uint64_t state = 8; state < 30; ++state) ASSERT_TRUE(Put(pool, Id(state)));
  EXPECT_TRUE(pool.Contains(Id(1)));
  EXPECT_TRUE(pool.Contains(Id(2)));
  // One that is pinned stays, whatever its priority.
  {
    const auto pin = pool.Insert(Id(3), Block(Id(3)));
    pool.SetPriority(Id(3).state, -5);
    pool.SetBudget(2000);
    EXPECT_TRUE(pool.Contains(Id(3)));
    EXPECT_TRUE(pool.Contains(Id(1)));
    EXPECT_FALSE(pool.Contains(Id(2)));
  }
  pool.SetBudget(1000);
  EXPECT_TRUE(pool.Contains(Id(1)));
  // The priority outlives the blocks; 0 is as if nothing had been set.
  pool.SetBudget(2000);
  pool.Clear();
  ASSERT_TRUE(Put(pool, Id(1)));
  for (uint64_t state = 8; state < 30; ++state) ASSERT_TRUE(Put(pool, Id(state)));
  EXPECT_TRUE(pool.Contains(Id(1)));
  pool.SetPriority(Id(1).state, 0);
  for (uint64_t state = 30; state < 99; ++state) ASSERT_TRUE(Put(pool, Id(state)));
  EXPECT_FALSE(pool.Contains(Id(1)));
}

TEST_P(BufferPoolPolicyTest, AnotherPolicyTakesOverAllBlocks) {
  for (const std::string& other : EvictionPolicyNames()) {
    BufferPool pool(5000, factory());
    EXPECT_EQ(pool.policy_name(), GetParam());
    pool.SetPriority(Id(1).state, 1);
    for (uint64_t state = 1; state <= 5; ++state) ASSERT_TRUE(Put(pool, Id(state)));
    const auto pin = pool.Pin(Id(3));
    pool.SetPolicy(EvictionPolicyNamed(other));
    EXPECT_EQ(pool.policy_name(), other);
    EXPECT_EQ(pool.stats().blocks, 5);
    for (uint64_t state = 6; state < 20; ++state) ASSERT_TRUE(Put(pool, Id(state)));
    for (const uint64_t state : {1, 3}) EXPECT_TRUE(pool.Contains(Id(state)));
    EXPECT_EQ(pool.stats().used_bytes, 5000);
  }
}

TEST(BufferPoolTest, BlocksOfStatesThatTookLongerStayLonger) {
  BufferPool pool(4000, MakeGdsfPolicy);
  const auto put = [&](uint64_t state, double cost_ms) {
    std::vector<BlockBuffer> blocks;
    for (int i = 0; i < 2; ++i) blocks.push_back(Block(Id(state, i)));
    ASSERT_TRUE(pool.InsertState(Id(state).state, blocks, cost_ms));
  };
  put(1, 100);
  put(2, 10);
  put(3, 20);
  EXPECT_EQ(pool.StateBytes(Id(1).state), 2000);
  EXPECT_EQ(pool.StateBytes(Id(2).state), 0);
  // A block alone is told its own cost.
  ASSERT_TRUE(pool.Insert(Id(4, 0), Block(Id(4, 0)), 60));
  ASSERT_TRUE(pool.Insert(Id(4, 1), Block(Id(4, 1)), 60));
  EXPECT_EQ(pool.StateBytes(Id(3).state), 0);
  ASSERT_TRUE(pool.Insert(Id(5), Block(Id(5)), 70));
  EXPECT_EQ(pool.StateBytes(Id(1).state), 1000);
}

TEST_P(BufferPoolPolicyTest, BudgetHoldsAndPinsReadTrueUnderManyThreads) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  constexpr int64_t kBudget = 15'000;
  BufferPool pool(kBudget, factory());
  std::atomic<bool> failed = false, done = false;
  std::atomic<int64_t> inserted = 0, refused = 0;
  const auto work = [&](uint32_t thread) {
    std::mt19937 random(seed + thread);
    std::vector<std::pair<BlockId, BlockPin>> held;
    for (int step = 0; step < 20'000; ++step) {
      const BlockId id = Id(random() % 12, static_cast<int>(random() % 4));
      switch (random() % 10) {
        case 0:
          pool.EraseState(id.state);
          break;
        case 8:
          pool.SetPriority(id.state, static_cast<int>(random() % 3) - 1);
          break;
        case 1:
          held.clear();
          break;
        case 2: {
          std::vector<BlockBuffer> blocks;
          for (int i = 0; i < 4; ++i) {
            blocks.push_back(Block({id.state, i}, 300 + 200 * i));
          }
          auto pins = pool.InsertState(id.state, blocks);
          ++(pins ? inserted : refused);
          for (int i = 0; pins && i < 4; ++i) {
            held.emplace_back(BlockId{id.state, i}, std::move((*pins)[static_cast<size_t>(i)]));
          }
          break;
        }
        case 3:
        case 4: {
          auto pin = pool.Insert(id, Block(id, 300 + 200 * id.index));
          ++(pin ? inserted : refused);
          if (pin) held.emplace_back(id, std::move(*pin));
          break;
        }
        default:
          if (auto pin = pool.Pin(id)) held.emplace_back(id, std::move(*pin));
      }
      if (held.size() > 12) held.erase(held.begin(), held.begin() + 6);
      for (const auto& [held_id, pin] : held) {
        if (!IsBlock(pin.block(), held_id)) failed = true;
      }
    }
  };
  std::atomic<int64_t> looks = 0, most_used = 0;
  std::thread watcher([&] {
    while (!done) {
      const PoolStats stats = pool.stats();
      if (stats.used_bytes > kBudget || stats.pinned_bytes > stats.used_bytes) failed = true;
      if (stats.used_bytes > most_used) most_used = stats.used_bytes;
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
  EXPECT_GT(most_used, kBudget / 2);
  EXPECT_GT(inserted, 0);
  EXPECT_GT(refused, 0);
  EXPECT_GT(pool.stats().evictions, 0);
  EXPECT_EQ(pool.stats().pinned_bytes, 0);
  pool.Clear();
  EXPECT_EQ(pool.stats().used_bytes, 0);
  EXPECT_EQ(pool.stats().blocks, 0);
  EXPECT_EQ(pool.UnpinnedBudget(), kBudget);
}

INSTANTIATE_TEST_SUITE_P(Policies, BufferPoolPolicyTest, testing::ValuesIn(EvictionPolicyNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace promptdb
