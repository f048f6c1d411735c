// Conversions between f32 and the two 16-bit formats, as bit patterns in uint16_t.
#ifndef PROMPTDB_BASE_BFLOAT16_H_
#define PROMPTDB_BASE_BFLOAT16_H_

#include <bit>
#include <cstdint>

namespace promptdb {

inline float FloatFromBf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Rounds to nearest, ties to even; NaN stays NaN.
inline uint16_t Bf16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float FloatFromF16(uint16_t bits) {
  return static_cast<float>(std::bit_cast<_Float16>(bits));
}

inline uint16_t F16FromFloat(float value) {
  return std::bit_cast<uint16_t>(static_cast<_Float16>(value));
}

}  // namespace promptdb

#endif  // PROMPTDB_BASE_BFLOAT16_H_
