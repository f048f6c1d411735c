#include "corpus/names.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace promptdb {

namespace {

constexpr auto kOnsets = std::to_array<std::string_view>(
    {"b", "br", "c",  "ch", "d", "dr", "f",  "fl", "g",  "gr", "h",  "j",  "k", "kl", "l", "m",
     "n", "p",  "pr", "qu", "r", "s",  "sh", "sk", "st", "t",  "th", "tr", "v", "w",  "z"});
constexpr auto kVowels =
    std::to_array<std::string_view>({"a", "e", "i", "o", "u", "ai", "ea", "o", "a", "e"});
constexpr auto kCodas = std::to_array<std::string_view>(
    {"", "", "", "", "l", "m", "n", "r", "s", "x", "nd", "rk", "st", "th"});

std::string InventAnyWord(int syllables, Random& random) {
  std::string word;
  for (int i = 0; i < syllables; ++i) {
    word += random.Pick<std::string_view>(kOnsets);
    word += random.Pick<std::string_view>(kVowels);
    // Within a word a coda before the next onset is hard to say, and makes long names.
    if (i + 1 == syllables || random.Chance(0.3)) word += random.Pick<std::string_view>(kCodas);
  }
  return word;
}

}  // namespace

CorpusSplit SplitOf(std::string_view word) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : word) {
    hash = (hash ^ static_cast<uint64_t>(std::tolower(static_cast<unsigned char>(c)))) *
           0x100000001b3u;
  }
  return (hash >> 20) % 8 == 0 ? CorpusSplit::kHeldOut : CorpusSplit::kTraining;
}

std::string InventWord(CorpusSplit split, int most_syllables, Random& random) {
  const int syllables = random.Between(2, std::max(2, most_syllables));
  while (true) {
    std::string word = InventAnyWord(syllables, random);
    if (SplitOf(word) == split) return word;
  }
}

std::string InventName(CorpusSplit split, int most_syllables, Random& random) {
  return Capitalized(InventWord(split, most_syllables, random));
}

std::string Capitalized(std::string text) {
  if (!text.empty()) {
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  }
  return text;
}

}  // namespace promptdb
