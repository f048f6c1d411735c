// A small vocabulary that can encode any text, trained when it is made from a few sentences in the
// source file, and the same vocabulary as a tokenizer.json.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_TESTS_SUPPORT_TINY_VOCABULARY_H_
#define PROMPTDB_TESTS_SUPPORT_TINY_VOCABULARY_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace promptdb {

enum class TinyVocabularyKind {
  kSentencePiece,  // "llama": <unk> <s> </s>, 256 byte tokens, pieces with scores, ▁ for the space
  kByteLevel,      // "gpt2" with pre "qwen2" and others: 256 byte characters, merges, three special
                   // tokens
};

struct TinyVocabulary {
  TinyVocabularyKind kind = TinyVocabularyKind::kSentencePiece;
  std::vector<std::string> tokens;
  std::vector<float> scores;         // kSentencePiece only: minus the rank of the merge
  std::vector<int32_t> token_types;  // as in GGUF: 1 normal, 2 unknown, 3 control, 5 unused, 6 byte
  // In order of rank. For kSentencePiece every way to split each piece, which is what makes BPE
  // with merges equal SentencePiece's merging by score.
  std::vector<std::pair<std::string, std::string>> merges;
  int32_t bos_id = -1;  // -1: none
  int32_t eos_id = -1;
  int32_t unk_id = -1;
  int32_t pad_id = -1;

  // True when the token's text is printable ASCII (with the space as its marker): a model that
  // should write readable text prefers these.
  std::vector<bool> printable;
};

// `size`: at least 360 for kSentencePiece, 260 for kByteLevel.
TinyVocabulary MakeTinyVocabulary(TinyVocabularyKind kind, int size);

// The contents of tokenizer.json and tokenizer_config.json for it. `pre`: what cuts a text into
// words, as GGUF names it ("default", "qwen2", "gpt-2", "falcon", "mpt").
nlohmann::ordered_json TinyTokenizerJson(const TinyVocabulary& vocabulary, const std::string& pre);
nlohmann::ordered_json TinyTokenizerConfigJson(const TinyVocabulary& vocabulary,
                                               const std::string& chat_template);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TINY_VOCABULARY_H_
