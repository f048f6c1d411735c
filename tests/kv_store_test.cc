#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <thread>

#include "base/error.h"
#include "storage/state_cache.h"
#include "tests/kv_pattern.h"
#include "tests/some_manifest.h"
#include "tests/support/damage.h"
#include "tests/support/killed_child.h"
#include "tests/support/test_folder.h"

extern char** environ;

namespace promptdb {
namespace {

constexpr KvShape kSmall{3, 2, 16, KvDtype::kBf16};   // 384 bytes a token: through the log
constexpr KvShape kLarge{6, 4, 128, KvDtype::kBf16};  // 12 KiB a token: by files
constexpr int64_t kAmple = int64_t{1} << 30;

// One process's storage on a folder.
struct Store {
  explicit Store(const std::filesystem::path& folder, int64_t budget = kAmple)
      : rocks(folder), pool(budget, MakeLruPolicy), cache(&rocks, &pool) {}

  KvSegment Publish(uint64_t n, const KvShape& shape, int tokens) {
    const StateManifest manifest = ManifestOf(n, shape, tokens);
    return cache.Publish(
        manifest, PatternSegment(shape, manifest.start_position, tokens, static_cast<uint32_t>(n)));
  }

  std::optional<StateCache::Acquired> Acquire(uint64_t n) {
    return cache.Acquire(Key(n), &no_room);
  }

  // "whole", "absent", or what is wrong.
  std::string Look(uint64_t n, int tokens) {
    const auto acquired = Acquire(n);
    if (!acquired) return "absent";
    if (acquired->segment.tokens() != tokens) return "wrong length";
    const std::string mismatch =
        PatternMismatch(acquired->segment, static_cast<uint32_t>(n), 0, tokens);
    return mismatch.empty() ? "whole" : mismatch;
  }

