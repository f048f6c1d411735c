// A set of Unicode characters, and the bytes that spell them.
//
// Thread-safe: a plain value.
#ifndef PROMPTDB_CONSTRAINT_CHARACTER_SET_H_
#define PROMPTDB_CONSTRAINT_CHARACTER_SET_H_

#include <cstdint>
#include <vector>

namespace promptdb {

struct CharacterRange {
  char32_t first = 0;
  char32_t last = 0;  // inclusive
  bool operator==(const CharacterRange&) const = default;
};

// Surrogates are no characters: they are never in a set, whatever ranges say.
class CharacterSet {
 public:
  CharacterSet() = default;
  explicit CharacterSet(const std::vector<CharacterRange>& ranges);

  static CharacterSet All();

  bool empty() const { return ranges_.empty(); }
  bool Contains(char32_t character) const;
  CharacterSet Negated() const;
  CharacterSet Union(const CharacterSet& other) const;
  CharacterSet Without(const CharacterSet& other) const;

  // Ascending, apart from each other, without surrogates.
  const std::vector<CharacterRange>& ranges() const { return ranges_; }

  bool operator==(const CharacterSet&) const = default;

 private:
  std::vector<CharacterRange> ranges_;
};

struct ByteRange {
  uint8_t first = 0;
  uint8_t last = 0;  // inclusive
  bool operator==(const ByteRange&) const = default;
};

// Alternatives of one to four byte ranges in a row, which spell exactly the set's characters in
// UTF-8.
std::vector<std::vector<ByteRange>> Utf8Sequences(const CharacterSet& set);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_CHARACTER_SET_H_
