// The alphabet of byte-level BPE: every byte is written as one printable character, the printable
// ones as themselves and the others from U+0100 on, in order ("Ġ" is the space).
// The assignment is GPT-2's and is part of every such vocabulary.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TOKENIZER_BYTE_ALPHABET_H_
#define PROMPTDB_TOKENIZER_BYTE_ALPHABET_H_

#include <optional>
#include <string>
#include <string_view>

namespace promptdb {

// The character that stands for `byte`, in UTF-8.
std::string_view SpellByte(unsigned char byte);

// All bytes of `text`, spelled.
std::string SpellBytes(std::string_view text);

// The byte that `code` stands for, if it is of the alphabet.
std::optional<unsigned char> ByteSpelledBy(char32_t code);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_BYTE_ALPHABET_H_