  Rocks rocks;
  BufferPool pool;
  StateCache cache;
  bool no_room = false;
};

std::vector<std::string> BlockKeys(const Rocks& rocks) {
  std::vector<std::string> keys;
  rocks.Scan(Family::kBlocks, "", [&](std::string_view key, std::string_view) {
    keys.emplace_back(key);
    return true;
  });
  return keys;
}

// Every block key that the manifests call for, and no other.
void ExpectBlocksMatchManifests(Store& store) {
  std::vector<std::string> expected;
  for (const StateManifest& manifest : store.cache.List()) {
    const int blocks = BlockGrid(manifest.shape, manifest.tokens).blocks();
    for (int i = 0; i < blocks; ++i) {
      std::string key = manifest.key.ToBytes();
      for (const int shift : {24, 16, 8, 0}) key += static_cast<char>(i >> shift);
      expected.push_back(key);
    }
  }
  EXPECT_EQ(BlockKeys(store.rocks), expected);
}

TEST(StateCacheTest, AStateThatIsNoLongerPinnedDoesNotStayBeyondTheDiskBudget) {
  const TemporaryFolder folder("unpinned");
  Store store(folder.path());
  for (const uint64_t n : {1, 2}) {
    store.Publish(n, kSmall, 100);
    store.cache.SetPolicy(Key(n), {0, 0, true});
  }
  const int64_t bytes = BlockGrid(kSmall, 100).TotalBytes();
  store.cache.SetDiskBudget(bytes);
  EXPECT_EQ(store.cache.stats().disk_bytes, 2 * bytes) << "pinned states stay";
  store.cache.SetPolicy(Key(1), {});
  EXPECT_EQ(store.cache.stats().disk_bytes, bytes);
  EXPECT_EQ(store.cache.Probe(Key(1)).tier, Tier::kMiss);
  EXPECT_EQ(store.Look(2, 100), "whole");
}

TEST(StateCacheTest, ThePoolIsToldWhatStatesCost) {
  const TemporaryFolder folder("costs");
  constexpr int kTokens = 600;
  Rocks rocks(folder.path());
  const auto publish = [&](StateCache& cache, uint64_t n, double encode_ms) {
    StateManifest manifest = ManifestOf(n, kSmall, kTokens);
    manifest.encode_ms = encode_ms;
    cache.Publish(manifest, PatternSegment(kSmall, manifest.start_position, kTokens,
                                           static_cast<uint32_t>(n)));
  };
  const int64_t two_states = 2 * BlockGrid(kSmall, kTokens).TotalBytes();
  {
    BufferPool pool(two_states, MakeGdsfPolicy);
    StateCache cache(&rocks, &pool);
    publish(cache, 1, 1000);
    publish(cache, 2, -1.0 / 0.0);  // as if nothing was known
    publish(cache, 3, 10);
    publish(cache, 4, 20);
    EXPECT_EQ(cache.Probe(Key(1)).tier, Tier::kCpu);
    EXPECT_EQ(cache.Probe(Key(4)).tier, Tier::kCpu);
  }
  // The same from disk.
  BufferPool pool(two_states, MakeGdsfPolicy);
  StateCache cache(&rocks, &pool);
  bool no_room = false;
  for (const uint64_t n : {1, 2, 3, 4}) {
    const auto acquired = cache.Acquire(Key(n), &no_room);
    ASSERT_TRUE(acquired);
    EXPECT_EQ(acquired->tier, Tier::kDisk);
  }
  EXPECT_EQ(cache.Probe(Key(1)).tier, Tier::kCpu);
  EXPECT_EQ(cache.Probe(Key(4)).tier, Tier::kCpu);
}

TEST(StateCacheTest, StatesSurviveReopeningAndAreCpuHitsAfterTheFirst) {
  const TemporaryFolder folder("states");
  const std::vector<std::tuple<uint64_t, KvShape, int>> states = {
      {1, kSmall, 1}, {2, kSmall, 600}, {3, kLarge, 700}, {4, kLarge, 0}};
  {
    Store store(folder.path());
    for (const auto& [n, shape, tokens] : states) {
      EXPECT_EQ(store.cache.Probe(Key(n)).tier, Tier::kMiss);
      const KvSegment segment = store.Publish(n, shape, tokens);
      EXPECT_EQ(segment.is_pinned(), tokens > 0);
      EXPECT_EQ(PatternMismatch(segment, static_cast<uint32_t>(n), 0, tokens), "");
      EXPECT_EQ(store.cache.Probe(Key(n)).tier, Tier::kCpu);
      EXPECT_EQ(store.Look(n, tokens), "whole");
    }
    EXPECT_EQ(store.cache.stats().writes, 4);
    EXPECT_EQ(store.cache.stats().cpu_hits, 4);
    EXPECT_EQ(store.cache.stats().read_bytes, 0);
  }
  Store store(folder.path());
  EXPECT_EQ(store.cache.stats().states, 4);
  for (const auto& [n, shape, tokens] : states) {
    const int64_t bytes = BlockGrid(shape, tokens).TotalBytes();
    const StateInfo before = store.cache.Probe(Key(n));
    EXPECT_EQ(before.tier, tokens > 0 ? Tier::kDisk : Tier::kCpu);
    EXPECT_EQ(before.bytes, bytes);
    EXPECT_EQ(before.cpu_bytes, 0);
    {
      const auto acquired = store.Acquire(n);
      ASSERT_TRUE(acquired);
      EXPECT_EQ(acquired->tier, tokens > 0 ? Tier::kDisk : Tier::kCpu);
      EXPECT_EQ(acquired->disk_bytes, bytes);
      EXPECT_EQ(acquired->segment.start_position(), 100 + static_cast<int>(n));
    }
    EXPECT_EQ(store.Look(n, tokens), "whole");
    EXPECT_EQ(store.cache.Probe(Key(n)).tier, Tier::kCpu);
    const auto manifest = store.cache.Manifest(Key(n));
    ASSERT_TRUE(manifest);
    EXPECT_EQ(manifest->token_ids, ManifestOf(n, shape, tokens).token_ids);
  }
  EXPECT_EQ(store.cache.stats().disk_hits, 3);
  EXPECT_EQ(store.Look(99, 1), "absent");
  EXPECT_EQ(store.cache.stats().misses, 1);
  EXPECT_FALSE(store.cache.Manifest(Key(99)));
  ExpectBlocksMatchManifests(store);
}

TEST(StateCacheTest, LabelsRememberTheLastStateEvenWhenItIsGone) {
  const TemporaryFolder folder("states");
  {
    Store store(folder.path());
    for (const uint64_t n : {1, 2}) {
      StateManifest manifest = ManifestOf(n, kSmall, 10);
      manifest.label = "cities.paris";
      store.cache.Publish(manifest, PatternSegment(kSmall, manifest.start_position, 10, 1));
    }
    store.cache.Erase(Key(2));
    EXPECT_FALSE(store.cache.LastUnderLabel("cities.rome"));
  }
  Store store(folder.path());
  const auto last = store.cache.LastUnderLabel("cities.paris");
  ASSERT_TRUE(last);
  EXPECT_EQ(last->key, Key(2));
  EXPECT_EQ(store.cache.List().size(), 1u);
}

TEST(StateCacheTest, ErasedStatesLeaveBothTiersAndTheDisk) {
  const TemporaryFolder folder("states");
  Store store(folder.path());
  for (const uint64_t n : {1, 2, 3}) store.Publish(n, n == 3 ? kSmall : kLarge, 600);
  const auto held = store.Acquire(2);
  const int64_t before = store.rocks.DiskBytes(Family::kBlocks);
  for (const uint64_t n : {1, 2, 3, 77}) store.cache.Erase(Key(n));
  for (const uint64_t n : {1, 2, 3}) {
    EXPECT_EQ(store.cache.Probe(Key(n)).tier, Tier::kMiss);
    EXPECT_EQ(store.Look(n, 600), "absent");
  }
  EXPECT_EQ(PatternMismatch(held->segment, 2, 0, 600), "");  // its pins keep it
  EXPECT_TRUE(BlockKeys(store.rocks).empty());
  EXPECT_LT(store.rocks.DiskBytes(Family::kBlocks), before / 5);
  EXPECT_EQ(store.cache.stats().disk_bytes, 0);
  EXPECT_EQ(store.cache.stats().states, 0);
  store.Publish(1, kLarge, 600);
  EXPECT_EQ(store.Look(1, 600), "whole");
}

TEST(StateCacheTest, PublishingAgainIsNoErrorAndWritesNothing) {
  const TemporaryFolder folder("states");
  Store store(folder.path());
  for (int i = 0; i < 3; ++i) {
    const KvSegment segment = store.Publish(1, kLarge, 300);
    EXPECT_EQ(PatternMismatch(segment, 1, 0, 300), "");
  }
  EXPECT_EQ(store.cache.stats().writes, 1);
  EXPECT_EQ(store.cache.stats().written_bytes, BlockGrid(kLarge, 300).TotalBytes());
}

TEST(StateCacheTest, WithoutRoomPublishKeepsTheSegmentAndAcquireSaysSo) {
  const TemporaryFolder folder("states");
  const int64_t one = BlockGrid(kLarge, 600).TotalBytes();
  Store store(folder.path(), one + one / 2);
  const KvSegment first = store.Publish(1, kLarge, 600);
  EXPECT_TRUE(first.is_pinned());
  {
    const KvSegment second = store.Publish(2, kLarge, 600);
    EXPECT_FALSE(second.is_pinned());
    EXPECT_EQ(PatternMismatch(second, 2, 0, 600), "");
  }
  EXPECT_EQ(store.cache.Probe(Key(2)).tier, Tier::kDisk);
  EXPECT_FALSE(store.Acquire(2));
  EXPECT_TRUE(store.no_room);
  EXPECT_EQ(store.pool.stats().pinned_bytes, one);
  EXPECT_TRUE(store.Acquire(1));  // shares the pins that are there
  EXPECT_FALSE(store.no_room);
}

TEST(StateCacheTest, StatesTakeTurnsInASmallPool) {
  const TemporaryFolder folder("states");
  const int64_t one = BlockGrid(kLarge, 600).TotalBytes();
  Store store(folder.path(), one + one / 2);
  for (const uint64_t n : {1, 2, 3}) store.Publish(n, kLarge, 600);
  for (const uint64_t n : {1, 2, 3, 2, 1}) {
    EXPECT_EQ(store.Look(n, 600), "whole");
    EXPECT_LE(store.pool.stats().used_bytes, one + one / 2);
  }
  EXPECT_GT(store.pool.stats().evictions, 0);
}

TEST(StateCacheTest, BlocksWithoutAManifestAndUnreadableManifestsAreRemovedAtOpening) {
  const TemporaryFolder folder("states");
  {
    Store store(folder.path());
    for (const uint64_t n : {1, 2, 3, 4}) store.Publish(n, n % 2 == 0 ? kLarge : kSmall, 600);
    Rocks::Batch batch;
    batch.Delete(Family::kStates, Key(1).ToBytes());
    batch.Delete(Family::kStates, Key(2).ToBytes());
    batch.Put(Family::kStates, Key(3).ToBytes(), "no manifest");
    batch.Put(Family::kBlocks, "odd key", "odd value");
    store.rocks.Write(std::move(batch));
  }
  Store store(folder.path());
  EXPECT_EQ(store.cache.stats().states, 1);
  EXPECT_EQ(store.cache.stats().corrupt, 1);
  EXPECT_EQ(store.Look(4, 600), "whole");
  ExpectBlocksMatchManifests(store);
}

TEST(StateCacheTest, AMissingBlockDropsTheState) {
  const TemporaryFolder folder("states");
  {
    Store store(folder.path());
    store.Publish(1, kLarge, 600);
    Rocks::Batch batch;
    batch.Delete(Family::kBlocks, BlockKeys(store.rocks).at(3));
    store.rocks.Write(std::move(batch));
  }
  Store store(folder.path());
  EXPECT_EQ(store.Look(1, 600), "absent");
  EXPECT_FALSE(store.no_room);
  EXPECT_EQ(store.cache.stats().corrupt, 1);
  EXPECT_EQ(store.cache.Probe(Key(1)).tier, Tier::kMiss);
  EXPECT_EQ(store.pool.stats().used_bytes, 0);
  EXPECT_TRUE(BlockKeys(store.rocks).empty());
  store.Publish(1, kLarge, 600);
  EXPECT_EQ(store.Look(1, 600), "whole");
}

TEST(StateCacheTest, AFlippedBitInABlockOnDiskDropsTheState) {
  const TemporaryFolder folder("states");
  {
    Store store(folder.path());
    store.Publish(1, kLarge, 600);
  }
  const auto tables = FilesOf(folder.path(), ".sst");
  ASSERT_EQ(tables.size(), 1u);
  FlipBit(tables[0], std::filesystem::file_size(tables[0]) / 2 * 8 + 3);
  Store store(folder.path());
  EXPECT_EQ(store.Look(1, 600), "absent");
  EXPECT_EQ(store.cache.stats().corrupt, 1);
  EXPECT_EQ(store.cache.stats().disk_bytes, 0);
  store.Publish(1, kLarge, 600);
  store.pool.Clear();
  EXPECT_EQ(store.Look(1, 600), "whole");
}

// Anywhere in any table, of blocks or of rows: the answer is right, or there is none, or the
// database says that it is damaged.
TEST(StateCacheTest, FlippedBitsAnywhereNeverGiveWrongData) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const TemporaryFolder original("states");
  {
    Store store(original.path());
    for (const uint64_t n : {1, 2, 3, 4}) store.Publish(n, n % 2 == 0 ? kLarge : kSmall, 300);
  }
  {
    Store store(original.path());  // flushes what is still in the log into tables
  }
  int whole = 0, dropped = 0, refused = 0;
  for (int round = 0; round < 60; ++round) {
    const TemporaryFolder folder("flipped");
    std::filesystem::copy(original.path(), folder.path(), std::filesystem::copy_options::recursive);
    const auto tables = FilesOf(folder.path(), ".sst");
    const auto& table = tables[static_cast<size_t>(round) % tables.size()];
    const uint64_t size = std::filesystem::file_size(table);
    // Half of the bits where the index and the footer lie.
    const uint64_t from = random() % 2 == 0 ? 0 : size - std::min<uint64_t>(size, 1500);
    FlipBit(table, (from + random() % (size - from)) * 8 + random() % 8);
    try {
      Store store(folder.path());
      for (const uint64_t n : {1, 2, 3, 4}) {
        const std::string look = store.Look(n, 300);
        ASSERT_TRUE(look == "whole" || look == "absent") << look << " in round " << round;
        ++(look == "whole" ? whole : dropped);
      }
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kIo ||
                  error.code() == ErrorCode::kUnsupported)
          << error.message();
      ++refused;
      EXPECT_NE(error.hint(), "");
    }
  }
  std::cout << whole << " states whole, " << dropped << " dropped, " << refused
            << " databases refused\n";
  EXPECT_GT(whole, 0);
  EXPECT_GT(dropped + refused, 0);
}

