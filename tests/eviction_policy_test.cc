#include "storage/eviction_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "storage/buffer_pool.h"

namespace promptdb {
namespace {

BlockId Id(uint64_t state, int index = 0) { return {Digest{state, state * 7}, index}; }

std::string Text(const std::optional<BlockId>& id) {
  if (!id) return "none";
  return std::to_string(id->state.high) + "." + std::to_string(id->index);
}

// ---- The policies again, as they are defined: lists that are searched ---------------------------

struct ModelBlock {
  BlockId id;
  int64_t bytes = 0;
  double cost_ms = 0;
  bool evictable = false;
  int uses = 1;         // GDSF
  double priority = 0;  // GDSF
  double credit = 0;    // S3-FIFO
};

using ModelBlocks = std::vector<ModelBlock>;

ModelBlocks::iterator FindIn(ModelBlocks& blocks, const BlockId& id) {
  return std::find_if(blocks.begin(), blocks.end(), [&](const auto& b) { return b.id == id; });
}

ModelBlocks::iterator FirstEvictable(ModelBlocks& blocks) {
  return std::find_if(blocks.begin(), blocks.end(), [](const auto& b) { return b.evictable; });
}

ModelBlock Take(ModelBlocks& blocks, ModelBlocks::iterator at) {
  const ModelBlock block = *at;
  blocks.erase(at);
  return block;
}

class LruModel final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t bytes, double cost_ms) override {
    blocks_.push_back({id, bytes, cost_ms});
  }
  void OnAccess(const BlockId& id) override {
    blocks_.push_back(Take(blocks_, FindIn(blocks_, id)));
  }
  void SetEvictable(const BlockId& id, bool evictable) noexcept override {
    FindIn(blocks_, id)->evictable = evictable;
  }
  void OnErase(const BlockId& id) override { blocks_.erase(FindIn(blocks_, id)); }
  std::optional<BlockId> TakeVictim() override {
    const auto first = FirstEvictable(blocks_);
    if (first == blocks_.end()) return std::nullopt;
    return Take(blocks_, first).id;
  }
  std::string_view name() const override { return "lru"; }

 private:
  ModelBlocks blocks_;  // least recently used first
};

class GdsfModel final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t bytes, double cost_ms) override {
    Use({id, bytes, cost_ms});
  }
  void OnAccess(const BlockId& id) override {
    ModelBlock block = Take(blocks_, FindIn(blocks_, id));
    block.uses = std::min(block.uses + 1, 32);
    Use(block);
  }
  void SetEvictable(const BlockId& id, bool evictable) noexcept override {
    FindIn(blocks_, id)->evictable = evictable;
  }
  void OnErase(const BlockId& id) override { blocks_.erase(FindIn(blocks_, id)); }
  std::optional<BlockId> TakeVictim() override {
    auto least = blocks_.end();
    for (auto at = blocks_.begin(); at != blocks_.end(); ++at) {
      if (!at->evictable) continue;
      if (least == blocks_.end() || at->priority < least->priority) least = at;
    }
    if (least == blocks_.end()) return std::nullopt;
    clock_ = std::max(clock_, least->priority);
    return Take(blocks_, least).id;
  }
  std::string_view name() const override { return "gdsf"; }

 private:
  void Use(ModelBlock block) {
    block.priority = clock_ + block.uses * (block.cost_ms / static_cast<double>(block.bytes));
    blocks_.push_back(block);
  }

  ModelBlocks blocks_;  // least recently used first
  double clock_ = 0;
};

