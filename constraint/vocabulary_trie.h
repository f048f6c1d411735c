// The bytes of every token of a vocabulary, as a tree: a walk along it tries all tokens that begin
// alike at once.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_CONSTRAINT_VOCABULARY_TRIE_H_
#define PROMPTDB_CONSTRAINT_VOCABULARY_TRIE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace promptdb {

class VocabularyTrie {
 public:
  // A byte after the bytes of its ancestors. Nodes stand in depth-first order.
  struct Node {
    uint32_t skip;   // the next node that is no descendant
    TokenId token;   // the first token that ends here, or -1
    uint16_t depth;  // 1 for the first byte
    uint8_t byte;
  };

  // Left out are tokens without text (control tokens) and those that end a generation.
  explicit VocabularyTrie(const Tokenizer& tokenizer);

  // `first`: as the first token of a text, where many tokenizers drop a leading space.
  const std::vector<Node>& nodes(bool first) const { return TreeOf(first).nodes; }
  std::string_view Bytes(TokenId token, bool first) const;
  // Another token of the same bytes, or -1.
  TokenId NextAlike(TokenId token, bool first) const {
    return TreeOf(first).next_alike[static_cast<size_t>(token)];
  }

  int vocab_size() const { return vocab_size_; }
  int max_depth() const { return max_depth_; }

 private:
  struct Tree {
    std::vector<std::string> bytes;  // by token
    std::vector<TokenId> next_alike;
    std::vector<Node> nodes;
  };

  const Tree& TreeOf(bool first) const { return first && has_first_ ? first_ : rest_; }
  void Build(Tree& tree);

  int vocab_size_ = 0;
  int max_depth_ = 0;
  bool has_first_ = false;  // whether any token is different at the beginning
  Tree rest_;
  Tree first_;
};

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_VOCABULARY_TRIE_H_
