// What the tests of forward passes share, on the processor and on devices: tiny models of every
// kind, prompts of segments with block masks, and how far logits are apart.
//
// Not thread-safe: free functions of their arguments.
#ifndef PROMPTDB_TESTS_FORWARD_BENCH_H_
#define PROMPTDB_TESTS_FORWARD_BENCH_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "executor/reference.h"
#include "executor/transformer.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {

using Logits = std::vector<float>;

inline std::vector<int32_t> Range(int first, int count) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

inline std::vector<int32_t> RandomTokens(int count, int vocab, std::mt19937& random) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) {
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(vocab));
  }
  return tokens;
}

inline double LargestDifference(const Logits& a, const Logits& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!(difference <= largest)) largest = difference;  // a NaN is kept, too
  }
  return largest;
}

// The root of the mean squared difference, in parts of the root mean square of `wanted`. With
// states in bf16, 8 bits of K and V, it is about 0.006; tests allow 0.01.
inline double RelativeDifference(const Logits& got, const Logits& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  double difference = 0, total = 0;
  for (size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
    difference += (static_cast<double>(got[i]) - wanted[i]) * (got[i] - wanted[i]);
    total += static_cast<double>(wanted[i]) * wanted[i];
  }
  return std::sqrt(difference / total);
}

inline constexpr double kBf16Tolerance = 0.01;

// On the processor.
inline std::unique_ptr<Transformer> LoadWith(const std::filesystem::path& path, KvDtype kv_dtype,
                                             std::optional<WeightDtype> dtype = std::nullopt) {
  return Transformer::Load(Checkpoint::Open(path), {.dtype = dtype, .kv_dtype = kv_dtype}, nullptr);
}

// Logits of every row of tokens that only follow `own` causally.
inline Logits Extend(const Transformer& model, KvSegment& own, const std::vector<int32_t>& tokens) {
  const int rows = static_cast<int>(tokens.size());
  ForwardBatch batch;
  batch.tokens = tokens;
  batch.positions = Range(own.start_position() + own.tokens(), rows);
  batch.groups = {{rows, {}, &own}};
  batch.logits_of = Range(0, rows);
  return model.Forward(batch);
}