class S3FifoModel final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t bytes, double cost_ms) override {
    const auto ghost = FindIn(ghosts_, id);
    const bool was_here = ghost != ghosts_.end();
    if (was_here) ghosts_.erase(ghost);
    (was_here ? main_ : small_).push_back({id, bytes, cost_ms});
  }
  void OnAccess(const BlockId& id) override {
    const double cost = Sum(small_, &ModelBlock::cost_ms) + Sum(main_, &ModelBlock::cost_ms);
    ModelBlock& block = *FindIn(QueueOf(id), id);
    double weight = 1;
    if (cost > 0) {
      weight = block.cost_ms / static_cast<double>(block.bytes) /
               (cost / (Bytes(small_) + Bytes(main_)));
      weight = std::min(std::max(weight, 0.25), 4.0);
    }
    block.credit = std::min(block.credit + weight, 3.0);
  }
  void SetEvictable(const BlockId& id, bool evictable) noexcept override {
    FindIn(QueueOf(id), id)->evictable = evictable;
  }
  void OnErase(const BlockId& id) override {
    ModelBlocks& queue = QueueOf(id);
    queue.erase(FindIn(queue, id));
  }
  std::optional<BlockId> TakeVictim() override {
    while (true) {
      const auto small = FirstEvictable(small_), main = FirstEvictable(main_);
      if (small == small_.end() && main == main_.end()) return std::nullopt;
      const bool small_is_large = 10 * Bytes(small_) > Bytes(small_) + Bytes(main_);
      if (small != small_.end() && (small_is_large || main == main_.end())) {
        ModelBlock block = Take(small_, small);
        if (block.credit >= 1) {
          block.credit = 0;
          main_.push_back(block);
          continue;
        }
        ghosts_.push_back(block);
        while (Bytes(ghosts_) > Bytes(small_) + Bytes(main_)) ghosts_.erase(ghosts_.begin());
        return block.id;
      }
      ModelBlock block = Take(main_, main);
      if (block.credit < 1) return block.id;
      block.credit -= 1;
      main_.push_back(block);
    }
  }
  std::string_view name() const override { return "s3fifo"; }

 private:
  template <typename T>
  static double Sum(const ModelBlocks& blocks, T ModelBlock::*member) {
    double sum = 0;
    for (const ModelBlock& block : blocks) sum += static_cast<double>(block.*member);
    return sum;
  }
  static double Bytes(const ModelBlocks& blocks) { return Sum(blocks, &ModelBlock::bytes); }
  ModelBlocks& QueueOf(const BlockId& id) {
    return FindIn(small_, id) != small_.end() ? small_ : main_;
  }

  ModelBlocks small_, main_, ghosts_;  // oldest first
};

std::unique_ptr<EvictionPolicy> ModelOf(std::string_view name) {
  if (name == "lru") return std::make_unique<LruModel>();
  if (name == "gdsf") return std::make_unique<GdsfModel>();
  return std::make_unique<S3FifoModel>();
}

// ---- Every policy -------------------------------------------------------------------------------

class EvictionPolicyTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<EvictionPolicy> Make() const { return EvictionPolicyNamed(GetParam())(); }
};

TEST_P(EvictionPolicyTest, KnowsItsName) { EXPECT_EQ(Make()->name(), GetParam()); }

TEST_P(EvictionPolicyTest, AgreesWithItsModelOverRandomUse) {
  const uint32_t first_seed = std::random_device{}();
  for (uint32_t seed = first_seed; seed < first_seed + 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto policy = Make(), model = ModelOf(GetParam());
    const uint64_t most_blocks = 5 + random() % 60;
    // Whole milliseconds, whose sums are exact in any order. Some traces know no costs.
    const uint32_t most_cost = seed % 5 == 0 ? 1 : 1 + random() % 1000;
    struct Known {
      BlockId id;
      bool evictable = false;
    };
    std::vector<Known> known;
    const auto find = [&](const BlockId& id) {
      return std::find_if(known.begin(), known.end(), [&](const Known& k) { return k.id == id; });
    };
    int victims = 0;
    for (int step = 0; step < 3000; ++step) {
      const BlockId id = Id(random() % most_blocks, static_cast<int>(random() % 2));
      const auto found = find(id);
      const uint32_t dice = random() % 16;
      if (dice < 4) {
        const auto victim = policy->TakeVictim();
        ASSERT_EQ(Text(victim), Text(model->TakeVictim())) << "step " << step;
        if (victim) {
          ++victims;
          ASSERT_TRUE(find(*victim)->evictable) << "step " << step;
          known.erase(find(*victim));
        } else {
          for (const Known& block : known) ASSERT_FALSE(block.evictable) << "step " << step;
        }
      } else if (found == known.end()) {
        const int64_t bytes = 1 + random() % 1000;
        const double cost_ms = random() % most_cost;
        policy->OnInsert(id, bytes, cost_ms);
        model->OnInsert(id, bytes, cost_ms);
        known.push_back({id});
      } else if (dice == 4) {
        policy->OnErase(id);
        model->OnErase(id);
        known.erase(found);
      } else if (dice < 10) {
        policy->OnAccess(id);
        model->OnAccess(id);
      } else {
        found->evictable = random() % 4 != 0;
        policy->SetEvictable(id, found->evictable);
        model->SetEvictable(id, found->evictable);
      }
    }
    EXPECT_GT(victims, 0);
    for (Known& block : known) {
      policy->SetEvictable(block.id, true);
      model->SetEvictable(block.id, true);
    }
    for (size_t i = 0; i < known.size(); ++i) {
      ASSERT_EQ(Text(policy->TakeVictim()), Text(model->TakeVictim()));
    }
    EXPECT_EQ(Text(policy->TakeVictim()), "none");
  }
}

