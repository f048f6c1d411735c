#include <algorithm>
#include <array>

#include "constraint/character_set.h"

namespace promptdb {

namespace {

constexpr std::array<char32_t, 4> kLastOfLength = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

uint8_t ByteOf(char32_t character, int size, int index) {
  const int shift = 6 * (size - 1 - index);
  if (index > 0) return static_cast<uint8_t>(0x80 | (character >> shift & 0x3F));
  constexpr std::array<uint8_t, 4> kLead = {0, 0xC0, 0xE0, 0xF0};
  return static_cast<uint8_t>(kLead[static_cast<size_t>(size - 1)] | character >> shift);
}

// Characters of `size` bytes each. The range is cut until only its last bytes vary freely: then the
// ranges of the single bytes multiply to exactly the range.
void AddRange(char32_t first, char32_t last, int size,
              std::vector<std::vector<ByteRange>>& sequences) {
  for (int free = size - 1; free > 0; --free) {
    const char32_t low_bits = (char32_t{1} << 6 * free) - 1;
    if ((first & ~low_bits) == (last & ~low_bits)) continue;
    if ((first & low_bits) != 0) {
      AddRange(first, first | low_bits, size, sequences);
      AddRange((first | low_bits) + 1, last, size, sequences);
      return;
    }
    if ((last & low_bits) != low_bits) {
      AddRange(first, (last & ~low_bits) - 1, size, sequences);
      AddRange(last & ~low_bits, last, size, sequences);
      return;
    }
  }
  std::vector<ByteRange> sequence;
  sequence.reserve(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) {
    sequence.push_back({ByteOf(first, size, i), ByteOf(last, size, i)});
  }
  sequences.push_back(std::move(sequence));
}

}  // namespace

std::vector<std::vector<ByteRange>> Utf8Sequences(const CharacterSet& set) {
  std::vector<std::vector<ByteRange>> sequences;
  for (const CharacterRange& range : set.ranges()) {
    char32_t first_of_length = 0;
    for (int size = 1; size <= 4; ++size) {
      const char32_t last_of_length = kLastOfLength[static_cast<size_t>(size - 1)];
      const char32_t first = std::max(range.first, first_of_length);
      const char32_t last = std::min(range.last, last_of_length);
      if (first <= last) AddRange(first, last, size, sequences);
      first_of_length = last_of_length + 1;
    }
  }
  return sequences;
}

}  // namespace promptdb
