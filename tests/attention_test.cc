// Attention over slices, on every path, against a double loop over keys in f64.
#include "executor/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/bfloat16.h"
#include "executor/threads.h"
#include "storage/kv_quantization.h"
#include "tests/kv_codes.h"

namespace promptdb {
namespace {

struct Case {
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 16;
  KvDtype dtype = KvDtype::kF32;
  struct Group {
    int rows = 1;
    std::vector<int> slices;  // tokens of each; all of them before the own ones
    int causal_tokens = 0;    // in slices of their own, at the end
    int shared_slices = 0;    // that the group before begins with; they come before `slices`
  };
  std::vector<Group> groups;
  bool alibi = false;
  bool moves = false;  // slices by several distances, the causal ones by one
  bool mixed = false;  // all dtypes but for the causal part
};

Rope RopeOf(const Case& c) {
  ModelConfig config;
  config.head_dim = config.rope_dims = c.head_dim;
  return Rope(config, nullptr);
}

QueryTurn TurnFor(const Rope& rope, int moved_by) {
  const int32_t back = -moved_by;
  return {moved_by, rope.TurnsAt({&back, 1})};
}

constexpr int kMoves[] = {0, 3, 41, -17};

// A slope for each head; none like another, so that a mix-up shows.
std::vector<float> SlopesOf(const Case& c) {
  std::vector<float> slopes;
  for (int head = 0; c.alibi && head < c.heads; ++head) {
    slopes.push_back(0.3f / static_cast<float>(head + 1));
  }
  return slopes;
}

std::string Describe(const Case& c, uint32_t seed) {
  std::string text = "seed " + std::to_string(seed) + ": heads " + std::to_string(c.heads) + "/" +
                     std::to_string(c.kv_heads) + ", head_dim " + std::to_string(c.head_dim) +
                     ", " + std::string(KvDtypeName(c.dtype)) + (c.mixed ? " and others" : "");
  for (const Case::Group& group : c.groups) {
    text += "; rows " + std::to_string(group.rows) + ", slices";
    for (const int tokens : group.slices) text += " " + std::to_string(tokens);
    text += ", causal " + std::to_string(group.causal_tokens) + ", shared " +
            std::to_string(group.shared_slices);
  }
  return text;
}

// Keys and values of one group, in slices that do not adjoin in memory.
struct Keys {
  std::vector<std::unique_ptr<std::byte[]>> memory;
  std::vector<std::unique_ptr<KvSegment>> quantized;
  std::vector<KvSlice> slices;
  std::vector<std::vector<float>> k, v;  // [token][kv_head * head_dim], as stored
  std::vector<int> positions;            // [token]
  int next_position = 0;

  // The first slices of `other`, whose memory must outlive this.
  int Share(const Keys& other, int slice_count) {
    int tokens = 0;
    for (int i = 0; i < slice_count; ++i) {
      slices.push_back(other.slices[i]);
      tokens += other.slices[i].tokens;
    }
    k.assign(other.k.begin(), other.k.begin() + tokens);
    v.assign(other.v.begin(), other.v.begin() + tokens);
    positions.assign(other.positions.begin(), other.positions.begin() + tokens);
    next_position = tokens > 0 ? positions.back() + 1 : 0;
    return tokens;
  }

  void Add(const Case& c, KvDtype dtype, int tokens, int moved_by, std::mt19937& random) {
    const size_t first = k.size(), first_slice = slices.size();
    k.resize(first + tokens, std::vector<float>(c.kv_heads * c.head_dim));
    v.resize(first + tokens, std::vector<float>(c.kv_heads * c.head_dim));
    if (IsQuantized(dtype)) {
      AddCodes(c, dtype, tokens, random);
    } else {
      AddValues(c, dtype, tokens, random);
    }
    // Only what stands before the causal part has gaps.
    for (size_t i = first_slice; i < slices.size(); ++i) {
      slices[i].dtype = dtype;
      slices[i].moved_by = moved_by;
      slices[i].start_position = next_position;
      for (int token = 0; token < slices[i].tokens; ++token) positions.push_back(next_position++);
    }
    // What the keys mean is what is stored, turned by so much.
    const Rope rope = RopeOf(c);
    const QueryTurn on = TurnFor(rope, -moved_by);
    for (size_t token = first; moved_by != 0 && token < k.size(); ++token) {
      for (int head = 0; head < c.kv_heads; ++head) {
        float* x = k[token].data() + head * c.head_dim;
        rope.Rotate(on.turns, 0, x, x);
      }
    }
  }

