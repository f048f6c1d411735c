// The values of a stored tensor as f32 or bf16, and the way back.
//
// Stored data may be unaligned (safetensors promises nothing), so every load is a memcpy.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "base/bfloat16.h"
#include "base/error.h"
#include "model/checkpoint.h"

namespace promptdb {
namespace {

// The quantized forms are GGUF's: never to change. Scales are f16.
//   Q8_0  scale, 32 signed bytes q: q * scale
//   Q4_0  scale, 16 bytes: the low halves are the first 16 values q, the high halves the others:
//         (q - 8) * scale
//   Q4_K  scale, least, 12 bytes with eight scales s and eight leasts m of 6 bits, 128 bytes: four
//         runs of 32, whose low halves are 32 values q and whose high halves the next 32:
//         q * scale * s - least * m, s and m by groups of 32
//   Q6_K  128 bytes of low halves, 64 bytes of upper pairs of bits, 16 signed bytes s, scale:
//         (q - 32) * scale * s, s by groups of 16
constexpr int64_t kSuperBlock = 256;

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// Without F16C in the build's target, the compiler's own conversion is a call for each value.
// Moving the exponent by a multiplication is exact, subnormals included; infinity and NaN, whose
// exponent is all ones, are put right by hand.
float FastFloatFromF16(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1.0p112f;
  const uint32_t special = (half & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | special | sign);
}

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

uint8_t ByteAt(const std::byte* at) { return std::to_integer<uint8_t>(*at); }

void DecodeQ8_0(const std::byte* block, float* out) {
  const float scale = FloatFromF16(Load<uint16_t>(block));
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(Load<int8_t>(block + 2 + i));
}

void DecodeQ4_0(const std::byte* block, float* out) {
  const float scale = FloatFromF16(Load<uint16_t>(block));
  for (int i = 0; i < 16; ++i) {
    const int pair = ByteAt(block + 2 + i);
    out[i] = scale * static_cast<float>((pair & 15) - 8);
    out[16 + i] = scale * static_cast<float>((pair >> 4) - 8);
  }
}

// The scale and the least of group `group`: the first four lie in the low six bits of bytes 0 to 3
// and 4 to 7, the others in halves of bytes 8 to 11, their upper two bits above those of the first.
std::pair<int, int> ScaleAndLeast(const std::byte* packed, int group) {
  const auto at = [&](int i) { return static_cast<int>(ByteAt(packed + i)); };
  if (group < 4) return {at(group) & 63, at(group + 4) & 63};
  return {(at(group + 4) & 15) | (at(group - 4) >> 6 << 4),
          (at(group + 4) >> 4) | (at(group) >> 6 << 4)};
}

void DecodeQ4K(const std::byte* block, float* out) {
  const float scale = FloatFromF16(Load<uint16_t>(block));
  const float least = FloatFromF16(Load<uint16_t>(block + 2));
  for (int group = 0; group < 8; ++group) {
    const auto [s, m] = ScaleAndLeast(block + 4, group);
    for (int i = 0; i < 32; ++i) {
      const int pair = ByteAt(block + 16 + group / 2 * 32 + i);
      const int q = group % 2 == 0 ? pair & 15 : pair >> 4;
      out[group * 32 + i] =
          scale * static_cast<float>(s) * static_cast<float>(q) - least * static_cast<float>(m);
    }
  }
}

void DecodeQ6K(const std::byte* block, float* out) {
  const float scale = FloatFromF16(Load<uint16_t>(block + 208));
  for (int i = 0; i < kSuperBlock; ++i) {
    // Of each half of 128: four quarters of 32, the first two in the low halves of bytes 0 to 31
    // and 32 to 63, the others in the high halves of the same.
    const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
    const int low = ByteAt(block + half * 64 + quarter % 2 * 32 + at) >> (quarter / 2 * 4) & 15;
    const int high = ByteAt(block + 128 + half * 32 + at) >> (quarter * 2) & 3;
    const int s = Load<int8_t>(block + 192 + i / 16);
    out[i] = scale * static_cast<float>(s) * static_cast<float>((low | high << 4) - 32);
  }
}

void DecodeBlocks(const std::byte* from, TensorDtype dtype, std::span<float> out) {
  const TensorBlock size = BlockOf(dtype);
  for (size_t i = 0; i < out.size(); i += size.elements, from += size.bytes) {
    switch (dtype) {
      case TensorDtype::kQ8_0:
        DecodeQ8_0(from, out.data() + i);
        break;
      case TensorDtype::kQ4_0:
        DecodeQ4_0(from, out.data() + i);
        break;
      case TensorDtype::kQ4K:
        DecodeQ4K(from, out.data() + i);
        break;
      case TensorDtype::kQ6K:
        DecodeQ6K(from, out.data() + i);
        break;
      default:
        Check(false, "a quantized dtype");
    }
  }
}

// Elements [first, first + out.size()) of the data. Both lie on block boundaries.
void ConvertStored(const TensorView& tensor, int64_t first, std::span<float> out) {
  const int64_t count = static_cast<int64_t>(out.size());
  const std::byte* data = tensor.data.data();
  switch (tensor.dtype) {
    case TensorDtype::kF32:
      std::memcpy(out.data(), data + first * 4, out.size_bytes());
      break;
    case TensorDtype::kF16:
      for (int64_t i = 0; i < count; ++i) {
        out[i] = FastFloatFromF16(Load<uint16_t>(data + (first + i) * 2));
      }
      break;
    case TensorDtype::kBf16:
      for (int64_t i = 0; i < count; ++i) {
        out[i] = FloatFromBf16(Load<uint16_t>(data + (first + i) * 2));
      }
      break;
    default:
      Check(count % BlockOf(tensor.dtype).elements == 0, "what is quantized is read in blocks");
      DecodeBlocks(data + TensorBytes(tensor.dtype, first), tensor.dtype, out);
  }
}

// Rows [first_row, first_row + out.size() / columns) of a tensor whose rows lie in some order.
void ConvertRows(const TensorView& tensor, int64_t first_row, int64_t columns,
                 std::span<float> out) {
  const int64_t rows = static_cast<int64_t>(out.size()) / columns;
  const TensorLayout& layout = tensor.layout;
  if (layout.in_order()) {
    ConvertStored(tensor, first_row * columns, out);
  } else if (layout.transposed > 0) {
    Check(layout.run_rows == 0, "a transposed view has its rows in one run");
    std::vector<float> column(static_cast<size_t>(rows));
    for (int64_t c = 0; c < columns; ++c) {
      ConvertStored(tensor, c * layout.transposed + first_row, column);
      for (int64_t r = 0; r < rows; ++r) out[r * columns + c] = column[r];
    }
  } else {
    for (int64_t r = 0; r < rows;) {
      const int64_t in_run = (first_row + r) % layout.run_rows;
      const int64_t stored = (first_row + r) / layout.run_rows * layout.run_stride + in_run;
      const int64_t count = std::min(layout.run_rows - in_run, rows - r);
      ConvertStored(tensor, stored * columns, out.subspan(r * columns, count * columns));
      r += count;
    }
  }
}

int64_t Columns(const TensorView& tensor) {
  return tensor.shape.empty() ? 1 : tensor.elements() / tensor.shape[0];
}

}  // namespace

std::string_view TensorDtypeName(TensorDtype dtype) {
  switch (dtype) {
    case TensorDtype::kF32:
      return "f32";
    case TensorDtype::kF16:
      return "f16";
    case TensorDtype::kBf16:
      return "bf16";
    case TensorDtype::kQ8_0:
      return "q8_0";
    case TensorDtype::kQ4_0:
      return "q4_0";
    case TensorDtype::kQ4K:
      return "q4_k";
    case TensorDtype::kQ6K:
      return "q6_k";
  }
  Check(false, "a dtype without a name");
  return "";
}

std::optional<TensorDtype> TensorDtypeOf(std::string_view name) {
  for (const TensorDtype dtype : kTensorDtypes) {
    if (TensorDtypeName(dtype) == name) return dtype;
  }
  return std::nullopt;
}

TensorBlock BlockOf(TensorDtype dtype) {
  switch (dtype) {
    case TensorDtype::kF32:
      return {1, 4};
    case TensorDtype::kF16:
    case TensorDtype::kBf16:
      return {1, 2};
    case TensorDtype::kQ8_0:
      return {32, 34};
    case TensorDtype::kQ4_0:
      return {32, 18};
    case TensorDtype::kQ4K:
      return {kSuperBlock, 144};
    case TensorDtype::kQ6K:
      return {kSuperBlock, 210};
  }
  Check(false, "a dtype without a size");
  return {1, 0};
}

int64_t TensorBytes(TensorDtype dtype, int64_t elements) {
  const TensorBlock block = BlockOf(dtype);
  Check(elements % block.elements == 0, "what is quantized is stored in whole blocks");
  return elements / block.elements * block.bytes;
}

int64_t TensorView::elements() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

void CopyAsFloat(const TensorView& tensor, std::span<float> out) {
  Check(static_cast<int64_t>(out.size()) == tensor.elements(), "the output has the tensor's size");
  ConvertRows(tensor, 0, tensor.layout.in_order() ? tensor.elements() : Columns(tensor), out);
}

void CopyRowsAsFloat(const TensorView& tensor, int64_t first_row, int64_t rows,
                     std::span<float> out) {
  Check(tensor.shape.size() == 2, "rows are those of a 2-d tensor");
  Check(first_row >= 0 && rows >= 0 && first_row <= tensor.shape[0] - rows,
        "the rows lie inside the tensor");
  const int64_t columns = tensor.shape[1];
  Check(static_cast<int64_t>(out.size()) == rows * columns, "the output has the rows' size");
  ConvertRows(tensor, first_row, columns, out);
}

void CopyAsBf16(const TensorView& tensor, std::span<uint16_t> out) {
  Check(static_cast<int64_t>(out.size()) == tensor.elements(), "the output has the tensor's size");
  if (tensor.dtype == TensorDtype::kBf16 && tensor.layout.in_order()) {
    std::memcpy(out.data(), tensor.data.data(), out.size_bytes());
    return;
  }
  if (!tensor.layout.in_order()) {
    std::vector<float> values(out.size());
    CopyAsFloat(tensor, values);
    for (size_t i = 0; i < out.size(); ++i) out[i] = Bf16FromFloat(values[i]);
    return;
  }
  std::array<float, 1024> chunk;  // whole blocks
  for (size_t first = 0; first < out.size(); first += chunk.size()) {
    const size_t count = std::min(chunk.size(), out.size() - first);
    ConvertStored(tensor, static_cast<int64_t>(first), std::span(chunk).first(count));
    for (size_t i = 0; i < count; ++i) out[first + i] = Bf16FromFloat(chunk[i]);
  }
}

namespace {

int RoundedQuotient(float value, float scale, int low, int high) {
  const float quotient = scale == 0 ? 0 : std::round(value / scale);
  return static_cast<int>(std::clamp(quotient, static_cast<float>(low), static_cast<float>(high)));
}

// Writes f16 and returns what it is read as: quotients are of the scale as it is stored.
float AppendScale(std::string& out, float scale) {
  const uint16_t bits = F16FromFloat(scale);
  Append(out, bits);
  return FloatFromF16(bits);
}

float LargestSize(std::span<const float> values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

void EncodeQ8_0(std::span<const float> block, std::string& out) {
  const float scale = AppendScale(out, LargestSize(block) / 127.0f);
  for (const float value : block) {
    Append(out, static_cast<int8_t>(RoundedQuotient(value, scale, -127, 127)));
  }
}

// The scale makes -8 of the value that is largest in size, since there is no 8.
void EncodeQ4_0(std::span<const float> block, std::string& out) {
  const float largest = *std::max_element(
      block.begin(), block.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  const float scale = AppendScale(out, largest / -8.0f);
  const auto quotient = [&](size_t i) { return RoundedQuotient(block[i], scale, -8, 7) + 8; };
  for (size_t i = 0; i < 16; ++i) {
    Append(out, static_cast<uint8_t>(quotient(i) | quotient(16 + i) << 4));
  }
}

// Each group of 32 from its least value, or 0, to its largest in 15 steps; the steps and the leasts
// in 63 steps of the largest among them. Others search for better ones; this is the format's plain
// meaning.
void EncodeQ4K(std::span<const float> block, std::string& out) {
  std::array<float, 8> steps, leasts;
  for (size_t group = 0; group < 8; ++group) {
    const auto values = block.subspan(group * 32, 32);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    leasts[group] = std::max(0.0f, -*low);
    steps[group] = std::max(0.0f, *high + leasts[group]) / 15.0f;
  }
  const float scale = AppendScale(out, *std::max_element(steps.begin(), steps.end()) / 63.0f);
  const float least = AppendScale(out, *std::max_element(leasts.begin(), leasts.end()) / 63.0f);
  std::array<uint8_t, 12> packed = {};
  std::array<int, 256> q;
  for (size_t group = 0; group < 8; ++group) {
    const int s = RoundedQuotient(steps[group], scale, 0, 63);
    const int m = RoundedQuotient(leasts[group], least, 0, 63);
    if (group < 4) {
      packed[group] |= static_cast<uint8_t>(s);
      packed[group + 4] |= static_cast<uint8_t>(m);
    } else {
      packed[group + 4] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
      packed[group - 4] |= static_cast<uint8_t>(s >> 4 << 6);
      packed[group] |= static_cast<uint8_t>(m >> 4 << 6);
    }
    for (size_t i = 0; i < 32; ++i) {
      q[group * 32 + i] = RoundedQuotient(block[group * 32 + i] + least * static_cast<float>(m),
                                          scale * static_cast<float>(s), 0, 15);
    }
  }
  for (const uint8_t byte : packed) Append(out, byte);
  for (size_t run = 0; run < 4; ++run) {
    for (size_t i = 0; i < 32; ++i) {
      Append(out, static_cast<uint8_t>(q[run * 64 + i] | q[run * 64 + 32 + i] << 4));
    }
  }
}

void EncodeQ6K(std::span<const float> block, std::string& out) {
  std::array<float, 16> steps;
  for (size_t group = 0; group < 16; ++group) {
    steps[group] = LargestSize(block.subspan(group * 16, 16)) / 31.0f;
  }
  std::string scale_bytes;
  const float scale =
      AppendScale(scale_bytes, *std::max_element(steps.begin(), steps.end()) / 127.0f);
  std::array<int8_t, 16> scales;
  std::array<uint8_t, 128> low = {};
  std::array<uint8_t, 64> high = {};
  for (size_t i = 0; i < block.size(); ++i) {
    if (i % 16 == 0) {
      scales[i / 16] = static_cast<int8_t>(RoundedQuotient(steps[i / 16], scale, 0, 127));
    }
    const int q =
        RoundedQuotient(block[i], scale * static_cast<float>(scales[i / 16]), -32, 31) + 32;
    const size_t half = i / 128, quarter = i % 128 / 32, at = i % 32;
    low[half * 64 + quarter % 2 * 32 + at] |= static_cast<uint8_t>((q & 15) << (quarter / 2 * 4));
    high[half * 32 + at] |= static_cast<uint8_t>(q >> 4 << (quarter * 2));
  }
  for (const uint8_t byte : low) Append(out, byte);
  for (const uint8_t byte : high) Append(out, byte);
  for (const int8_t s : scales) Append(out, s);
  out += scale_bytes;
}

}  // namespace

std::string EncodeTensor(std::span<const float> values, TensorDtype dtype) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(TensorBytes(dtype, static_cast<int64_t>(values.size()))));
  if (dtype == TensorDtype::kF32) {
    bytes.assign(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    return bytes;
  }
  const auto block_elements = static_cast<size_t>(BlockOf(dtype).elements);
  for (size_t first = 0; first < values.size(); first += block_elements) {
    const auto block = values.subspan(first, block_elements);
    switch (dtype) {
      case TensorDtype::kF32:
        break;
      case TensorDtype::kF16:
        Append(bytes, F16FromFloat(block[0]));
        break;
      case TensorDtype::kBf16:
        Append(bytes, Bf16FromFloat(block[0]));
        break;
      case TensorDtype::kQ8_0:
        EncodeQ8_0(block, bytes);
        break;
      case TensorDtype::kQ4_0:
        EncodeQ4_0(block, bytes);
        break;
      case TensorDtype::kQ4K:
        EncodeQ4K(block, bytes);
        break;
      case TensorDtype::kQ6K:
        EncodeQ6K(block, bytes);
        break;
    }
  }
  return bytes;
}

}  // namespace promptdb