// The same, by a pass for each token.
inline Logits ExtendOneByOne(const Transformer& model, KvSegment& own,
                             const std::vector<int32_t>& tokens) {
  Logits all;
  for (const int32_t token : tokens) {
    const Logits one = Extend(model, own, {token});
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

struct Kind {
  std::string name;
  TinyModel model;
};

inline std::vector<Kind> Kinds() {
  std::vector<Kind> kinds;
  for (const char* architecture : {"llama", "mistral", "qwen2", "qwen3"}) {
    kinds.push_back({architecture, TinyModel::Of(architecture)});
  }
  TinyModel tied = TinyModel::Of("llama");
  tied.tied = true;
  kinds.push_back({"tied", tied});
  TinyModel bias = TinyModel::Of("llama");
  bias.qkv_bias = bias.output_bias = true;
  kinds.push_back({"bias", bias});
  TinyModel linear = TinyModel::Of("llama");
  linear.rope_scaling.kind = RopeScaling::Kind::kLinear;
  linear.rope_scaling.factor = 4;
  kinds.push_back({"linear_rope", linear});
  TinyModel llama3 = TinyModel::Of("llama");
  // Wavelengths below 16, from 16 to 64 and above 64 positions: all three cases occur.
  llama3.rope_scaling = {RopeScaling::Kind::kLlama3, 8.0, 1.0, 4.0, 64};
  kinds.push_back({"llama3_rope", llama3});
  TinyModel wide = TinyModel::Of("qwen3");
  wide.heads = 6;
  wide.kv_heads = 1;
  wide.head_dim = 32;  // heads * head_dim is not dim
  kinds.push_back({"wide_heads", wide});
  for (const char* architecture : {"falcon", "mpt", "gpt2"}) {
    kinds.push_back({architecture, TinyModel::Of(architecture)});
  }
  TinyModel falcon40b = TinyModel::Of("falcon");
  falcon40b.kv_heads = 2;
  falcon40b.two_norms = true;
  kinds.push_back({"falcon_two_norms", falcon40b});
  TinyModel falcon_rw = TinyModel::Of("falcon");
  falcon_rw.kv_heads = falcon_rw.heads;
  falcon_rw.qkv_bias = falcon_rw.output_bias = falcon_rw.mlp_bias = true;
  kinds.push_back({"falcon_biased", falcon_rw});
  TinyModel mpt = TinyModel::Of("mpt");
  mpt.heads = mpt.kv_heads = 6;  // no power of two
  mpt.dim = 96;
  mpt.hidden = 192;
  mpt.qkv_clip = 0.75;
  mpt.norm_bias = mpt.mlp_bias = true;
  mpt.tied = false;
  kinds.push_back({"mpt_clipped", mpt});
  return kinds;
}

// A prompt as segments, each of which sees some spans of earlier ones.
struct Prompt {
  struct Part {
    int start_position = 0;
    int tokens = 0;
    std::vector<std::array<int, 3>> context;  // {earlier part, begin, end}
  };
  std::vector<Part> parts;
  std::vector<int32_t> tokens;

  int FirstRow(int part) const {
    int row = 0;
    for (int i = 0; i < part; ++i) row += parts[i].tokens;
    return row;
  }

  std::vector<int32_t> Positions() const {
    std::vector<int32_t> positions;
    for (const Part& part : parts) {
      const auto range = Range(part.start_position, part.tokens);
      positions.insert(positions.end(), range.begin(), range.end());
    }
    return positions;
  }

  AttentionMask Mask() const {
    const size_t n = tokens.size();
    AttentionMask mask(n, std::vector<bool>(n, false));
    for (int i = 0; i < static_cast<int>(parts.size()); ++i) {
      for (int row = 0; row < parts[i].tokens; ++row) {
        std::vector<bool>& sees = mask[FirstRow(i) + row];
        for (int key = 0; key <= row; ++key) sees[FirstRow(i) + key] = true;
        for (const auto& [part, begin, end] : parts[i].context) {
          for (int key = begin; key < end; ++key) sees[FirstRow(part) + key] = true;
        }
      }
    }
    return mask;
  }

  static Prompt Random(int vocab, int largest, std::mt19937& random) {
    const auto pick = [&](int low, int high) {
      return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
    };
    Prompt prompt;
    int position = 0;
    for (int count = pick(2, 6); count > 0; --count) {
      Part part;
      position += pick(0, 20);  // gaps, where a module is left out
      part.start_position = position;
      part.tokens = pick(1, largest);
      position += part.tokens;
      for (int i = 0; i < static_cast<int>(prompt.parts.size()); ++i) {
        if (pick(0, 2) == 0) continue;
        const int begin = pick(0, 3) == 0 ? pick(0, prompt.parts[i].tokens - 1) : 0;
        const int end =
            pick(0, 3) == 0 ? pick(begin, prompt.parts[i].tokens) : prompt.parts[i].tokens;
        part.context.push_back({i, begin, end});
      }
      prompt.parts.push_back(part);
    }
    int total = 0;
    for (const Part& part : prompt.parts) total += part.tokens;
    prompt.tokens = RandomTokens(total, vocab, random);
    return prompt;
  }
};

// Runs the prompt in batches: `cuts` are the rows where one batch ends and the next begins.
inline Logits RunInBatches(const Transformer& model, const Prompt& prompt, std::vector<int> cuts) {
  std::vector<KvSegment> segments;
  for (const Prompt::Part& part : prompt.parts) {
    segments.emplace_back(model.kv_shape(), part.start_position, part.tokens);
  }
  const std::vector<int32_t> positions = prompt.Positions();
  const int total = static_cast<int>(prompt.tokens.size());
  cuts.push_back(total);
  Logits all;
  int begin = 0;
  for (const int end : cuts) {
    ForwardBatch batch;
    batch.tokens.assign(prompt.tokens.begin() + begin, prompt.tokens.begin() + end);
    batch.positions.assign(positions.begin() + begin, positions.begin() + end);
    for (int i = 0; i < static_cast<int>(prompt.parts.size()); ++i) {
      const int first = std::max(begin, prompt.FirstRow(i));
      const int last = std::min(end, prompt.FirstRow(i) + prompt.parts[i].tokens);
      if (first >= last) continue;
      RowGroup group{last - first, {}, &segments[i]};
      for (const auto& [part, from, to] : prompt.parts[i].context) {
        group.context.push_back({&segments[part], from, to});
      }
      batch.groups.push_back(group);
    }
    batch.logits_of = Range(0, end - begin);
    const Logits logits = model.Forward(batch);
    all.insert(all.end(), logits.begin(), logits.end());
    begin = end;
  }
  return all;
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_FORWARD_BENCH_H_