TEST_P(EvictionPolicyTest, BlocksThatCantBeEvictedAreNone) {
  const auto policy = Make();
  EXPECT_EQ(Text(policy->TakeVictim()), "none");
  for (uint64_t i = 0; i < 10; ++i) policy->OnInsert(Id(i), 1000, 1);
  EXPECT_EQ(Text(policy->TakeVictim()), "none");
  policy->SetEvictable(Id(7), true);
  for (int i = 0; i < 100; ++i) policy->OnAccess(Id(7));
  EXPECT_EQ(Text(policy->TakeVictim()), "7.0");
  EXPECT_EQ(Text(policy->TakeVictim()), "none");
}

INSTANTIATE_TEST_SUITE_P(Policies, EvictionPolicyTest, testing::ValuesIn(EvictionPolicyNames()),
                         [](const auto& info) { return info.param; });

// ---- What each is for ---------------------------------------------------------------------------

void Add(EvictionPolicy& policy, const BlockId& id, int64_t bytes, double cost_ms) {
  policy.OnInsert(id, bytes, cost_ms);
  policy.SetEvictable(id, true);
}

TEST(GdsfPolicyTest, WhatCostsMoreByTheByteStaysUntilTheClockHasPassedIt) {
  const auto policy = MakeGdsfPolicy();
  Add(*policy, Id(1), 1000, 40);
  Add(*policy, Id(2), 500, 10);
  Add(*policy, Id(3), 1000, 10);
  EXPECT_EQ(Text(policy->TakeVictim()), "3.0");  // 0.01 ms a byte
  EXPECT_EQ(Text(policy->TakeVictim()), "2.0");  // 0.02
  // The clock stands at 0.02; each new block of 0.015 gets 0.035, then 0.05.
  Add(*policy, Id(4), 1000, 15);
  EXPECT_EQ(Text(policy->TakeVictim()), "4.0");
  Add(*policy, Id(5), 1000, 15);
  EXPECT_EQ(Text(policy->TakeVictim()), "1.0");
}

TEST(GdsfPolicyTest, AThousandUsesAreForgottenWithinAFewTurnovers) {
  const auto policy = MakeGdsfPolicy();
  Add(*policy, Id(0), 1000, 10);
  for (int i = 0; i < 1000; ++i) policy->OnAccess(Id(0));
  uint64_t others = 0;
  do {
    ASSERT_LT(others, 50u);
    Add(*policy, Id(++others), 1000, 10);
  } while (policy->TakeVictim() != Id(0));
  EXPECT_GT(others, 20u);
}

TEST(S3FifoPolicyTest, NewBlocksTakeNoMoreThanTheSmallQueueFromTheUsedOnes) {
  const auto policy = MakeS3FifoPolicy();
  for (uint64_t i = 0; i < 50; ++i) {
    Add(*policy, Id(i), 1000, 10);
    policy->OnAccess(Id(i));
  }
  int used_ones = 0;
  for (uint64_t i = 100; i < 300; ++i) {
    Add(*policy, Id(i), 1000, 10);
    const auto victim = policy->TakeVictim();
    ASSERT_TRUE(victim);
    used_ones += victim->state.high < 100 ? 1 : 0;
  }
  EXPECT_LE(used_ones, 5);
}