TEST(StateCacheTest, ThreadsPublishAcquireAndEraseTheSameStates) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const TemporaryFolder folder("states");
  const int64_t one = BlockGrid(kLarge, 200).TotalBytes();
  std::atomic<int> wrong = 0, whole = 0;
  {
    Store store(folder.path(), 4 * one);
    const auto work = [&](uint32_t thread) {
      std::mt19937 random(seed + thread);
      for (int step = 0; step < 60; ++step) {
        const uint64_t n = 1 + random() % 5;
        const KvShape& shape = n % 2 == 0 ? kLarge : kSmall;
        bool no_room = false;
        switch (random() % 5) {
          case 0:
            store.cache.Erase(Key(n));
            break;
          case 1:
          case 2: {
            const KvSegment segment = store.Publish(n, shape, 200);
            if (PatternMismatch(segment, static_cast<uint32_t>(n), 0, 200) != "") ++wrong;
            break;
          }
          default: {
            const auto acquired = store.cache.Acquire(Key(n), &no_room);
            if (!acquired) break;
            const auto& segment = acquired->segment;
            ++(PatternMismatch(segment, static_cast<uint32_t>(n), 0, 200) == "" ? whole : wrong);
          }
        }
        if (store.pool.stats().used_bytes > 4 * one) ++wrong;
      }
    };
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(store.cache.stats().corrupt, 0);
    EXPECT_EQ(store.pool.stats().pinned_bytes, 0);
    ExpectBlocksMatchManifests(store);
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(whole, 0);
  Store store(folder.path());
  ExpectBlocksMatchManifests(store);
  for (const StateManifest& manifest : store.cache.List()) {
    EXPECT_EQ(store.Look(manifest.key.low, 200), "whole");
  }
}

