#include "storage/kv_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <set>
#include <tuple>

#include "base/error.h"
#include "tests/kv_pattern.h"

namespace promptdb {
namespace {

// The geometry rule of docs/storage-format.md, computed by trying all sizes.
struct SlowGeometry {
  int chunk = 0, group = 0;

  explicit SlowGeometry(const KvShape& shape) {
    const double per_token =
        2.0 * shape.kv_heads * shape.head_dim * (shape.dtype == KvDtype::kF32 ? 4 : 2);
    for (int tokens : {16, 32, 64, 128, 256, 512}) {
      if (tokens == 16 || tokens * per_token <= 1048576) chunk = tokens;
    }
    double best = 1e300;
    for (int layers = 1; layers <= shape.layers; ++layers) {
      const double distance = std::abs(1048576 - layers * chunk * per_token);
      if (distance <= best) {
        best = distance;
        group = layers;
      }
    }
  }
};

KvShape RandomShape(std::mt19937& random) {
  constexpr int kDims[] = {1, 8, 16, 64, 80, 96, 128, 256};
  KvShape shape;
  shape.layers = 1 + static_cast<int>(random() % 80);
  shape.kv_heads = 1 + static_cast<int>(random() % 40);
  shape.head_dim = kDims[random() % std::size(kDims)];
  shape.dtype = random() % 2 == 0 ? KvDtype::kF32 : KvDtype::kBf16;
  return shape;
}

TEST(BlockGridTest, AgreesWithTheSlowRuleOverManyShapes) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    const KvShape shape = RandomShape(random);
    const int tokens = static_cast<int>(random() % 3000);
    const SlowGeometry slow(shape);
    const BlockGrid grid(shape, tokens);
    ASSERT_EQ(grid.chunk_tokens(), slow.chunk);
    ASSERT_EQ(grid.group_layers(), slow.group);

    // Every (layer, token) is in exactly one block; indices run by group, then chunk.
    std::vector<int> covered(static_cast<size_t>(shape.layers * tokens));
    int64_t bytes = 0;
    int previous_layer = 0, previous_token = -1;
    for (int i = 0; i < grid.blocks(); ++i) {
      const BlockExtent extent = grid.Extent(i);
      ASSERT_EQ(extent.first_layer % slow.group, 0);
      ASSERT_EQ(extent.first_token % slow.chunk, 0);
      ASSERT_TRUE(std::tie(previous_layer, previous_token) <
                  std::tie(extent.first_layer, extent.first_token));
      previous_layer = extent.first_layer;
      previous_token = extent.first_token;
      int64_t payload = 0;
      for (int layer = extent.first_layer; layer < extent.first_layer + extent.layers; ++layer) {
        for (int t = extent.first_token; t < extent.first_token + extent.tokens; ++t) {
          ++covered.at(static_cast<size_t>(layer * tokens + t));
          payload += 2 * shape.kv_heads * shape.head_dim * KvDtypeBits(shape.dtype) / 8;
        }
      }
      ASSERT_EQ(extent.payload_bytes, payload);
      bytes += payload + 128;
    }
    ASSERT_TRUE(std::all_of(covered.begin(), covered.end(), [](int n) { return n == 1; }));
    ASSERT_EQ(grid.TotalBytes(), bytes);
  }
}

// The layout on disk: a change of these numbers is a change of the format.
TEST(BlockGridTest, KnownShapesKeepTheirGeometry) {
  const auto geometry = [](int layers, int heads, int dim, KvDtype dtype) {
    const BlockGrid grid({layers, heads, dim, dtype}, 4096);
    return std::tuple(grid.chunk_tokens(), grid.group_layers(), grid.blocks());
  };
  EXPECT_EQ(geometry(30, 3, 64, KvDtype::kBf16), std::tuple(512, 3, 80));     // SmolLM-135M
  EXPECT_EQ(geometry(22, 4, 64, KvDtype::kBf16), std::tuple(512, 2, 88));     // TinyLlama 1.1B
  EXPECT_EQ(geometry(32, 32, 128, KvDtype::kBf16), std::tuple(64, 1, 2048));  // Llama 2 7B
  EXPECT_EQ(geometry(5, 4, 8, KvDtype::kF32), std::tuple(512, 5, 8));         // stories260K
  EXPECT_EQ(geometry(30, 3, 64, KvDtype::kInt8), std::tuple(512, 5, 48));
  EXPECT_EQ(geometry(30, 3, 64, KvDtype::kInt4), std::tuple(512, 9, 32));
  EXPECT_EQ(geometry(32, 32, 128, KvDtype::kInt8), std::tuple(64, 2, 1024));
}