TEST(S3FifoPolicyTest, WhatComesBackSoonGoesToTheMainQueue) {
  const auto policy = MakeS3FifoPolicy();
  for (uint64_t i = 0; i < 10; ++i) Add(*policy, Id(i), 1000, 10);
  EXPECT_EQ(Text(policy->TakeVictim()), "0.0");
  Add(*policy, Id(0), 1000, 10);
  Add(*policy, Id(10), 1000, 10);
  for (uint64_t i = 1; i < 11; ++i) EXPECT_EQ(Text(policy->TakeVictim()), std::to_string(i) + ".0");
  EXPECT_EQ(Text(policy->TakeVictim()), "0.0");
}

// When one of ten blocks in the main queue, used once each, goes.
int PlaceInMainQueue(double cost_ms) {
  const auto policy = MakeS3FifoPolicy();
  Add(*policy, Id(0), 1000, cost_ms);
  for (uint64_t i = 1; i < 10; ++i) Add(*policy, Id(i), 1000, 10);
  for (int use = 0; use < 3; ++use) {
    for (uint64_t i = 0; i < 10; ++i) policy->OnAccess(Id(i));
  }
  // Looking for the first victim moves all that were used out of the small queue.
  Add(*policy, Id(10), 2000, 20);
  EXPECT_EQ(Text(policy->TakeVictim()), "10.0");
  for (uint64_t i = 0; i < 10; ++i) policy->OnAccess(Id(i));
  for (int place = 0; const auto victim = policy->TakeVictim(); ++place) {
    if (*victim == Id(0)) return place;
  }
  return -1;
}

TEST(S3FifoPolicyTest, WhatIsWorthMoreSurvivesMorePasses) {
  EXPECT_EQ(PlaceInMainQueue(5), 0);
  EXPECT_EQ(PlaceInMainQueue(30), 9);
}

// ---- Scan resistance ----------------------------------------------------------------------------

BlockBuffer Block() {
  BlockBuffer block(1000 - kBlockHeaderBytes);
  std::fill_n(block.payload(), block.payload_bytes(), std::byte{0});
  return block;
}

// Whether the block was there; it is afterwards.
bool Use(BufferPool& pool, const BlockId& id) {
  if (pool.Pin(id)) return true;
  EXPECT_TRUE(pool.Insert(id, Block(), 10));
  return false;
}

// Of a hot set that is used for a while, how many blocks are found after a scan of blocks that are
// used once.
int HotBlocksAfterScan(EvictionPolicyFactory make_policy, uint32_t seed) {
  constexpr uint64_t kHot = 40;
  BufferPool pool(60'000, make_policy);  // 60 blocks
  std::mt19937 random(seed);
  uint64_t next_cold = 1000;
  for (int i = 0; i < 400; ++i) {
    Use(pool, random() % 8 == 0 ? Id(next_cold++) : Id(random() % kHot));
  }
  for (int i = 0; i < 120; ++i) Use(pool, Id(next_cold++));
  int found = 0;
  for (uint64_t i = 0; i < kHot; ++i) found += pool.Contains(Id(i)) ? 1 : 0;
  return found;
}

TEST(ScanResistanceTest, TheDefaultFindsMoreOfAHotSetAfterAScanThanLru) {
  const uint32_t first_seed = std::random_device{}();
  for (uint32_t seed = first_seed; seed < first_seed + 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int lru = HotBlocksAfterScan(MakeLruPolicy, seed);
    EXPECT_EQ(lru, 0);  // the scan is twice the pool
    EXPECT_GT(HotBlocksAfterScan(EvictionPolicyNamed(DefaultEvictionPolicyName()), seed), 20);
  }
}

// And so in a trace that goes on: hits of the hot set with scans in between.
TEST(ScanResistanceTest, TheDefaultHasMoreHitsThanLruWithScansInBetween) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const auto hits = [&](EvictionPolicyFactory make_policy) {
    BufferPool pool(60'000, make_policy);
    std::mt19937 random(seed);
    uint64_t next_cold = 1000;
    int found = 0;
    for (int round = 0; round < 30; ++round) {
      for (int i = 0; i < 120; ++i) found += Use(pool, Id(random() % 40)) ? 1 : 0;
      for (int i = 0; i < 70; ++i) Use(pool, Id(next_cold++));
    }
    return found;
  };
  EXPECT_GT(hits(EvictionPolicyNamed(DefaultEvictionPolicyName())), hits(MakeLruPolicy));
}

}  // namespace
}  // namespace promptdb
