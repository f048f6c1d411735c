#include "storage/stored_blocks.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/state_cache.h"
#include "tests/kv_pattern.h"
#include "tests/some_manifest.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

constexpr KvShape kLarge{6, 4, 128, KvDtype::kBf16};  // 12 KiB a token: by files
constexpr int kTokens = 200;
constexpr uint64_t kState = 1;
const BlockGrid kGrid(kLarge, kTokens);

class StoredBlocksTest : public testing::Test {
 protected:
  void Publish(uint64_t n) {
    const StateManifest manifest = ManifestOf(n, kLarge, kTokens);
    cache_.Publish(manifest, PatternSegment(kLarge, manifest.start_position, kTokens,
                                            static_cast<uint32_t>(n)));
  }

  void ReadAll() {
    for (int i = 0; i < kGrid.blocks(); ++i) stored_.Read(Key(kState), kLarge, kGrid, i);
  }

  // In the middle of the only table with blocks, where a payload lies.
  void Damage() {
    const auto tables = rocks_.Tables();
    for (const Rocks::TableFile& table : tables) {
      if (table.family != Family::kBlocks) continue;
      const auto path = folder_ / table.name;
      FlipBit(path, std::filesystem::file_size(path) / 2 * 8);
    }
  }

  void ExpectDamageIsFound(const std::function<void()>& read) {
    ExpectError(ErrorCode::kCorrupt, {"checksum"}, read);
  }

  const TemporaryFolder folder_{"stored"};
  Rocks rocks_{folder_.path()};
  BufferPool pool_{int64_t{1} << 30, MakeLruPolicy};
  StateCache cache_{&rocks_, &pool_};
  StoredBlocks stored_{&rocks_};
};

TEST_F(StoredBlocksTest, TheFirstReadChecks) {
  Publish(kState);
  EXPECT_EQ(stored_.CheckedBytes(Key(kState)), 0) << "what was written was not read";
  Damage();
  ExpectDamageIsFound([&] { ReadAll(); });
  EXPECT_LT(stored_.CheckedBytes(Key(kState)), kGrid.TotalBytes());
}

TEST_F(StoredBlocksTest, WhatWasReadIsCheckedNoMore) {
  Publish(kState);
  ReadAll();
  EXPECT_EQ(stored_.CheckedBytes(Key(kState)), kGrid.TotalBytes());
  EXPECT_EQ(stored_.CheckedBytes(Key(2)), 0);
  // The table is mapped, and so shows what becomes of its file.
  Damage();
  EXPECT_NO_THROW(ReadAll());
  ExpectDamageIsFound([&] {
    for (int i = 0; i < kGrid.blocks(); ++i) ReadStoredBlock(rocks_, Key(kState), kLarge, kGrid, i);
  });
  stored_.Forget(Key(kState));
  ExpectDamageIsFound([&] { ReadAll(); });
}

TEST_F(StoredBlocksTest, OtherStatesMayComeMeanwhile) {
  Publish(kState);
  ReadAll();
  Publish(2);
  EXPECT_EQ(stored_.CheckedBytes(Key(kState)), kGrid.TotalBytes());
}

TEST_F(StoredBlocksTest, WhatIsWrittenAnewIsCheckedAgain) {
  Publish(kState);
  // Keys that lie around the state's, from above, so that compaction has to write.
  Rocks::Batch batch;
  batch.Put(Family::kBlocks, BlockKey(Key(kState), kGrid.blocks() + 1), "more");
  rocks_.Write(std::move(batch));
  ReadAll();
  rocks_.Compact(Family::kBlocks);
  EXPECT_EQ(stored_.CheckedBytes(Key(kState)), 0);
  Damage();
  ExpectDamageIsFound([&] { ReadAll(); });
}

