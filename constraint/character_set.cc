#include "constraint/character_set.h"

#include <algorithm>

namespace promptdb {

namespace {

constexpr char32_t kLastCharacter = 0x10FFFF;
constexpr char32_t kFirstSurrogate = 0xD800;
constexpr char32_t kLastSurrogate = 0xDFFF;

}  // namespace

CharacterSet::CharacterSet(const std::vector<CharacterRange>& ranges) {
  std::vector<CharacterRange> characters;
  for (const CharacterRange& range : ranges) {
    const auto add = [&](char32_t first, char32_t last) {
      first = std::max(first, range.first);
      last = std::min(last, range.last);
      if (first <= last) characters.push_back({first, last});
    };
    add(0, kFirstSurrogate - 1);
    add(kLastSurrogate + 1, kLastCharacter);
  }
  std::sort(characters.begin(), characters.end(),
            [](const CharacterRange& a, const CharacterRange& b) { return a.first < b.first; });
  for (const CharacterRange& range : characters) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

CharacterSet CharacterSet::All() { return CharacterSet({{0, kLastCharacter}}); }

bool CharacterSet::Contains(char32_t character) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const CharacterRange& range) {
    return range.first <= character && character <= range.last;
  });
}

CharacterSet CharacterSet::Negated() const {
  std::vector<CharacterRange> gaps;
  char32_t next = 0;
  for (const CharacterRange& range : ranges_) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCharacter) gaps.push_back({next, kLastCharacter});
  return CharacterSet(gaps);
}

CharacterSet CharacterSet::Union(const CharacterSet& other) const {
  std::vector<CharacterRange> both = ranges_;
  both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
  return CharacterSet(both);
}

CharacterSet CharacterSet::Without(const CharacterSet& other) const {
  return Negated().Union(other).Negated();
}

}  // namespace promptdb