TEST(BlockGridTest, ImpossibleShapesAreNotValid) {
  EXPECT_TRUE(IsValid({30, 3, 64, KvDtype::kBf16}));
  EXPECT_FALSE(IsValid({0, 3, 64, KvDtype::kBf16}));
  EXPECT_FALSE(IsValid({30, -3, 64, KvDtype::kBf16}));
  EXPECT_FALSE(IsValid({30, 3, 1 << 30, KvDtype::kBf16}));
  EXPECT_FALSE(IsValid({30, 3, 64, static_cast<KvDtype>(7)}));
  EXPECT_TRUE(IsValid({30, 3, 5, KvDtype::kInt8}));
  EXPECT_FALSE(IsValid({30, 3, 5, KvDtype::kInt4}));  // two elements are a byte
}

// Parts of a quantized layer do not overlap, and begin where they may; see docs/storage-format.md.
TEST(LayerLayoutTest, PartsFollowOneAnother) {
  for (const KvDtype dtype : {KvDtype::kInt8, KvDtype::kInt4}) {
    for (const int tokens : {1, 63, 64, 65, 300}) {
      const KvShape shape{4, 3, 20, dtype};
      const LayerLayout layout = LayoutOf(shape, tokens);
      const int64_t codes = int64_t{3} * tokens * 20 * KvDtypeBits(dtype) / 8;
      const int64_t groups = tokens <= 64 ? 1 : tokens <= 128 ? 2 : 5;
      EXPECT_EQ(layout.k, 0);
      EXPECT_EQ(layout.k_scales, (codes + 63) / 64 * 64);
      EXPECT_EQ(layout.v, (layout.k_scales + 3 * groups * 2 * 20 * 2 + 63) / 64 * 64);
      EXPECT_EQ(layout.v_scales, (layout.v + codes + 63) / 64 * 64);
      EXPECT_EQ(layout.bytes, (layout.v_scales + 3 * 2 * tokens * 2 + 63) / 64 * 64);
      const BlockGrid grid(shape, tokens);
      int64_t total = 0;
      for (int i = 0; i < grid.blocks(); ++i) total += grid.Extent(i).payload_bytes + 128;
      EXPECT_EQ(grid.TotalBytes(), total);
    }
  }
}

std::vector<BlockBuffer> SealedBlocks(const Digest& state, const KvShape& shape, int tokens,
                                      uint32_t seed) {
  std::vector<BlockBuffer> blocks = PatternSegment(shape, 0, tokens, seed).TakeBlocks();
  const BlockGrid grid(shape, tokens);
  for (int i = 0; i < grid.blocks(); ++i) {
    SealBlock(state, shape, grid.Extent(i), blocks[static_cast<size_t>(i)]);
  }
  return blocks;
}

BlockBuffer Copy(const BlockBuffer& block) {
  BlockBuffer copy(block.payload_bytes());
  std::memcpy(copy.data(), block.data(), static_cast<size_t>(block.size()));
  return copy;
}

void ExpectCorrupt(const Digest& state, const KvShape& shape, const BlockExtent& extent,
                   const BlockBuffer& block, const std::string& what) {
  try {
    VerifyBlock(state, shape, extent, block);
    ADD_FAILURE() << what << " was not seen";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << what;
  }
}

TEST(BlockTest, HeaderLiesAsDocumented) {
  const KvShape shape{2, 2, 8, KvDtype::kF32};
  const Digest state{0x0102030405060708, 0x090a0b0c0d0e0f10};
  const auto blocks = SealedBlocks(state, shape, 20, 1);
  ASSERT_EQ(blocks.size(), 1u);
  const std::byte* data = blocks[0].data();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
  EXPECT_EQ(std::memcmp(data, "PKVBLK01", 8), 0);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(static_cast<int>(data[16 + i]), i + 1);
  const uint32_t expected[] = {0, 2, 0, 20, 2, 8};  // first layer … head size
  EXPECT_EQ(std::memcmp(data + 32, expected, sizeof(expected)), 0);
  const uint64_t payload = 2 * 2 * 2 * 20 * 8 * 4;
  EXPECT_EQ(std::memcmp(data + 56, &payload, 8), 0);
  EXPECT_EQ(blocks[0].size(), static_cast<int64_t>(payload) + 128);
}