TEST_F(StoredBlocksTest, CheckingTheDatabaseReadsEverythingAnew) {
  Publish(kState);
  pool_.Clear();
  bool no_room = false;
  ASSERT_TRUE(cache_.Acquire(Key(kState), &no_room));
  EXPECT_EQ(cache_.Probe(Key(kState)).checked_bytes, kGrid.TotalBytes());
  Damage();
  const auto check = cache_.CheckState(Key(kState), [](int64_t) {});
  ASSERT_TRUE(check);
  EXPECT_EQ(check->damaged_blocks, 1);
  EXPECT_EQ(cache_.Probe(Key(kState)).tier, Tier::kMiss) << "it was dropped";
  Publish(kState);
  EXPECT_EQ(cache_.Probe(Key(kState)).checked_bytes, 0) << "another table has it";
}

// The bytes of a state's K and V, in order.
std::string Bytes(const KvSegment& segment) {
  std::string bytes;
  for (int layer = 0; layer < segment.shape().layers; ++layer) {
    std::vector<KvSlice> slices;
    segment.AppendSlices(layer, 0, segment.tokens(), slices);
    for (const KvSlice& slice : slices) {
      const auto size = static_cast<size_t>(slice.head_stride * segment.shape().kv_heads * 2);
      bytes.append(reinterpret_cast<const char*>(slice.k), size);
      bytes.append(reinterpret_cast<const char*>(slice.v), size);
    }
  }
  return bytes;
}

// A pattern in every second byte, and so of the kind that shrinks.
KvSegment Shrinkable(const StateManifest& manifest, uint32_t seed) {
  KvSegment segment = PatternSegment(kLarge, manifest.start_position, manifest.tokens, seed);
  for (int layer = 0; layer < kLarge.layers; ++layer) {
    std::vector<KvMutableSlice> slices;
    segment.AppendMutableSlices(layer, 0, manifest.tokens, slices);
    for (const KvMutableSlice& slice : slices) {
      const auto size = static_cast<size_t>(slice.head_stride * kLarge.kv_heads * 2);
      for (size_t i = 0; i < size; i += 2) {
        slice.k[i] = std::byte{1};
        slice.v[i] = std::byte{2};
      }
    }
  }
  return segment;
}

TEST_F(StoredBlocksTest, CompressedStatesAreReadAsTheyWere) {
  std::map<uint64_t, std::string> written;
  const auto publish = [&](uint64_t n, int tokens) {
    const StateManifest manifest = ManifestOf(n, kLarge, tokens);
    KvSegment segment = Shrinkable(manifest, static_cast<uint32_t>(n));
    written[n] = Bytes(segment);
    cache_.Publish(manifest, std::move(segment));
  };
  const auto table_bytes = [&] {
    int64_t bytes = 0;
    for (const Rocks::TableFile& table : rocks_.Tables()) {
      if (table.family == Family::kBlocks) bytes += table.bytes;
    }
    return bytes;
  };
  constexpr int kFewTokens = 20;  // through the log
  publish(1, kTokens);
  const int64_t plain = table_bytes();
  rocks_.SetCompression(Rocks::Compression::kZstd);
  publish(2, kTokens);
  const int64_t both = table_bytes();
  EXPECT_LT(both, plain * 18 / 10) << "twice as many states";
  publish(3, kFewTokens);
  pool_.Clear();
  for (const auto& [n, bytes] : written) {
    bool no_room = false;
    const auto acquired = cache_.Acquire(Key(n), &no_room);
    ASSERT_TRUE(acquired) << n;
    EXPECT_EQ(acquired->tier, Tier::kDisk);
    EXPECT_TRUE(Bytes(acquired->segment) == bytes) << n;
  }
  rocks_.Compact(Family::kBlocks);
  EXPECT_LT(table_bytes(), both) << "those that were there are written anew";
  rocks_.SetCompression(Rocks::Compression::kNone);
  EXPECT_EQ(rocks_.compression(), Rocks::Compression::kNone);
}

TEST_F(StoredBlocksTest, DamageOfCompressedBlocksIsFound) {
  rocks_.SetCompression(Rocks::Compression::kZstd);
  Publish(kState);
  Damage();
  ExpectDamageIsFound([&] { ReadAll(); });
}

}  // namespace
}  // namespace promptdb
