// UTF-8: what is a character, what is damaged, what is only unfinished.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_BASE_UTF8_H_
#define PROMPTDB_BASE_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace promptdb {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// Whether the byte goes on with a character that began before it.
inline bool IsUtf8Continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// Characters of a text, as many as it has first bytes.
size_t CountCharacters(std::string_view text);

// One step through a text. Where the bytes form no character, `size` covers the maximal subpart
// (the longest beginning of a character, at least one byte), as the Unicode standard recommends and
// Rust does.
struct Utf8Step {
  char32_t code = kReplacementCharacter;
  size_t size = 1;
  bool valid = false;
  bool cut = false;  // invalid only because the text ends here
};

// REQUIRES: position < text.size().
Utf8Step ReadUtf8(std::string_view text, size_t position);

void AppendUtf8(char32_t code, std::string& out);

// The offset of the first byte that is not part of valid UTF-8, or npos.
size_t FindInvalidUtf8(std::string_view text);

bool IsValidUtf8(std::string_view text);

// Every maximal subpart that forms no character becomes one U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_UTF8_H_
