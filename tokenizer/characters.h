// What the tokenizers ask of characters beyond base/utf8.h.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TOKENIZER_CHARACTERS_H_
#define PROMPTDB_TOKENIZER_CHARACTERS_H_

#include <cstddef>
#include <string_view>

#include "base/utf8.h"

namespace promptdb {

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

#endif  // PROMPTDB_TOKENIZER_CHARACTERS_H_
