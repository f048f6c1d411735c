// The merging of byte-pair encoding, for all three kinds of vocabulary: the adjacent pair of lowest
// rank is merged first, the leftmost among equals, until no pair is left.
//
// A symbol is an id; which id means what is the vocabulary's business. Ids below 0 merge with
// nothing.
//
// Thread-safe once filled.
#ifndef PROMPTDB_TOKENIZER_BPE_H_
#define PROMPTDB_TOKENIZER_BPE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace promptdb {

struct Merge {
  uint32_t rank = 0;
  int32_t merged = -1;  // the id that the pair becomes
};

// (left, right) -> Merge. A flat table: a long text asks it millions of times.
class MergeTable {
 public:
  // `expected`: how many pairs will be inserted; only a hint.
  explicit MergeTable(size_t expected = 0);

  // A pair that is there already keeps its first Merge, or takes the new one if `replace`.
  // REQUIRES: left, right >= 0.
  void Insert(int32_t left, int32_t right, Merge merge, bool replace);

  // nullptr when the pair doesn't merge.
  const Merge* Find(int32_t left, int32_t right) const;

  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t key;
    Merge merge;
  };
  Slot& SlotFor(uint64_t key);
  void Grow();

  std::vector<Slot> slots_;  // a power of two of them, at most half full
  size_t size_ = 0;
};

// A run of bytes of the text that is one symbol.
struct Symbol {
  int32_t id = -1;
  uint32_t begin = 0;
  uint32_t size = 0;
};

// Merges `symbols` in place; they stay in the order of the text. O(n log n).
void MergeSymbols(const MergeTable& table, std::vector<Symbol>& symbols);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_BPE_H_