 private:
  // The last tokens of a quantized segment, whose values come from its codes one by one.
  void AddCodes(const Case& c, KvDtype dtype, int tokens, std::mt19937& random) {
    const int unused = static_cast<int>(random() % 100);
    const int all = unused + tokens;
    KvSegment segment({1, c.kv_heads, c.head_dim, KvDtype::kF32}, 0, all);
    segment.Grow(all);
    std::normal_distribution<float> normal;
    for (int head = 0; head < c.kv_heads; ++head) {
      for (int token = 0; token < all; ++token) {
        for (int d = 0; d < c.head_dim; ++d) {
          const float x = normal(random) + static_cast<float>(d % 3), y = normal(random);
          std::memcpy(segment.MutableK(0, head, token) + 4 * d, &x, 4);
          std::memcpy(segment.MutableV(0, head, token) + 4 * d, &y, 4);
        }
      }
    }
    quantized.push_back(std::make_unique<KvSegment>(Quantize(segment, dtype)));
    size_t at = k.size() - static_cast<size_t>(tokens);
    const size_t first_slice = slices.size();
    quantized.back()->AppendSlices(0, unused, all, slices);
    for (size_t i = first_slice; i < slices.size(); ++i) {
      for (int token = 0; token < slices[i].tokens; ++token, ++at) {
        for (int head = 0; head < c.kv_heads; ++head) {
          for (int d = 0; d < c.head_dim; ++d) {
            const size_t element = static_cast<size_t>(head * c.head_dim + d);
            k[at][element] = ElementOf(slices[i], c.head_dim, head, token, d, false);
            v[at][element] = ElementOf(slices[i], c.head_dim, head, token, d, true);
          }
        }
      }
    }
  }

