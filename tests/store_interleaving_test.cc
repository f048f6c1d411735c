// Random interleavings of all that is done to the buffer pool and the state
// cache: publish, acquire, read, release, erase, evict, check, and changes of
// policies and budgets, by several threads.
//
// In the first test threads take turns in an order that the seed decides, so
// that a failure comes again with it, and everything is checked after each
// step. In the second they run freely, as a sanitizer wants it; what holds at
// every moment is checked all the time, everything whenever they pause.
//
// PROMPTDB_SEED sets the seed, PROMPTDB_INTERLEAVING_STEPS how many steps there
// are (3000).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "storage/state_cache.h"
#include "tests/kv_pattern.h"
#include "tests/support/random_cases.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

constexpr int kThreads = 4;
constexpr int kStates = 14;
constexpr KvShape kSmall{3, 2, 16, KvDtype::kBf16};  // through the log
constexpr KvShape kLarge{6, 4, 64, KvDtype::kBf16};  // 1 MiB and more: by files

Digest Key(int n) {
  return {static_cast<uint64_t>(n) * 0x9e3779b97f4a7c15u, static_cast<uint64_t>(n)};
}
const KvShape& ShapeOf(int n) { return n == 0 ? kLarge : kSmall; }
int TokensOf(int n) { return n == 0 ? 180 : 12 + n * 5; }
int64_t BytesOf(int n) { return BlockGrid(ShapeOf(n), TokensOf(n)).TotalBytes(); }

StateManifest ManifestOf(int n) {
  StateManifest manifest;
  manifest.key = Key(n);
  manifest.shape = ShapeOf(n);
  manifest.tokens = TokensOf(n);
  manifest.start_position = n;
  manifest.label = "s.m" + std::to_string(n);
  manifest.model = {1, 2};
  manifest.context = {3, static_cast<uint64_t>(n % 3)};
  for (int i = 0; i < manifest.tokens; ++i) manifest.token_ids.push_back(i < 4 ? i : i + n);
  manifest.encode_ms = 1.0 + n;
  return manifest;
}

// Where every slice of a segment lies.
std::vector<const std::byte*> PlacesOf(const KvSegment& segment) {
  std::vector<const std::byte*> places;
  for (int layer = 0; layer < segment.shape().layers; ++layer) {
    std::vector<KvSlice> slices;
    segment.AppendSlices(layer, 0, segment.tokens(), slices);
    for (const KvSlice& slice : slices) {
      places.push_back(slice.k);
      places.push_back(slice.v);
    }
  }
  return places;
}

// A state in use.
struct Held {
  int state;
  KvSegment segment;
  std::vector<const std::byte*> places;

  Held(int n, KvSegment of) : state(n), segment(std::move(of)), places(PlacesOf(segment)) {}
};

struct Store {
  explicit Store(const std::filesystem::path& folder)
      : rocks(folder), pool(int64_t{2} << 20, MakeS3FifoPolicy), cache(&rocks, &pool) {
    // Every acknowledged batch is in the log; that it is on the disk, too, is
    // another test's matter.
    rocks.SetSyncsWrites(false);
    cache.SetPinBudget(200'000);
  }

  Rocks rocks;
  BufferPool pool;
  StateCache cache;
};

// What a thread does, step by step.
class Client {
 public:
  Client(Store& store, uint32_t seed) : store_(store), random_(seed) {}

