// Attention states made of numbers that tell where they belong, for tests of storage: every element
// is a function of (seed, layer, head, token, dimension, K or V), so that a misplaced one is seen.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_TESTS_KV_PATTERN_H_
#define PROMPTDB_TESTS_KV_PATTERN_H_

#include <cstring>
#include <string>
#include <vector>

#include "storage/kv_segment.h"

namespace promptdb {

inline uint32_t PatternElement(uint32_t seed, int layer, int head, int token, int d, bool value) {
  uint64_t mixed = seed;
  for (const int part : {layer, head, token, d, value ? 1 : 0}) {
    mixed = (mixed ^ static_cast<uint64_t>(part)) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
  }
  return static_cast<uint32_t>(mixed >> 16);
}

// One row of head_dim elements as it should lie in memory.
inline std::string PatternRow(const KvShape& shape, uint32_t seed, int layer, int head, int token,
                              bool value) {
  std::string row;
  for (int d = 0; d < shape.head_dim; ++d) {
    const uint32_t element = PatternElement(seed, layer, head, token, d, value);
    row.append(reinterpret_cast<const char*>(&element),
               static_cast<size_t>(KvDtypeBits(shape.dtype) / 8));
  }
  return row;
}

// Writes tokens [begin, end) row by row.
inline void FillPattern(KvSegment& segment, uint32_t seed, int begin, int end) {
  const KvShape& shape = segment.shape();
  for (int layer = 0; layer < shape.layers; ++layer) {
    for (int head = 0; head < shape.kv_heads; ++head) {
      for (int token = begin; token < end; ++token) {
        const std::string k = PatternRow(shape, seed, layer, head, token, false);
        const std::string v = PatternRow(shape, seed, layer, head, token, true);
        std::memcpy(segment.MutableK(layer, head, token), k.data(), k.size());
        std::memcpy(segment.MutableV(layer, head, token), v.data(), v.size());
      }
    }
  }
}

inline KvSegment PatternSegment(const KvShape& shape, int start_position, int tokens,
                                uint32_t seed) {
  KvSegment segment(shape, start_position, tokens);
  segment.Grow(tokens);
  FillPattern(segment, seed, 0, tokens);
  return segment;
}

// "" if tokens [begin, end) of every layer read, through slices, as FillPattern wrote them; else
// what is wrong first.
inline std::string PatternMismatch(const KvSegment& segment, uint32_t seed, int begin, int end) {
  const KvShape& shape = segment.shape();
  const int64_t element = KvDtypeBits(shape.dtype) / 8;
  for (int layer = 0; layer < shape.layers; ++layer) {
    std::vector<KvSlice> slices;
    segment.AppendSlices(layer, begin, end, slices);
    int token = begin;
    for (const KvSlice& slice : slices) {
      if (slice.tokens <= 0) return "an empty slice";
      if (slice.start_position != segment.start_position() + token) return "wrong position";
      for (int t = 0; t < slice.tokens; ++t, ++token) {
        for (int head = 0; head < shape.kv_heads; ++head) {
          const int64_t at = (head * slice.head_stride + int64_t{t} * shape.head_dim) * element;
          for (const bool value : {false, true}) {
            const std::string row = PatternRow(shape, seed, layer, head, token, value);
            if (std::memcmp((value ? slice.v : slice.k) + at, row.data(), row.size()) != 0) {
              return std::string(value ? "V" : "K") + " of layer " + std::to_string(layer) +
                     ", head " + std::to_string(head) + ", token " + std::to_string(token);
            }
          }
        }
      }
    }
    if (token != end) return "slices end at token " + std::to_string(token);
  }
  return "";
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_KV_PATTERN_H_