// Tokens of the state n that the child of the next test publishes.
int CrashTokens(uint64_t n) { return n % 3 == 0 ? 40 : 150 + static_cast<int>(n % 7) * 20; }

// Run by the next test in a process of its own, which is killed: publishes states, some of which it
// erases again, and writes the number of each to the pipe once it is published.
TEST(StateCacheTest, DISABLED_PublishesUntilKilled) {
  const char* folder = std::getenv("PROMPTDB_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  Store store(folder);
  const auto first = static_cast<uint64_t>(std::atoi(std::getenv("PROMPTDB_TEST_FIRST")));
  for (uint64_t n = first; n < first + 1000; ++n) {
    store.Publish(n, kLarge, CrashTokens(n));
    const auto told = static_cast<uint16_t>(n);
    if (n % 4 == 1) store.cache.Erase(Key(n));
    if (write(3, &told, sizeof(told)) != sizeof(told)) return;
  }
}

TEST(StateCacheTest, AProcessKilledInMidPublishLeavesWholeStatesOrNone) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const TemporaryFolder folder("killed");
  ASSERT_EQ(setenv("PROMPTDB_TEST_FOLDER", folder.path().c_str(), 1), 0);
  uint64_t first = 1;
  int published = 0, found = 0;
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(setenv("PROMPTDB_TEST_FIRST", std::to_string(first).c_str(), 1), 0);
    std::vector<uint16_t> told;
    ASSERT_NO_FATAL_FAILURE(RunUntilKilled("StateCacheTest.DISABLED_PublishesUntilKilled",
                                           std::chrono::microseconds(random() % 120'000), &told));

    Store store(folder.path());
    ExpectBlocksMatchManifests(store);
    EXPECT_EQ(store.cache.stats().corrupt, 0);
    for (const uint64_t state : told) {
      ASSERT_EQ(store.Look(state, CrashTokens(state)), state % 4 == 1 ? "absent" : "whole");
    }
    published += static_cast<int>(told.size());
    for (const StateManifest& manifest : store.cache.List()) {
      ASSERT_EQ(store.Look(manifest.key.low, CrashTokens(manifest.key.low)), "whole");
      ++found;
      first = std::max(first, manifest.key.low + 1);
    }
    // Old states make later rounds slow; what they showed, they have shown.
    for (const StateManifest& manifest : store.cache.List()) store.cache.Erase(manifest.key);
    first = std::max(first, told.back() + uint64_t{2});
  }
  std::cout << published << " states were told of, " << found << " were found\n";
}

// Not tests: print what this machine reads and writes. The second reads, in a fresh process, what
// the first leaves in PROMPTDB_TEST_FOLDER.
TEST(StateCacheTest, DISABLED_FirstHitOfAProcess) {
  const char* folder = std::getenv("PROMPTDB_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  const KvShape shape{30, 3, 64, KvDtype::kBf16};
  const bool create = !std::filesystem::exists(folder);
  Store store(folder);
  if (create) store.Publish(1, shape, 4096);
  store.pool.Clear();
  const auto from = std::chrono::steady_clock::now();
  ASSERT_TRUE(store.Acquire(1));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  std::cout << (create ? "warm memory: " : "fresh process: ") << seconds * 1e3 << " ms for "
            << BlockGrid(shape, 4096).TotalBytes() << " bytes\n";
}

TEST(StateCacheTest, DISABLED_Rates) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
  };
  const KvShape shape{30, 3, 64, KvDtype::kBf16};
  const int tokens = 4096;
  const double gigabytes = static_cast<double>(BlockGrid(shape, tokens).TotalBytes()) / 1e9;
  const TemporaryFolder folder("rates");
  for (int round = 0; round < 4; ++round) {
    const uint64_t n = static_cast<uint64_t>(round) + 1;
    Store store(folder.path());
    KvSegment segment = PatternSegment(shape, 100 + static_cast<int>(n), tokens, 1);
    auto from = Clock::now();
    {
      const KvSegment published =
          store.cache.Publish(ManifestOf(n, shape, tokens), std::move(segment));
    }
    std::cout << "publish " << gigabytes / seconds(from) << " GB/s";
    from = Clock::now();
    { ASSERT_TRUE(store.Acquire(n)); }
    std::cout << ", CPU hit " << seconds(from) * 1e6 << " us";
    for (int again = 0; again < 3; ++again) {
      store.pool.Clear();
      from = Clock::now();
      { ASSERT_TRUE(store.Acquire(n)); }
      std::cout << ", disk hit " << gigabytes / seconds(from) << " GB/s";
    }
    std::cout << "\n";
  }
  auto from = Clock::now();
  Store store(folder.path());
  std::cout << "open " << seconds(from) * 1e3 << " ms\n";
  from = Clock::now();
  { ASSERT_TRUE(store.Acquire(1)); }
  std::cout << "first disk hit of a process " << gigabytes / seconds(from) << " GB/s\n";

  std::vector<std::byte> source(static_cast<size_t>(gigabytes * 1e9), std::byte{1});
  for (int round = 0; round < 3; ++round) {
    from = Clock::now();
    std::vector<BlockBuffer> blocks;
    for (size_t at = 0; at + (1 << 20) <= source.size(); at += 1 << 20) {
      blocks.emplace_back(1 << 20);
      std::memcpy(blocks.back().data(), source.data() + at, 1 << 20);
    }
    std::cout << "memcpy into fresh blocks " << gigabytes / seconds(from) << " GB/s";
    from = Clock::now();
    for (size_t i = 0; i < blocks.size(); ++i) {
      std::memcpy(blocks[i].data(), source.data() + (i << 20), 1 << 20);
    }
    std::cout << ", into used ones " << gigabytes / seconds(from) << " GB/s";
    from = Clock::now();
    uint64_t sum = 0;
    for (const BlockBuffer& block : blocks) {
      sum += DigestBytes({block.data(), static_cast<size_t>(block.size())}).low;
    }
    std::cout << ", checksum " << gigabytes / seconds(from) << " GB/s " << (sum == 0 ? "" : "\n");
  }
}

}  // namespace
}  // namespace promptdb
