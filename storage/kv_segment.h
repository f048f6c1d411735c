// K and V of a run of tokens at consecutive positions, as attention reads them: either written by a
// forward pass (own memory) or borrowed from the buffer pool (pins). Segments are never joined: a
// prompt is a list of them.
//
// Not thread-safe while it grows; a segment that no longer grows may be read by many threads.
#ifndef PROMPTDB_STORAGE_KV_SEGMENT_H_
#define PROMPTDB_STORAGE_KV_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "storage/buffer_pool.h"
#include "storage/kv_format.h"

namespace promptdb {

// Part of one layer of a segment: `tokens` tokens that lie evenly in memory.
// Element (head h, token t, d) of K is at k + (h * head_stride + t * head_dim + d) * element size;
// V likewise.
struct KvSlice {
  const std::byte* k = nullptr;
  const std::byte* v = nullptr;
  int64_t head_stride = 0;  // in elements
  int tokens = 0;
  int start_position = 0;   // of the first token; the others follow one by one
};

class KvSegment {
 public:
  // An empty segment that a forward pass fills. Memory comes chunk by chunk as it grows; a segment
  // that reaches exactly `expected_tokens` has the block grid of a stored state of that length.
  KvSegment(const KvShape& shape, int start_position, int expected_tokens);

  // The stored state of `tokens` tokens, from the pins of all blocks of its grid, in index order.
  KvSegment(const KvShape& shape, int start_position, int tokens, std::vector<BlockPin> pins);

  KvSegment(KvSegment&&) noexcept = default;
  KvSegment& operator=(KvSegment&&) noexcept = default;

  const KvShape& shape() const { return shape_; }
  int start_position() const { return start_position_; }
  int tokens() const { return tokens_; }
  bool is_pinned() const { return !pins_.empty(); }  // false: own memory
  int64_t bytes() const;

  // Makes room for `count` more tokens, whose K and V the caller then writes in every layer through
  // the pointers below. Past `expected_tokens` the segment grows by whole chunks. REQUIRES: own memory.
  void Grow(int count);

  // Where K (V) of one token in one layer and head is written: head_dim elements.
  // REQUIRES: own memory, token < tokens().
  std::byte* MutableK(int layer, int kv_head, int token);
  std::byte* MutableV(int layer, int kv_head, int token);

  // Appends the slices that cover tokens [begin, end) of a layer, in order.
  void AppendSlices(int layer, int begin, int end, std::vector<KvSlice>& out) const;

  // The blocks, once full, for the store: moves the memory out. Afterwards the segment is empty.
  // REQUIRES: own memory, tokens() == expected_tokens.
  std::vector<BlockBuffer> TakeBlocks();

 private:
  std::byte* MutableAt(int layer, int kv_head, int token, bool value);

  KvShape shape_;
  int start_position_ = 0;
  int tokens_ = 0;
  int expected_tokens_ = 0;
  int chunk_tokens_ = 0;
  int group_layers_ = 0;
  int groups_ = 0;
  std::vector<BlockBuffer> owned_;  // by chunk, then group (a growing segment adds chunks)
  std::vector<int> chunk_sizes_;    // capacity of each owned chunk, in tokens
  std::vector<BlockPin> pins_;      // by block index (group, then chunk)
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_KV_SEGMENT_H_