  void Step() {
    const int n = static_cast<int>(random_() % kStates);
    switch (random_() % 28) {
      case 24:
      case 25:
      case 26:
      case 0:
      case 1:
      case 2:
      case 3:
        Publish(n);
        break;
      case 4:
      case 5:
      case 6:
      case 7:
      case 8:
        Acquire(n);
        break;
      case 9:
      case 10:
      case 11:
      case 12:
        Release();
        break;
      case 13:
        Read(n);
        break;
      case 14:
      case 15:
        store_.cache.Erase(Key(n));
        break;
      case 16:
        EXPECT_GE(store_.cache.EvictFromMemory(Key(n)), 0);
        break;
      case 17:
      case 18:
        store_.cache.SetPolicy(Key(n),
                               {0, static_cast<int>(random_() % 3) - 1, random_() % 3 == 0});
        break;
      case 19:
        store_.pool.SetBudget(80'000 + static_cast<int64_t>(random_() % 4 == 0
                                                                ? random_() % 3'000'000
                                                                : random_() % 400'000));
        break;
      case 20:
        store_.pool.SetPolicy(
            EvictionPolicyNamed(EvictionPolicyNames()[random_() % EvictionPolicyNames().size()]));
        break;
      case 21:
        if (random_() % 2 == 0) {
          store_.cache.SetPinBudget(static_cast<int64_t>(random_() % 400'000));
        } else {
          store_.pool.Clear();
        }
        break;
      case 22:
        store_.cache.SetDiskBudget(
            random_() % 2 == 0 ? 0 : 150'000 + static_cast<int64_t>(random_() % 1'500'000));
        break;
      default:
        Check(n);
    }
    ++steps_;
  }

  // What is held stays where it is; and, if `wholly`, as it is.
  void ExpectHeldUnchanged(bool wholly) const {
    for (const Held& held : held_) {
      EXPECT_EQ(PlacesOf(held.segment), held.places) << "state " << held.state << " has moved";
      if (wholly) ExpectRight(held.state, held.segment);
    }
  }

  void ReleaseAll() { held_.clear(); }
  const std::vector<Held>& held() const { return held_; }
  int64_t found() const { return found_; }
  int64_t steps() const { return steps_; }

 private:
  static void ExpectRight(int n, const KvSegment& segment) {
    ASSERT_EQ(segment.tokens(), TokensOf(n));
    EXPECT_EQ(PatternMismatch(segment, static_cast<uint32_t>(n), 0, TokensOf(n)), "") << n;
  }

  void Publish(int n) {
    // As the engine does: one computes, the others wait and then find it.
    const auto computing = store_.cache.BeginComputing({Key(n)}, [] { return false; });
    KvSegment segment = store_.cache.Publish(
        ManifestOf(n), PatternSegment(ShapeOf(n), n, TokensOf(n), static_cast<uint32_t>(n)));
    ExpectRight(n, segment);
    if (random_() % 2 == 0) Hold(n, std::move(segment));
  }

  void Acquire(int n) {
    bool no_room = false;
    auto acquired = store_.cache.Acquire(Key(n), &no_room);
    if (!acquired) return;
    ++found_;
    EXPECT_FALSE(no_room);
    EXPECT_TRUE(acquired->segment.is_pinned());
    ExpectRight(n, acquired->segment);
    Hold(n, std::move(acquired->segment));
  }

  void Read(int n) {
    const auto read = store_.cache.Read(Key(n));
    if (!read) return;
    ++found_;
    EXPECT_FALSE(read->segment.is_pinned());
    ExpectRight(n, read->segment);
  }

  void Check(int n) {
    const auto check = store_.cache.CheckState(Key(n), [](int64_t) {});
    if (!check) return;
    EXPECT_EQ(check->damage, "");
    EXPECT_EQ(check->block_bytes, BytesOf(n));
  }

  void Hold(int n, KvSegment segment) {
    if (held_.size() < 3) held_.emplace_back(n, std::move(segment));
  }

  void Release() {
    if (held_.empty()) return;
    const auto victim = held_.begin() + static_cast<long>(random_() % held_.size());
    ExpectRight(victim->state, victim->segment);
    held_.erase(victim);
  }

  Store& store_;
  std::mt19937 random_;
  std::vector<Held> held_;
  int64_t found_ = 0;
  int64_t steps_ = 0;
};

// What holds at every moment, whatever other threads do.
void ExpectBudgetsHold(Store& store) {
  const PoolStats pool = store.pool.stats();
  // A budget that was lowered below what is pinned has to wait for the pins.
  EXPECT_LE(pool.used_bytes, std::max(pool.budget_bytes, pool.pinned_bytes));
  EXPECT_LE(pool.pinned_bytes, pool.used_bytes);
  const StateCacheStats cache = store.cache.stats();
  EXPECT_LE(cache.held_bytes, cache.pin_budget);
  EXPECT_EQ(cache.corrupt, 0);
}

// What holds when nobody is in the middle of anything.
void ExpectBooksAddUp(Store& store, const std::vector<std::unique_ptr<Client>>& clients) {
  ExpectBudgetsHold(store);
  std::set<int> pinned;
  for (const auto& client : clients) {
    for (const Held& held : client->held()) {
      if (held.segment.is_pinned()) pinned.insert(held.state);
    }
  }
  int64_t in_memory = 0, on_disk = 0, kept_on_disk = 0, pinned_bytes = 0, held_bytes = 0;
  size_t states = 0;
  for (int n = 0; n < kStates; ++n) {
    const StateInfo info = store.cache.Probe(Key(n));
    if (info.tier != Tier::kMiss) {
      ++states;
      on_disk += info.bytes;
      EXPECT_EQ(info.bytes, BytesOf(n)) << "a state is whole or absent";
      if (store.cache.PolicyOf(Key(n)).is_pinned) kept_on_disk += info.bytes;
      const auto manifest = store.cache.Manifest(Key(n));
      ASSERT_TRUE(manifest) << n;
      EXPECT_EQ(manifest->tokens, TokensOf(n));
    }
    in_memory += store.pool.StateBytes(Key(n));
    EXPECT_LE(store.pool.StateBytes(Key(n)), BytesOf(n));
    if (store.cache.IsHeld(Key(n))) {
      held_bytes += BytesOf(n);
      pinned.insert(n);
      EXPECT_NE(info.tier, Tier::kMiss) << "a state that is kept by policy is there";
      EXPECT_TRUE(store.cache.PolicyOf(Key(n)).is_pinned);
    }
  }
  for (const int n : pinned) {
    pinned_bytes += BytesOf(n);
    EXPECT_EQ(store.pool.StateBytes(Key(n)), BytesOf(n)) << "a pinned state is wholly in memory";
  }
  const PoolStats pool = store.pool.stats();
  EXPECT_EQ(pool.used_bytes, in_memory);
  EXPECT_EQ(pool.pinned_bytes, pinned_bytes);
  const StateCacheStats cache = store.cache.stats();
  EXPECT_EQ(cache.held_bytes, held_bytes);
  EXPECT_EQ(cache.disk_bytes, on_disk);
  EXPECT_EQ(static_cast<size_t>(cache.states), states);
  EXPECT_EQ(store.cache.Keys().size(), states);
  EXPECT_EQ(store.cache.List().size(), states);
  EXPECT_GE(cache.writes - cache.evicted, cache.states);
  if (cache.disk_budget > 0) {
    // States that a policy pins stay.
    EXPECT_LE(cache.disk_bytes, std::max(cache.disk_budget, kept_on_disk));
  }
}

class InterleavingTest : public testing::Test {
 protected:
  InterleavingTest()
      : folder_("interleaving"),
        seed_(static_cast<uint32_t>(
            FromEnvironment("PROMPTDB_SEED", static_cast<int>(std::random_device{}() >> 1)))),
        steps_(FromEnvironment("PROMPTDB_INTERLEAVING_STEPS", 3000)) {
    std::printf("seed %u\n", seed_);
  }

  // Opened again, everything is as it was.
  void ExpectSameAfterwards(std::unique_ptr<Store> store) {
    std::set<Digest> before;
    for (const Digest& key : store->cache.Keys()) before.insert(key);
    store.reset();
    Store again(folder_.path());
    const std::vector<Digest> after = again.cache.Keys();
    EXPECT_EQ(std::set<Digest>(after.begin(), after.end()), before);
    for (const Digest& key : after) {
      const auto check = again.cache.CheckState(key, [](int64_t) {});
      ASSERT_TRUE(check);
      EXPECT_EQ(check->damage, "");
    }
  }

  const TemporaryFolder folder_;
  const uint32_t seed_;
  const int steps_;
};

TEST_F(InterleavingTest, AnyOrderOfStepsKeepsTheBooks) {
  auto store = std::make_unique<Store>(folder_.path());
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < kThreads; ++i) {
    clients.push_back(std::make_unique<Client>(*store, seed_ + i));
  }
  std::mutex mutex;
  std::condition_variable turned;
  std::mt19937 order(seed_ ^ 0x5eedu);
  int turn = 0, done = 0;  // both guarded by mutex
  const auto work = [&](int id) {
    std::unique_lock lock(mutex);
    for (;;) {
      turned.wait(lock, [&] { return turn == id || done >= steps_; });
      if (done >= steps_) return;
      clients[static_cast<size_t>(id)]->Step();
      ExpectBooksAddUp(*store, clients);
      for (const auto& client : clients) client->ExpectHeldUnchanged(done % 64 == 0);
      ++done;
      if (testing::Test::HasFailure()) {
        std::printf("the first failure is that of step %d\n", done);
        done = steps_;
      }
      turn = static_cast<int>(order() % kThreads);
      turned.notify_all();
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  int64_t found = 0;
  for (const auto& client : clients) {
    found += client->found();
    client->ReleaseAll();
  }
  ExpectBooksAddUp(*store, clients);
  EXPECT_GT(found, 0);
  const PoolStats pool = store->pool.stats();
  const StateCacheStats cache = store->cache.stats();
  std::printf(
      "%d steps: %lld states found, %lld written, %lld evicted from "
      "disk; %lld blocks from "
      "memory\n",
      steps_, static_cast<long long>(found), static_cast<long long>(cache.writes),
      static_cast<long long>(cache.evicted), static_cast<long long>(pool.evictions));
  EXPECT_GT(pool.evictions, 0);
  clients.clear();
  ExpectSameAfterwards(std::move(store));
}

TEST_F(InterleavingTest, ThreadsThatRunFreelyKeepTheBooks) {
  auto store = std::make_unique<Store>(folder_.path());
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < kThreads; ++i) {
    clients.push_back(std::make_unique<Client>(*store, seed_ + i));
  }
  constexpr int kPauses = 20;
  const int steps = std::max(1, steps_ / kPauses / kThreads);
  for (int round = 0; round < kPauses && !testing::Test::HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::atomic<bool> ends = false;
    std::thread watcher([&] {
      while (!ends) {
        ExpectBudgetsHold(*store);
        std::this_thread::yield();
      }
    });
    std::vector<std::thread> threads;
    for (const auto& client : clients) {
      threads.emplace_back([&client, &store, steps] {
        for (int i = 0; i < steps; ++i) {
          client->Step();
          client->ExpectHeldUnchanged(i % 16 == 0);
          ExpectBudgetsHold(*store);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ends = true;
    watcher.join();
    ExpectBooksAddUp(*store, clients);
  }
  for (const auto& client : clients) client->ReleaseAll();
  ExpectBooksAddUp(*store, clients);
  clients.clear();
  ExpectSameAfterwards(std::move(store));
}

}  // namespace
}  // namespace promptdb
