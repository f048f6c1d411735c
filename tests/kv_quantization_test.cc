// States in 8 and 4 bits: how far they are from what they were, and that they are stored whole.
#include "storage/kv_quantization.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "storage/state_cache.h"
#include "tests/kv_codes.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

KvSegment RandomSegment(const KvShape& shape, int start, int tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  KvSegment segment(shape, start, tokens);
  segment.Grow(tokens);
  for (int layer = 0; layer < shape.layers; ++layer) {
    for (int head = 0; head < shape.kv_heads; ++head) {
      for (int token = 0; token < tokens; ++token) {
        for (int d = 0; d < shape.head_dim; ++d) {
          // Some channels of keys are far from 0, or large, in all tokens, as RoPE leaves them.
          const float k = normal(random) * (d % 5 == 0 ? 20.0f : 1.0f) + (d % 7 == 0 ? 50.0f : 0);
          const float v = normal(random) * static_cast<float>(1 + token % 9);
          if (shape.dtype == KvDtype::kF32) {
            std::memcpy(segment.MutableK(layer, head, token) + 4 * d, &k, 4);
            std::memcpy(segment.MutableV(layer, head, token) + 4 * d, &v, 4);
          } else {
            const uint16_t k_bits = Bf16FromFloat(k), v_bits = Bf16FromFloat(v);
            std::memcpy(segment.MutableK(layer, head, token) + 2 * d, &k_bits, 2);
            std::memcpy(segment.MutableV(layer, head, token) + 2 * d, &v_bits, 2);
          }
        }
      }
    }
  }
  return segment;
}

// All elements of a layer, [kv_heads][tokens][head_dim].
std::vector<float> Elements(const KvSegment& segment, int layer, bool is_value) {
  const KvShape& shape = segment.shape();
  std::vector<float> elements;
  for (int head = 0; head < shape.kv_heads; ++head) {
    std::vector<KvSlice> slices;
    segment.AppendSlices(layer, 0, segment.tokens(), slices);
    for (const KvSlice& slice : slices) {
      for (int token = 0; token < slice.tokens; ++token) {
        for (int d = 0; d < shape.head_dim; ++d) {
          elements.push_back(ElementOf(slice, shape.head_dim, head, token, d, is_value));
        }
      }
    }
  }
  return elements;
}

// Half a step of the group's codes, and what rounding the step up to a bf16 adds.
float Bound(float least, float most, KvDtype dtype) {
  const float levels = static_cast<float>((1 << KvDtypeBits(dtype)) - 1);
  const float offset = std::fabs(least) / 128;  // at most so far below the least value
  return ((most - least) + offset) / levels / 2 * 1.01f + 1e-6f;
}

TEST(KvQuantizationTest, EveryElementIsWithinHalfAStepOfItsGroup) {
  for (const KvDtype dtype : {KvDtype::kInt8, KvDtype::kInt4}) {
    for (const KvDtype from : {KvDtype::kF32, KvDtype::kBf16}) {
      for (const int tokens : {1, 63, 64, 65, 700}) {
        const KvShape shape{2, 3, 24, from};
        SCOPED_TRACE(std::string(KvDtypeName(dtype)) + ", " + std::to_string(tokens));
        const KvSegment segment = RandomSegment(shape, 5, tokens, static_cast<uint32_t>(tokens));
        const KvSegment quantized = Quantize(segment, dtype);
        EXPECT_EQ(quantized.start_position(), 5);
        EXPECT_EQ(quantized.tokens(), tokens);
        const int chunk = BlockGrid(quantized.shape(), tokens).chunk_tokens();
        ASSERT_EQ(chunk % kScaledTokens, 0);  // so that groups are counted from the first token
        for (int layer = 0; layer < shape.layers; ++layer) {
          const std::vector<float> k = Elements(segment, layer, false);
          const std::vector<float> v = Elements(segment, layer, true);
          const std::vector<float> coded_k = Elements(quantized, layer, false);
          const std::vector<float> coded_v = Elements(quantized, layer, true);
          const auto at = [&](int head, int token, int d) {
            return (static_cast<size_t>(head) * tokens + token) * shape.head_dim + d;
          };
          for (int head = 0; head < shape.kv_heads; ++head) {
            for (int token = 0; token < tokens; ++token) {
              const int group = token / kScaledTokens * kScaledTokens;
              const int end = std::min(tokens, group + kScaledTokens);
              float least_v = INFINITY, most_v = -INFINITY;
              for (int d = 0; d < shape.head_dim; ++d) {
                least_v = std::min(least_v, v[at(head, token, d)]);
                most_v = std::max(most_v, v[at(head, token, d)]);
              }
              for (int d = 0; d < shape.head_dim; ++d) {
                float least = INFINITY, most = -INFINITY;
                for (int t = group; t < end; ++t) {
                  least = std::min(least, k[at(head, t, d)]);
                  most = std::max(most, k[at(head, t, d)]);
                }
                const size_t i = at(head, token, d);
                ASSERT_NEAR(coded_k[i], k[i], Bound(least, most, dtype)) << token << ", " << d;
                ASSERT_NEAR(coded_v[i], v[i], Bound(least_v, most_v, dtype)) << token << ", " << d;
              }
            }
          }
        }
      }
    }
  }
}

