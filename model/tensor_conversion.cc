// The values of a stored tensor as f32 or bf16, and the way back.
//
// Stored data may be unaligned (safetensors promises nothing), so every load is a memcpy.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/bfloat16.h"
#include "base/error.h"
#include "model/checkpoint.h"

namespace promptdb {
namespace {

// Q8_0: a block is one f16 scale and 32 signed bytes. The layout is the format's: never to change.
constexpr int64_t kBlockElements = 32;
constexpr int64_t kBlockBytes = 34;

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

// Elements [first, first + out.size()) of the data. For kQ8_0 both lie on block boundaries.
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
    case TensorDtype::kQ8_0:
      Check(first % kBlockElements == 0 && count % kBlockElements == 0,
            "Q8_0 is read in whole blocks");
      for (int64_t i = 0; i < count; i += kBlockElements) {
        const std::byte* block = data + (first + i) / kBlockElements * kBlockBytes;
        const float scale = FloatFromF16(Load<uint16_t>(block));
        for (int64_t j = 0; j < kBlockElements; ++j) {
          out[i + j] = scale * static_cast<float>(Load<int8_t>(block + 2 + j));
        }
      }
      break;
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
  }
  Check(false, "a dtype without a name");
  return "";
}

int64_t TensorBytes(TensorDtype dtype, int64_t elements) {
  switch (dtype) {
    case TensorDtype::kF32:
      return elements * 4;
    case TensorDtype::kF16:
    case TensorDtype::kBf16:
      return elements * 2;
    case TensorDtype::kQ8_0:
      Check(elements % kBlockElements == 0, "Q8_0 is stored in whole blocks");
      return elements / kBlockElements * kBlockBytes;
  }
  Check(false, "a dtype without a size");
  return 0;
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
  std::array<float, 1024> chunk;  // whole Q8_0 blocks
  for (size_t first = 0; first < out.size(); first += chunk.size()) {
    const size_t count = std::min(chunk.size(), out.size() - first);
    ConvertStored(tensor, static_cast<int64_t>(first), std::span(chunk).first(count));
    for (size_t i = 0; i < count; ++i) out[first + i] = Bf16FromFloat(chunk[i]);
  }
}

std::string EncodeTensor(std::span<const float> values, TensorDtype dtype) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(TensorBytes(dtype, static_cast<int64_t>(values.size()))));
  switch (dtype) {
    case TensorDtype::kF32:
      bytes.assign(reinterpret_cast<const char*>(values.data()), values.size_bytes());
      break;
    case TensorDtype::kF16:
      for (const float value : values) Append(bytes, F16FromFloat(value));
      break;
    case TensorDtype::kBf16:
      for (const float value : values) Append(bytes, Bf16FromFloat(value));
      break;
    case TensorDtype::kQ8_0:
      for (size_t first = 0; first < values.size(); first += kBlockElements) {
        const auto block = values.subspan(first, kBlockElements);
        float largest = 0;
        for (const float value : block) largest = std::max(largest, std::fabs(value));
        // Quotients are of the scale as it is stored, which is the one that they are read with.
        const uint16_t scale_bits = F16FromFloat(largest / 127.0f);
        const float scale = FloatFromF16(scale_bits);
        Append(bytes, scale_bits);
        for (const float value : block) {
          const float quotient = scale == 0 ? 0 : value / scale;
          Append(bytes, static_cast<int8_t>(std::clamp(std::round(quotient), -127.0f, 127.0f)));
        }
      }
      break;
  }
  return bytes;
}

}  // namespace promptdb