  void AddValues(const Case& c, KvDtype dtype, int tokens, std::mt19937& random) {
    // Room for more tokens than are used: the heads' stride is the room, as in a chunk.
    const int room = tokens + static_cast<int>(random() % 5);
    const int64_t head_stride = int64_t{room} * c.head_dim;
    const int64_t count = head_stride * c.kv_heads;
    const int element = dtype == KvDtype::kF32 ? 4 : 2;
    KvSlice slice;
    slice.head_stride = head_stride;
    slice.tokens = tokens;
    std::normal_distribution<float> normal;
    const size_t first = k.size() - static_cast<size_t>(tokens);
    for (const bool value : {false, true}) {
      auto bytes = std::make_unique<std::byte[]>(static_cast<size_t>(count * element + element));
      // NaN where no token is: whoever reads it spoils the result.
      std::memset(bytes.get(), 0xff, static_cast<size_t>(count * element));
      for (int head = 0; head < c.kv_heads; ++head) {
        for (int token = 0; token < tokens; ++token) {
          for (int d = 0; d < c.head_dim; ++d) {
            float x = normal(random);
            std::byte* to = bytes.get() + (head * head_stride + token * c.head_dim + d) * element;
            if (dtype == KvDtype::kBf16) {
              const uint16_t bits = Bf16FromFloat(x);
              std::memcpy(to, &bits, 2);
              x = FloatFromBf16(bits);
            } else {
              std::memcpy(to, &x, 4);
            }
            (value ? v : k)[first + token][head * c.head_dim + d] = x;
          }
        }
      }
      (value ? slice.v : slice.k) = bytes.get();
      memory.push_back(std::move(bytes));
    }
    slices.push_back(slice);
  }
};

std::vector<double> SlowAttention(const Case& c, const Case::Group& group, const Keys& keys,
                                  std::span<const float> q) {
  const int tokens = static_cast<int>(keys.k.size());
  std::vector<double> out(q.size(), 0.0);
  const std::vector<float> slopes = SlopesOf(c);
  for (int row = 0; row < group.rows; ++row) {
    const int seen = group.causal_tokens == 0 ? tokens : tokens - group.rows + 1 + row;
    for (int head = 0; head < c.heads; ++head) {
      const size_t at = (static_cast<size_t>(row) * c.heads + head) * c.head_dim;
      const int from = head / (c.heads / c.kv_heads) * c.head_dim;
      std::vector<double> weights(seen);
      double most = -INFINITY, total = 0;
      for (int key = 0; key < seen; ++key) {
        for (int d = 0; d < c.head_dim; ++d) {
          weights[key] += static_cast<double>(q[at + d]) * keys.k[key][from + d];
        }
        weights[key] /= std::sqrt(static_cast<double>(c.head_dim));
        if (c.alibi) {
          const int position = keys.positions[tokens - 1] - (group.rows - 1 - row);
          weights[key] -= slopes[head] * static_cast<double>(position - keys.positions[key]);
        }
        most = std::max(most, weights[key]);
      }
      for (double& weight : weights) total += weight = std::exp(weight - most);
      for (int key = 0; key < seen; ++key) {
        for (int d = 0; d < c.head_dim; ++d) {
          out[at + d] += weights[key] / total * keys.v[key][from + d];
        }
      }
    }
  }
  return out;
}

// How far every path is from the slow one. The bound is for sums of unit-variance terms in f32.
void Verify(const Case& c, uint32_t seed) {
  SCOPED_TRACE(Describe(c, seed));
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Keys> keys(c.groups.size());
  // All groups' rows, one after the other.
  const size_t row_size = static_cast<size_t>(c.heads) * c.head_dim;
  size_t rows = 0;
  for (const Case::Group& group : c.groups) rows += static_cast<size_t>(group.rows);
  std::vector<float> q(rows * row_size), out(q.size());
  for (float& x : q) x = 2 * normal(random);
  std::vector<double> wanted;
  std::vector<AttentionGroup> groups;
  for (size_t i = 0; i < c.groups.size(); ++i) {
    const Case::Group& group = c.groups[i];
    const int shared =
        group.shared_slices > 0 ? keys[i].Share(keys[i - 1], group.shared_slices) : 0;
    for (const int tokens : group.slices) {
      keys[i].next_position += static_cast<int>(random() % 30);
      keys[i].Add(c, c.mixed ? kAllKvDtypes[random() % 4] : c.dtype, tokens,
                  c.moves ? kMoves[random() % 4] : 0, random);
    }
    const int causal_move = c.moves ? kMoves[random() % 4] : 0;
    keys[i].next_position += static_cast<int>(random() % 30);
    for (int left = group.causal_tokens; left > 0;) {
      const int tokens = 1 + static_cast<int>(random() % static_cast<uint32_t>(left));
      keys[i].Add(c, c.dtype, tokens, causal_move, random);
      left -= tokens;
    }
    const size_t first = wanted.size();
    const std::vector<double> result =
        SlowAttention(c, group, keys[i], std::span(q).subspan(first, group.rows * row_size));
    wanted.insert(wanted.end(), result.begin(), result.end());
    // With no causal part the rows stand where the last keys do; all that counts is the distance.
    groups.push_back({q.data() + first, out.data() + first, group.rows, keys[i].slices,
                      group.causal_tokens, keys[i].positions.back() - (group.rows - 1), shared});
  }
  const std::vector<float> slopes = SlopesOf(c);
  const Rope rope = RopeOf(c);
  const std::vector<QueryTurn> turns = {TurnFor(rope, -17), TurnFor(rope, 3), TurnFor(rope, 41)};
  const AttentionShape shape{c.heads,    c.kv_heads,
                             c.head_dim, 1.0f / std::sqrt(static_cast<float>(c.head_dim)),
                             slopes,     c.moves ? &rope : nullptr,
                             turns};
  for (const CpuPath cpu : CpuPaths()) {
    for (const auto path : {AttentionPath::kByRows, AttentionPath::kPanels, AttentionPath::kDots}) {
      std::fill(out.begin(), out.end(), NAN);
      AttendBy(path, cpu, shape, groups);
      for (size_t j = 0; j < out.size(); ++j) {
        ASSERT_NEAR(out[j], wanted[j], 1e-5)
            << CpuPathName(cpu) << ", path " << static_cast<int>(path) << ", row " << j / row_size
            << ", element " << j % row_size;
      }
    }
  }
}

TEST(Attention, EveryHeadDimAndRatio) {
  uint32_t seed = 1;
  for (const int head_dim : {8, 16, 20, 24, 32, 48, 64, 80, 96, 128}) {
    for (const auto& [heads, kv_heads] : {std::pair{4, 4}, {9, 3}, {8, 1}, {10, 2}}) {
      for (const KvDtype dtype : kAllKvDtypes) {
        Verify({heads, kv_heads, head_dim, dtype, {{7, {33, 5}, 9}}, false}, seed++);
      }
    }
  }
}

TEST(Attention, OneRowOverManyKeysIsSplitAndMerged) {
  for (const int tokens : {255, 256, 511, 1000, 2049}) {
    Verify({9, 3, 64, KvDtype::kBf16, {{1, {tokens}, 1}}}, static_cast<uint32_t>(tokens));
    Verify({4, 4, 16, KvDtype::kF32, {{1, {tokens, tokens / 3}, 40}}},
           static_cast<uint32_t>(tokens));
    Verify({9, 3, 64, KvDtype::kInt8, {{1, {tokens}, 1}}}, static_cast<uint32_t>(tokens));
    Verify({4, 1, 32, KvDtype::kInt4, {{1, {tokens}, 1}}}, static_cast<uint32_t>(tokens));
  }
}

TEST(Attention, BlocksEndAtAndAroundTheTiles) {
  for (const int tokens : {1, 2, 15, 16, 17, 127, 128, 129, 255, 257}) {
    for (const int rows : {1, 2, 5, 6, 7, 12, 13}) {
      if (rows > tokens) continue;
      Verify({2, 1, 16, KvDtype::kF32, {{rows, {}, tokens}}}, static_cast<uint32_t>(tokens * rows));
    }
  }
}

TEST(Attention, CausalOverManyRows) {
  Verify({6, 2, 32, KvDtype::kBf16, {{300, {70}, 300}}}, 3);
  Verify({3, 1, 16, KvDtype::kF32, {{200, {}, 450}}}, 4);
}

TEST(Attention, WithoutCausalPartEveryRowSeesAll) {
  Verify({4, 2, 16, KvDtype::kF32, {{9, {20, 1, 300}, 0}}}, 5);
}

TEST(Attention, AlibiCountsDistancesAcrossGapsOnEveryPath) {
  Verify({4, 2, 16, KvDtype::kF32, {{7, {33, 5}, 9}, {1, {300, 7}, 1}}, true}, 6);
  Verify({6, 6, 24, KvDtype::kBf16, {{140, {70, 1, 20}, 200}}, true}, 7);
  Verify({5, 1, 64, KvDtype::kF32, {{1, {1000, 900}, 40}}, true}, 8);  // parts that are merged
  Verify({8, 2, 32, KvDtype::kBf16, {{3, {200}, 0}}, true}, 9);
}

TEST(Attention, KeysThatGroupsShareAreSeenByEach) {
  // Answers over one document, a token each; prompts over two documents.
  Verify({9, 3, 64, KvDtype::kBf16, {{1, {300, 50}, 7}, {1, {}, 3, 2}, {1, {}, 1, 2}}}, 10);
  Verify({4, 2, 16, KvDtype::kF32, {{5, {200, 99}, 9}, {8, {}, 8, 2}, {1, {30}, 70, 2}}}, 11);
  // Too little to share, or not by all.
  Verify({4, 4, 16, KvDtype::kF32, {{2, {30}, 2}, {3, {}, 3, 1}}}, 12);
  Verify({4,
          1,
          16,
          KvDtype::kF32,
          {{2, {270, 280}, 2}, {3, {}, 3, 1}, {3, {}, 4, 1}, {1, {400}, 1}, {2, {}, 2, 1}}},
         13);
  // More rows than one block holds, and groups that fill one alone.
  Case many{6, 2, 32, KvDtype::kBf16, {{31, {500}, 31}}};
  for (int i = 0; i < 9; ++i) many.groups.push_back({17 + i, {}, 17 + i, 1});
  many.groups.push_back({150, {}, 150, 1});
  many.groups.push_back({2, {}, 2, 1});
  Verify(many, 14);
  // Positions are each group's own.
  Verify({4, 2, 16, KvDtype::kF32, {{1, {400}, 7}, {1, {}, 3, 1}}, true}, 15);
}

TEST(Attention, QueriesAreTurnedToMeetKeysThatWereMoved) {
  for (uint32_t seed = 1; seed < 12; ++seed) {
    Verify({9, 3, 64, KvDtype::kBf16, {{7, {33, 5, 8, 100}, 9}}, false, true}, seed);
    Verify({4, 4, 20, KvDtype::kF32, {{1, {1000, 3, 400}, 40}}, false, true}, seed);
    Verify({6, 2, 32, KvDtype::kF32, {{150, {70, 20}, 200}}, false, true}, seed);
    Verify({4, 1, 16, KvDtype::kBf16, {{9, {20, 1, 300}, 0}}, false, true}, seed);
    // Shared keys of which some were moved.
    Verify({4,
            2,
            16,
            KvDtype::kF32,
            {{5, {200, 99}, 9}, {8, {}, 8, 2}, {1, {30}, 70, 2}},
            false,
            true},
           seed);
  }
  // Without RoPE keys are not turned.
  Verify({4, 2, 16, KvDtype::kF32, {{7, {33, 5}, 9}, {1, {300, 7}, 1}}, true}, 6);
}

TEST(Attention, SlicesOfEveryDtypeStandInOneList) {
  for (uint32_t seed = 1; seed < 4; ++seed) {
    for (const bool moves : {false, true}) {
      for (const bool alibi : {false, true}) {
        Verify({9, 3, 64, KvDtype::kBf16, {{7, {33, 5, 8, 100}, 9}}, alibi, moves, true}, seed);
        Verify({4, 4, 20, KvDtype::kF32, {{1, {1000, 3, 400}, 40}}, alibi, moves, true}, seed);
        Verify({6, 2, 32, KvDtype::kF32, {{150, {70, 20, 130}, 200}}, alibi, moves, true}, seed);
        Verify({4,
                2,
                16,
                KvDtype::kF32,
                {{5, {200, 99}, 9}, {8, {}, 8, 2}, {1, {30}, 70, 2}},
                alibi,
                moves,
                true},
               seed);
      }
    }
  }
}

TEST(Attention, NoKeysGiveZeros) {
  std::vector<float> q(2 * 4, 1.0f), out(2 * 4, 7.0f);
  const AttentionGroup group{q.data(), out.data(), 2, {}, 0, 0};
  Attend({1, 1, 4, 0.5f, {}}, {&group, 1});
  EXPECT_EQ(out, std::vector<float>(8, 0.0f));
}

TEST(Attention, LargeScoresDoNotOverflow) {
  // Scores of ±900: e to the power of them is out of range, their softmax is not.
  std::vector<float> k = {30, 0, -30, 0, 0, 30}, v = {1, 2, 3, 4, 5, 6}, q = {30, 0}, out(2);
  const KvSlice slice{reinterpret_cast<std::byte*>(k.data()),
                      reinterpret_cast<std::byte*>(v.data()),
                      6,
                      3,
                      0,
                      0,
                      KvDtype::kF32};
  const AttentionGroup group{q.data(), out.data(), 1, {&slice, 1}, 0, 0};
  for (const CpuPath cpu : CpuPaths()) {
    for (const auto path : {AttentionPath::kPanels, AttentionPath::kDots}) {
      AttendBy(path, cpu, {1, 1, 2, 1.0f, {}}, {&group, 1});
      EXPECT_EQ(out, (std::vector<float>{1, 2})) << CpuPathName(cpu);
    }
  }
}

TEST(Attention, RandomBatches) {
  for (uint32_t seed = 100; seed < 160; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int low, int high) {
      return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
    };
    Case c;
    c.kv_heads = pick(1, 3);
    c.heads = c.kv_heads * pick(1, 5);
    c.head_dim = pick(1, 20) * 4;
    c.dtype = kAllKvDtypes[pick(0, 3)];
    c.mixed = pick(0, 1) == 0;
    c.alibi = pick(0, 1) == 0;
    const int groups = pick(1, 4);
    for (int i = 0; i < groups; ++i) {
      Case::Group group;
      group.rows = pick(1, 3) == 1 ? pick(1, 90) : pick(1, 8);
      for (int slices = pick(0, 6); slices > 0; --slices) group.slices.push_back(pick(1, 150));
      if (pick(0, 4) > 0 || group.slices.empty()) {
        group.causal_tokens = group.rows + (pick(0, 1) == 0 ? 0 : pick(0, 200));
      }
      if (i > 0 && pick(0, 1) == 0) {
        const Case::Group& before = c.groups.back();
        group.shared_slices =
            pick(0, before.shared_slices + static_cast<int>(before.slices.size()));
      }
      c.groups.push_back(group);
    }
    Verify(c, seed);
    if (HasFatalFailure()) return;
  }
}

TEST(Attention, ResultDoesNotDependOnThreadsBeyondRounding) {
  for (const int threads : {1, 2, 3, 7}) {
    SetThreads(threads);
    Verify({9, 3, 64, KvDtype::kBf16, {{32, {700}, 32}, {1, {900}, 5}}}, 77);
  }
  SetThreads(0);
}

}  // namespace
}  // namespace promptdb