TEST(KvQuantizationTest, EqualValuesZerosAndWhatIsNoNumber) {
  const KvShape shape{1, 2, 8, KvDtype::kF32};
  KvSegment segment(shape, 0, 70);
  segment.Grow(70);
  for (int head = 0; head < 2; ++head) {
    for (int token = 0; token < 70; ++token) {
      for (int d = 0; d < 8; ++d) {
        const float k = head == 0 ? 0.0f : token == 3 && d == 2 ? NAN : 1.5f;
        const float v = head == 0 ? 0.0f : -0.1f;
        std::memcpy(segment.MutableK(0, head, token) + 4 * d, &k, 4);
        std::memcpy(segment.MutableV(0, head, token) + 4 * d, &v, 4);
      }
    }
  }
  for (const KvDtype dtype : {KvDtype::kInt8, KvDtype::kInt4}) {
    const KvSegment quantized = Quantize(segment, dtype);
    const std::vector<float> k = Elements(quantized, 0, false), v = Elements(quantized, 0, true);
    for (int token = 0; token < 70; ++token) {
      for (int d = 0; d < 8; ++d) {
        const size_t i = static_cast<size_t>(token) * 8 + d, second = i + 70 * 8;
        EXPECT_EQ(k[i], 0.0f);
        EXPECT_EQ(v[i], 0.0f);
        EXPECT_NEAR(v[second], -0.1f, 1e-3f);
        if (d == 2 && token < kScaledTokens) {
          EXPECT_TRUE(std::isnan(k[second]));  // it spoils its group, and no other
        } else {
          EXPECT_EQ(k[second], 1.5f);
        }
      }
    }
  }
}

TEST(KvQuantizationTest, TheStoreKeepsWhatItQuantizes) {
  const TemporaryFolder folder("quantized");
  for (const KvDtype dtype : {KvDtype::kInt8, KvDtype::kInt4}) {
    StateManifest manifest;
    manifest.key = DigestBytes(std::as_bytes(std::span(&dtype, 1)));
    manifest.shape = {6, 2, 32, dtype};
    manifest.tokens = 1300;
    manifest.start_position = 7;
    manifest.token_ids.assign(1300, 1);
    KvShape working = WorkingShape(manifest.shape);
    ASSERT_EQ(working.dtype, KvDtype::kBf16);
    std::vector<std::vector<float>> wanted;
    {
      const KvSegment states = RandomSegment(working, 7, 1300, 3);
      const KvSegment quantized = Quantize(states, dtype);
      for (int layer = 0; layer < 6; ++layer) wanted.push_back(Elements(quantized, layer, true));
    }
    const auto expect_same = [&](const KvSegment& segment) {
      ASSERT_EQ(segment.shape(), manifest.shape);
      EXPECT_EQ(segment.bytes(), BlockGrid(manifest.shape, 1300).TotalBytes());
      for (int layer = 0; layer < 6; ++layer) {
        ASSERT_EQ(Elements(segment, layer, true), wanted[static_cast<size_t>(layer)]);
      }
    };
    for (const bool reopened : {false, true}) {
      Rocks rocks(folder / "db");
      BufferPool pool(64 << 20, EvictionPolicyNamed("lru"));
      StateCache cache(&rocks, &pool);
      if (!reopened) {
        KvSegment moved = RandomSegment(working, 7, 1300, 3);
        moved.PlaceAt(40);
        expect_same(cache.Publish(manifest, std::move(moved)));
      }
      bool no_room = false;
      const auto acquired = cache.Acquire(manifest.key, &no_room);
      ASSERT_TRUE(acquired);
      expect_same(acquired->segment);
      const auto check = cache.CheckState(manifest.key, [](int64_t) {});
      ASSERT_TRUE(check);
      EXPECT_EQ(check->damage, "");
    }
  }
}

}  // namespace
}  // namespace promptdb
