// A byte-level BPE vocabulary of our own making, and the forms it is stored in: a Hugging Face
// tokenizer.json with its tokenizer_config.json, or the metadata of a GGUF file. Both encode every
// text alike: words are cut as GPT-2 cuts them ("gpt-2", ByteLevel with its pattern), nothing is
// normalized, every byte has a token.
//
// Thread-safe: plain values and pure functions.
#ifndef PROMPTDB_TOKENIZER_BPE_VOCABULARY_H_
#define PROMPTDB_TOKENIZER_BPE_VOCABULARY_H_

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/checkpoint.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

// Left and right part, spelled in the byte alphabet; the piece that they become is a token.
using SpelledMerge = std::pair<std::string, std::string>;

struct BpeVocabulary {
  // By id. All but the special ones are spelled in the byte alphabet ("Ġthe"). No two are equal.
  std::vector<std::string> tokens;
  std::vector<SpelledMerge> merges;                       // in the order in which they are applied
  std::vector<TokenId> special_ids;                       // ascending
  std::optional<TokenId> bos_id, eos_id, unk_id, pad_id;  // each one of special_ids
  bool adds_bos = true;       // prompts begin with bos_id; counts only where there is one
  std::string chat_template;  // Jinja; empty: none
};

// The contents of the two files.
std::string ToTokenizerJson(const BpeVocabulary& vocabulary);
std::string ToTokenizerConfigJson(const BpeVocabulary& vocabulary);

// Writes tokenizer.json and tokenizer_config.json into `folder`, which exists. Throws Error(kIo).
void WriteTokenizerFiles(const BpeVocabulary& vocabulary, const std::filesystem::path& folder);

// What a GGUF file says of it; Tokenizer::FromGguf() makes a tokenizer of it without any file.
GgufVocabulary ToGgufVocabulary(const BpeVocabulary& vocabulary);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_BPE_VOCABULARY_H_
