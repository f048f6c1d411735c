// What the elements of a slice mean, one by one, of any dtype: the slow, obvious reading of
// storage/kv_format.h, for tests.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_TESTS_KV_CODES_H_
#define PROMPTDB_TESTS_KV_CODES_H_

#include <cstring>

#include "base/bfloat16.h"
#include "storage/kv_segment.h"

namespace promptdb {

inline float ElementOf(const KvSlice& slice, int head_dim, int head, int token, int d,
                       bool is_value) {
  const std::byte* plane = is_value ? slice.v : slice.k;
  const int64_t row = head * slice.head_stride + int64_t{token} * head_dim;
  if (slice.dtype == KvDtype::kF32) {
    float x;
    std::memcpy(&x, plane + 4 * (row + d), 4);
    return x;
  }
  if (slice.dtype == KvDtype::kBf16) {
    uint16_t bits;
    std::memcpy(&bits, plane + 2 * (row + d), 2);
    return FloatFromBf16(bits);
  }
  int code;
  if (slice.dtype == KvDtype::kInt8) {
    code = std::to_integer<int>(plane[row + d]);
  } else {
    const int half = head_dim / 2;
    const int pair = std::to_integer<int>(plane[row / 2 + d % half]);
    code = d < half ? pair & 15 : pair >> 4;
  }
  const int chunk = static_cast<int>(slice.head_stride / head_dim);
  const int of_chunk = slice.first_of_chunk + token;
  const uint16_t* scale = nullptr;
  int to_offset = 0;  // from the scale
  if (is_value) {
    scale = slice.v_scales + int64_t{head} * 2 * chunk + of_chunk;
    to_offset = chunk;
  } else {
    const int groups = (chunk + kScaledTokens - 1) / kScaledTokens;
    const int64_t group = int64_t{head} * groups + of_chunk / kScaledTokens;
    scale = slice.k_scales + group * 2 * head_dim + d;
    to_offset = head_dim;
  }
  return FloatFromBf16(scale[to_offset]) + static_cast<float>(code) * FloatFromBf16(*scale);
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_KV_CODES_H_
