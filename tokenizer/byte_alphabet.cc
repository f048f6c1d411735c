#include "tokenizer/byte_alphabet.h"

#include <array>

#include "tokenizer/characters.h"

namespace promptdb {
namespace {

constexpr int kShifted = 0x100;              // where the bytes that aren't printable go
constexpr int kAlphabetEnd = kShifted + 68;  // 68 of the 256 bytes aren't printable

bool IsPrintable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<std::string, 256> spelling;
  std::array<int, kAlphabetEnd> byte;  // -1: stands for no byte

  Alphabet() {
    byte.fill(-1);
    int next = kShifted;
    for (int b = 0; b < 256; ++b) {
      const int code = IsPrintable(b) ? b : next++;
      byte[code] = b;
      AppendUtf8(static_cast<char32_t>(code), spelling[b]);
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::string_view SpellByte(unsigned char byte) { return TheAlphabet().spelling[byte]; }

std::string SpellBytes(std::string_view text) {
  const Alphabet& alphabet = TheAlphabet();
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) out += alphabet.spelling[static_cast<unsigned char>(c)];
  return out;
}

std::optional<unsigned char> ByteSpelledBy(char32_t code) {
  if (code >= kAlphabetEnd || TheAlphabet().byte[code] < 0) return std::nullopt;
  return static_cast<unsigned char>(TheAlphabet().byte[code]);
}

}  // namespace promptdb
