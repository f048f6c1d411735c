// Learns a byte-level BPE vocabulary from text (Sennrich et al., "Neural Machine Translation of
// Rare Words with Subword Units", ACL 2016, on bytes): the most frequent pair of neighbours inside
// words becomes a token, again and again, until the vocabulary is full. Equal counts go to the pair
// that sorts first, byte by byte, left part before right part: one text gives one vocabulary,
// everywhere.
//
// Pair counts are kept up to date and not taken anew, so the time goes with the number of distinct
// words: 10 MB of English take less than a second.
//
// Not thread-safe: a trainer belongs to one thread.
#ifndef PROMPTDB_TOKENIZER_BPE_TRAINER_H_
#define PROMPTDB_TOKENIZER_BPE_TRAINER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe_vocabulary.h"
#include "tokenizer/string_map.h"
#include "tokenizer/token_trie.h"

namespace promptdb {

class PreTokenizer;

struct BpeTrainerOptions {
  // All tokens: 256 bytes, the special ones, and what is learnt. A text too poor for so many gives
  // fewer.
  int vocab_size = 0;
  std::vector<std::string> special_tokens;  // in the order of their ids
  bool specials_first = true;               // their ids are the first, else the last
  std::string bos, eos, unk, pad;           // each one of special_tokens, or empty: none
  bool adds_bos = true;
  std::string chat_template;
  int64_t min_count = 2;  // a pair seen less often is no token
};

class BpeTrainer {
 public:
  // Throws Error(kInvalidArgument) for a size without room for bytes and special tokens, a special
  // token that is empty, damaged, twice there or equal to a byte's token, a role given to a token
  // that is not special.
  explicit BpeTrainer(BpeTrainerOptions options);
  ~BpeTrainer();

  // Counts the words of one text, cut as the vocabulary's tokenizer will cut it: spellings of
  // special tokens are no part of any word. Damaged UTF-8 counts as U+FFFD.
  void Add(std::string_view text);

  size_t distinct_words() const { return words_.size(); }

  // The vocabulary of all that was added so far.
  BpeVocabulary Train() const;

 private:
  BpeTrainerOptions options_;
  TokenTrie specials_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  StringMap<int64_t> words_;  // spelled in the byte alphabet -> how often
};

BpeVocabulary TrainBpe(std::span<const std::string> texts, const BpeTrainerOptions& options);

struct CountedWord {
  std::string word;  // valid UTF-8; its characters are the first symbols
  int64_t count = 1;
};

// The trainer's core, for words over any alphabet: up to `limit` merges, fewer where no pair is
// left that occurs `min_count` times. Two pairs may spell one piece: then the second is no merge,
// since a vocabulary holds each piece once. Nor is a pair that spells one of `taken`.
std::vector<SpelledMerge> LearnMerges(std::span<const CountedWord> words, size_t limit,
                                      int64_t min_count, const std::set<std::string>& taken = {});

// The tokens of the 256 bytes, in the order in which GPT-2's vocabulary has them: of their
// characters in the byte alphabet.
std::vector<std::string> ByteTokens();

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_BPE_TRAINER_H_