TEST(BlockTest, EveryFlippedBitIsSeen) {
  const KvShape shape{2, 1, 4, KvDtype::kBf16};
  const Digest state{1, 2};
  const auto blocks = SealedBlocks(state, shape, 16, 3);
  const BlockExtent extent = BlockGrid(shape, 16).Extent(0);
  EXPECT_NO_THROW(VerifyBlock(state, shape, extent, blocks[0]));
  for (int64_t bit = 0; bit < blocks[0].size() * 8; ++bit) {
    BlockBuffer copy = Copy(blocks[0]);
    copy.data()[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    ExpectCorrupt(state, shape, extent, copy, "bit " + std::to_string(bit));
  }
}

TEST(BlockTest, AnIntactBlockOfAnotherPlaceIsRefused) {
  const KvShape shape{8, 16, 64, KvDtype::kBf16};
  const Digest state{1, 2};
  const auto blocks = SealedBlocks(state, shape, 512, 3);
  const BlockGrid grid(shape, 512);
  ASSERT_GE(grid.blocks(), 4);
  ExpectCorrupt(state, shape, grid.Extent(0), blocks[1], "another block");
  ExpectCorrupt({1, 3}, shape, grid.Extent(0), blocks[0], "another state");
  KvShape other = shape;
  other.kv_heads = 64;
  other.head_dim = 16;
  ExpectCorrupt(state, other, grid.Extent(0), blocks[0], "another shape of the same size");
  ExpectCorrupt(state, shape, grid.Extent(0), BlockBuffer(), "no block");
  ExpectCorrupt(state, shape, grid.Extent(0), BlockBuffer(64), "a short block");
}

// Live blocks never share memory, whatever was freed before; each keeps what was written to it.
TEST(BlockTest, MemoryIsAlignedAndNeverShared) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::vector<std::pair<BlockBuffer, std::byte>> live;
  const auto holds = [](const std::pair<BlockBuffer, std::byte>& block) {
    const auto* data = block.first.data();
    return std::all_of(data, data + block.first.size(),
                       [&](std::byte byte) { return byte == block.second; });
  };
  for (int step = 0; step < 600; ++step) {
    if (live.size() > 60 || (!live.empty() && random() % 3 == 0)) {
      std::swap(live[random() % live.size()], live.back());
      ASSERT_TRUE(holds(live.back()));
      live.pop_back();
    } else {
      const int64_t bytes = random() % 8 == 0 ? 20'000'000 : 1 + random() % 4'000'000;
      live.emplace_back(BlockBuffer(bytes), static_cast<std::byte>(random()));
      auto& [block, byte] = live.back();
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block.data()) % kBlockAlignment, 0u);
      std::memset(block.data(), static_cast<int>(byte), static_cast<size_t>(block.size()));
    }
  }
  ASSERT_TRUE(std::all_of(live.begin(), live.end(), holds));
}

TEST(KvSegmentTest, GrowsInAnyStepsAndReadsBackEveryRange) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 60; ++round) {
    KvShape shape;
    shape.layers = 1 + static_cast<int>(random() % 5);
    shape.kv_heads = 1 + static_cast<int>(random() % 3);
    // Large heads make small chunks, so that few tokens cross many of them.
    shape.head_dim = random() % 2 == 0 ? 2048 : 8;
    shape.dtype = random() % 2 == 0 ? KvDtype::kF32 : KvDtype::kBf16;
    const int expected = static_cast<int>(random() % 150);
    const int total = expected + (random() % 2 == 0 ? 0 : static_cast<int>(random() % 200));
    KvSegment segment(shape, 1000, expected);
    while (segment.tokens() < total) {
      const int step = std::min(total - segment.tokens(), 1 + static_cast<int>(random() % 60));
      segment.Grow(step);
      FillPattern(segment, seed, segment.tokens() - step, segment.tokens());
    }
    ASSERT_EQ(PatternMismatch(segment, seed, 0, total), "");
    const int begin = static_cast<int>(random() % static_cast<unsigned>(total + 1));
    const int end = begin + static_cast<int>(random() % static_cast<unsigned>(total - begin + 1));
    ASSERT_EQ(PatternMismatch(segment, seed, begin, end), "");
    ASSERT_GE(segment.bytes(), shape.BytesPerToken() * total);
    ASSERT_EQ(segment.bytes(), KvSegment::OwnBytes(shape, expected, total - expected));
    if (total == expected) {
      ASSERT_EQ(segment.bytes(), BlockGrid(shape, expected).TotalBytes());
    }
    // A copy of its beginning is laid out as a stored state, however the segment grew.
    KvSegment copy = segment.CopyOf(end);
    ASSERT_EQ(PatternMismatch(copy, seed, 0, end), "");
    ASSERT_EQ(copy.start_position(), 1000);
    ASSERT_EQ(copy.bytes(), BlockGrid(shape, end).TotalBytes());
    ASSERT_EQ(static_cast<int>(copy.TakeBlocks().size()), BlockGrid(shape, end).blocks());
  }
}

