// Finds the spellings of many tokens in a text in one pass over it.
//
// Thread-safe once filled.
#ifndef PROMPTDB_TOKENIZER_TOKEN_TRIE_H_
#define PROMPTDB_TOKENIZER_TOKEN_TRIE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/bpe.h"

namespace promptdb {

class TokenTrie {
 public:
  struct Match {
    int32_t value = -1;
    size_t begin = 0;
    size_t size = 0;
  };

  TokenTrie();

  // Of equal spellings the first inserted counts. The empty spelling is never found.
  void Insert(std::string_view spelling, int32_t value);

  bool empty() const { return children_.size() == 0; }

  // The leftmost match at or after `from`, and of those that begin there the longest.
  std::optional<Match> FindLongest(std::string_view text, size_t from) const;

  // Every occurrence of every spelling, overlapping ones too, ordered by where they begin.
  std::vector<Match> FindAll(std::string_view text) const;

 private:
  int32_t Child(int32_t node, char byte) const;

  // (node, byte) -> node; the root is node 0. values_[node] is -1 where no spelling ends.
  MergeTable children_;
  std::vector<int32_t> values_;
  // Whether a spelling begins with the byte: nearly every position of a text is passed by this.
  std::array<bool, 256> begins_ = {};
};

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_TOKEN_TRIE_H_
