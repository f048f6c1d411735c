// UTF-8 as the tokenizers need it: what is a character, what is damaged, what is only unfinished.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TOKENIZER_UTF8_H_
#define PROMPTDB_TOKENIZER_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace promptdb {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

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

bool IsValidUtf8(std::string_view text);

// Every maximal subpart that forms no character becomes one U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// How many bytes at the end of `text` begin a character whose rest is missing: 0 to 3.
size_t UnfinishedSuffixSize(std::string_view text);

// Bytes of a character by its first byte alone, continuation bytes counting as characters of one
// byte: how llama.cpp steps through text that it doesn't validate.
size_t SizeByFirstByte(char first);

// The properties that pre-tokenizers ask for.
bool IsWhitespace(char32_t code);     // White_Space
bool IsNumeric(char32_t code);        // general category N
bool IsPunctuation(char32_t code);    // general category P, or ASCII punctuation
bool IsWordCharacter(char32_t code);  // letters, marks, decimal digits, connectors

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_UTF8_H_