TEST(KvSegmentTest, MemoryPastWhatIsExpectedDoublesUpToWholeChunks) {
  const KvShape shape{30, 3, 64, KvDtype::kBf16};
  const auto room = [&](int more) {  // in tokens
    const int64_t bytes = KvSegment::OwnBytes(shape, 32, more) - KvSegment::OwnBytes(shape, 32, 0);
    return static_cast<int>(bytes / shape.BytesPerToken());
  };
  EXPECT_EQ(BlockGrid(shape, 0).chunk_tokens(), 512);
  EXPECT_EQ(room(0), 0);
  EXPECT_EQ(room(1), 64);
  EXPECT_EQ(room(64), 64);
  EXPECT_EQ(room(65), 128);
  EXPECT_EQ(room(300), 512);
  EXPECT_EQ(room(513), 1024);
  EXPECT_EQ(room(1025), 1536);
}

TEST(KvSegmentTest, MutableSlicesPointWhereMutableRowsDo) {
  const KvShape shape{3, 2, 2048, KvDtype::kF32};
  KvSegment segment(shape, 7, 50);
  segment.Grow(120);
  for (int layer = 0; layer < shape.layers; ++layer) {
    std::vector<KvMutableSlice> slices;
    segment.AppendMutableSlices(layer, 5, 117, slices);
    int token = 5;
    for (const KvMutableSlice& slice : slices) {
      ASSERT_EQ(slice.first_token, token);
      for (int t = 0; t < slice.tokens; ++t, ++token) {
        for (int head = 0; head < shape.kv_heads; ++head) {
          const int64_t at = (head * slice.head_stride + int64_t{t} * shape.head_dim) * 4;
          ASSERT_EQ(slice.k + at, segment.MutableK(layer, head, token));
          ASSERT_EQ(slice.v + at, segment.MutableV(layer, head, token));
        }
      }
    }
    ASSERT_EQ(token, 117);
  }
}

TEST(KvSegmentTest, RowsNeverOverlap) {
  const KvShape shape{3, 2, 2048, KvDtype::kBf16};
  KvSegment segment(shape, 0, 33);
  segment.Grow(90);
  std::set<std::byte*> rows;
  for (int layer = 0; layer < shape.layers; ++layer) {
    for (int head = 0; head < shape.kv_heads; ++head) {
      for (int token = 0; token < 90; ++token) {
        rows.insert(segment.MutableK(layer, head, token));
        rows.insert(segment.MutableV(layer, head, token));
      }
    }
  }
  ASSERT_EQ(rows.size(), 3u * 2 * 90 * 2);
  for (auto at = std::next(rows.begin()); at != rows.end(); ++at) {
    ASSERT_GE(*at - *std::prev(at), shape.head_dim * 2);
  }
}

TEST(KvSegmentTest, BlocksAreThoseOfTheGridAndMakeTheSegmentAgain) {
  for (const int tokens : {0, 1, 16, 17, 100, 512, 513, 1100}) {
    const KvShape shape{5, 3, 128, KvDtype::kBf16};
    KvSegment segment = PatternSegment(shape, 40, tokens, 9);
    std::vector<BlockBuffer> blocks = segment.TakeBlocks();
    EXPECT_EQ(segment.tokens(), 0);
    const BlockGrid grid(shape, tokens);
    ASSERT_EQ(static_cast<int>(blocks.size()), grid.blocks());
    for (int i = 0; i < grid.blocks(); ++i) {
      const BlockExtent extent = grid.Extent(i);
      const BlockBuffer& block = blocks[static_cast<size_t>(i)];
      ASSERT_EQ(block.payload_bytes(), extent.payload_bytes);
      // Addressed as the format says, without KvSegment: per layer K then V, [heads, tokens, dim].
      const std::byte* at = block.payload();
      for (int layer = 0; layer < extent.layers; ++layer) {
        for (const bool value : {false, true}) {
          for (int head = 0; head < shape.kv_heads; ++head) {
            for (int t = 0; t < extent.tokens; ++t) {
              const std::string row = PatternRow(shape, 9, extent.first_layer + layer, head,
                                                 extent.first_token + t, value);
              ASSERT_EQ(std::memcmp(at, row.data(), row.size()), 0);
              at += row.size();
            }
          }
        }
      }
    }
    KvSegment again(shape, 40, tokens, std::move(blocks));
    EXPECT_EQ(PatternMismatch(again, 9, 0, tokens), "");
    again.Grow(30);
    FillPattern(again, 9, tokens, tokens + 30);
    EXPECT_EQ(PatternMismatch(again, 9, 0, tokens + 30), "");
  }
}

}  // namespace
}  // namespace promptdb
