#include "storage/kv_quantization.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/bfloat16.h"
#include "base/error.h"

namespace promptdb {

namespace {

// bf16 next to x, or x itself; `up`: not below it, else not above.
uint16_t Bf16Beside(float x, bool up) {
  const auto truncated = static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16);
  const float value = FloatFromBf16(truncated);
  const bool is_beyond = up ? value >= x : value <= x;
  return is_beyond ? truncated : static_cast<uint16_t>(truncated + 1);
}

// The range of a group's values.
struct Range {
  float least = INFINITY;
  float most = -INFINITY;
  float poison = 0;  // not a number, once a value was none, or infinite

  void Add(float x) {
    least = x < least ? x : least;
    most = x > most ? x : most;
    poison += x * 0;
  }
};

// What the codes of a group mean. The pair's own rounding costs nothing: the offset is not above
// the least value, and the scale reaches to the largest.
struct Scale {
  uint16_t scale = 0;
  uint16_t offset = 0;
  float inverse = 0;  // of the scale
  float start = 0;    // the offset

  Scale(const Range& range, int levels) {
    const auto [least, most, poison] = range;
    if (std::isnan(poison)) {
      offset = Bf16FromFloat(std::nanf(""));  // as the values are
      return;
    }
    offset = Bf16Beside(least, /*up=*/false);
    start = FloatFromBf16(offset);
    scale = Bf16Beside((most - start) / static_cast<float>(levels), /*up=*/true);
    if (const float step = FloatFromBf16(scale); step > 0) inverse = 1 / step;
  }

  uint8_t CodeOf(float x, int levels) const {
    // No less than 0, so that this rounds.
    const float code = (x - start) * inverse + 0.5f;
    return static_cast<uint8_t>(std::min(code, static_cast<float>(levels)));
  }
};

// The rows [tokens, head_dim] of one head of K or V, as f32, from wherever they lie.
void CopyRows(const KvSegment& from, int layer, int head, int first, int tokens, bool values,
              std::vector<KvSlice>& slices, std::vector<float>& rows) {
  const int head_dim = from.shape().head_dim;
  rows.resize(static_cast<size_t>(tokens) * head_dim);
  slices.clear();
  from.AppendSlices(layer, first, first + tokens, slices);
  float* to = rows.data();
  for (const KvSlice& slice : slices) {
    const int64_t at = head * slice.head_stride;
    const int64_t count = int64_t{slice.tokens} * head_dim;
    const std::byte* plane = values ? slice.v : slice.k;
    if (slice.dtype == KvDtype::kF32) {
      std::memcpy(to, reinterpret_cast<const float*>(plane) + at, sizeof(float) * count);
    } else {
      const auto* bits = reinterpret_cast<const uint16_t*>(plane) + at;
      for (int64_t i = 0; i < count; ++i) to[i] = FloatFromBf16(bits[i]);
    }
    to += count;
  }
}

class Quantizer {
 public:
  Quantizer(int head_dim, KvDtype dtype)
      : head_dim_(head_dim),
        is_packed_(dtype == KvDtype::kInt4),
        levels_((1 << KvDtypeBits(dtype)) - 1),
        codes_(static_cast<size_t>(head_dim)) {}

  // `scales`: [groups, 2, head_dim].
  void Keys(const std::vector<float>& rows, int tokens, std::byte* to, uint16_t* scales) {
    for (int first = 0; first < tokens; first += kScaledTokens, scales += 2 * head_dim_) {
      const int count = std::min(kScaledTokens, tokens - first);
      const float* group = rows.data() + int64_t{first} * head_dim_;
      std::vector<Range> ranges(static_cast<size_t>(head_dim_));
      for (int token = 0; token < count; ++token) {
        const float* row = group + int64_t{token} * head_dim_;
        for (int d = 0; d < head_dim_; ++d) ranges[d].Add(row[d]);
      }
      std::vector<Scale> of_channel;
      for (int d = 0; d < head_dim_; ++d) {
        of_channel.emplace_back(ranges[d], levels_);
        scales[d] = of_channel[d].scale;
        scales[head_dim_ + d] = of_channel[d].offset;
      }
      for (int token = 0; token < count; ++token) {
        const float* row = group + int64_t{token} * head_dim_;
        for (int d = 0; d < head_dim_; ++d) codes_[d] = of_channel[d].CodeOf(row[d], levels_);
        to = Write(to);
      }
    }
  }

  // `scales`: [2, tokens].
  void Values(const std::vector<float>& rows, int tokens, std::byte* to, uint16_t* scales) {
    for (int token = 0; token < tokens; ++token) {
      const float* row = rows.data() + int64_t{token} * head_dim_;
      Range range;
      for (int d = 0; d < head_dim_; ++d) range.Add(row[d]);
      const Scale scale(range, levels_);
      scales[token] = scale.scale;
      scales[tokens + token] = scale.offset;
      for (int d = 0; d < head_dim_; ++d) codes_[d] = scale.CodeOf(row[d], levels_);
      to = Write(to);
    }
  }

 private:
  // One row of codes; returns where the next one goes.
  std::byte* Write(std::byte* to) const {
    if (!is_packed_) {
      std::memcpy(to, codes_.data(), codes_.size());
      return to + head_dim_;
    }
    const int half = head_dim_ / 2;
    for (int d = 0; d < half; ++d) {
      to[d] = static_cast<std::byte>(codes_[d] | codes_[half + d] << 4);
    }
    return to + half;
  }

  const int head_dim_;
  const bool is_packed_;
  const int levels_;
  std::vector<uint8_t> codes_;  // of a row
};

}  // namespace

KvShape WorkingShape(const KvShape& stored) {
  KvShape shape = stored;
  if (IsQuantized(stored.dtype)) shape.dtype = KvDtype::kBf16;
  return shape;
}

KvSegment Quantize(const KvSegment& segment, KvDtype dtype) {
  Check(IsQuantized(dtype) && !IsQuantized(segment.shape().dtype),
        "values are quantized, and nothing else");
  KvShape shape = segment.shape();
  shape.dtype = dtype;
  KvSegment quantized(shape, segment.start_position() - segment.moved_by(), segment.tokens());
  quantized.PlaceAt(segment.start_position());
  quantized.Grow(segment.tokens());
  Quantizer quantizer(shape.head_dim, dtype);
  std::vector<KvMutableSlice> chunks;
  std::vector<KvSlice> slices;
  std::vector<float> rows;
  for (int layer = 0; layer < shape.layers; ++layer) {
    chunks.clear();
    quantized.AppendMutableSlices(layer, 0, segment.tokens(), chunks);
    for (const KvMutableSlice& chunk : chunks) {
      const int groups = (chunk.tokens + kScaledTokens - 1) / kScaledTokens;
      for (int head = 0; head < shape.kv_heads; ++head) {
        const int64_t at = head * chunk.head_stride * KvDtypeBits(dtype) / 8;
        CopyRows(segment, layer, head, chunk.first_token, chunk.tokens, false, slices, rows);
        quantizer.Keys(rows, chunk.tokens, chunk.k + at,
                       chunk.k_scales + int64_t{head} * groups * 2 * shape.head_dim);
        CopyRows(segment, layer, head, chunk.first_token, chunk.tokens, true, slices, rows);
        quantizer.Values(rows, chunk.tokens, chunk.v + at,
                         chunk.v_scales + int64_t{head} * 2 * chunk.tokens);
      }
    }
  }
  return quantized;
}

}  // namespace promptdb
