// K and V of a run of tokens at consecutive positions, as attention reads them: either written by a
// forward pass (own memory) or borrowed from the pool of a tier (pins). Segments are never joined:
// a prompt is a list of them.
//
// Not thread-safe while it grows; a segment that no longer grows may be read by many threads.
#ifndef PROMPTDB_STORAGE_KV_SEGMENT_H_
#define PROMPTDB_STORAGE_KV_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "storage/buffer_pool.h"
#include "storage/device_block.h"
#include "storage/device_pool.h"
#include "storage/kv_format.h"

namespace promptdb {

// Part of one layer of a segment: `tokens` tokens that lie evenly in memory.
// Element (head h, token t, d) of K is at k + (h * head_stride + t * head_dim + d) * element size;
// V likewise. Codes of 4 bits: their pair's byte is at k + (h * head_stride + t * head_dim) / 2 +
// d % (head_dim / 2).
struct KvSlice {
  const std::byte* k = nullptr;
  const std::byte* v = nullptr;
  int64_t head_stride = 0;  // in elements: of a chunk, which the slice is part of
  int tokens = 0;
  int start_position = 0;  // of the first token; the others follow one by one
  int moved_by = 0;        // where RoPE turned the keys for positions that are less by this
  KvDtype dtype = KvDtype::kBf16;
  // Quantized: the scales of the chunk, as LayerLayout has them, and the first token's place in it.
  const uint16_t* k_scales = nullptr;
  const uint16_t* v_scales = nullptr;
  int first_of_chunk = 0;
};

// The same for a writer.
struct KvMutableSlice {
  std::byte* k = nullptr;
  std::byte* v = nullptr;
  int64_t head_stride = 0;  // in elements
  int tokens = 0;
  int first_token = 0;           // of the slice, within the segment
  uint16_t* k_scales = nullptr;  // quantized, and so whole chunks
  uint16_t* v_scales = nullptr;
};

class KvSegment {
 public:
  static constexpr int kFirstGrowth = 64;  // tokens

  // An empty segment that a forward pass fills. Memory comes chunk by chunk as it grows; a segment
  // that reaches exactly `expected_tokens` has the block grid of a stored state of that length.
  // Past them it grows by whole chunks, the first of which begins with kFirstGrowth tokens and is
  // made larger as often as it is full: an answer may end soon.
  KvSegment(const KvShape& shape, int start_position, int expected_tokens);

  // The stored state of `tokens` tokens, from the pins of all blocks of its grid, in index order.
  KvSegment(const KvShape& shape, int start_position, int tokens, std::vector<BlockPin> pins);

  // The same on a device whose memory the host can read. The slices of a layer wait until its
  // blocks have arrived there.
  KvSegment(const KvShape& shape, int start_position, int tokens, std::vector<DevicePin> pins);

  // A full segment in own memory, from the blocks of its grid, in index order: what TakeBlocks()
  // took apart. It may grow again.
  KvSegment(const KvShape& shape, int start_position, int tokens, std::vector<BlockBuffer> blocks);

  KvSegment(KvSegment&&) noexcept = default;
  KvSegment& operator=(KvSegment&& other) noexcept;
  ~KvSegment();

  const KvShape& shape() const { return shape_; }
  int start_position() const { return start_position_; }
  int moved_by() const { return moved_by_; }
  int tokens() const { return tokens_; }
  // False: own memory.
  bool is_pinned() const { return !pins_.empty() || !device_pins_.empty(); }
  int64_t bytes() const;

  // What one has in own memory when `more` tokens have come past those expected.
  static int64_t OwnBytes(const KvShape& shape, int expected_tokens, int more);

  // The memory that it begins in, which segments over the same pinned blocks share.
  const void* identity() const;
  // Whether the other has the very same states at the same positions.
  bool IsSameAs(const KvSegment& other) const;

  // Moves the segment to other positions. Its keys stay as they were turned, or are turned from now
  // on, for those that it had at first: whoever reads them turns queries back by moved_by().
  void PlaceAt(int start_position);

  // Makes room for `count` more tokens, whose K and V the caller then writes in every layer through
  // the pointers below; those from before are void. REQUIRES: own memory; of a quantized dtype,
  // all expected tokens at once.
  void Grow(int count);

  // Where K (V) of one token in one layer and head is written: head_dim elements.
  // REQUIRES: own memory, token < tokens(), not quantized.
  std::byte* MutableK(int layer, int kv_head, int token);
  std::byte* MutableV(int layer, int kv_head, int token);

  // Appends the slices that cover tokens [begin, end) of a layer, in order. What a device has
  // written is fetched first, which Error(kIo) may end.
  void AppendSlices(int layer, int begin, int end, std::vector<KvSlice>& out) const;

  // Queues copies to the device of all that isn't there, into memory that goes with the segment.
  // Own memory is written there from now on: what Grow() makes room for, has room there too.
  // Throws Error(kResource) where the device has no room, kIo where it refuses. All calls are about
  // one device; no two at the same time, of this and of the next.
  void BringTo(DeviceMemory& device) const;
  // The same as AppendSlices, but on that device: pointers for its kernels. Waits until the
  // layer's blocks have arrived. REQUIRES: BringTo(device).
  void AppendDeviceSlices(DeviceMemory& device, int layer, int begin, int end,
                          std::vector<KvSlice>& out) const;

  // Appends the same for writing. Cheaper than MutableK per token where many tokens are written.
  // REQUIRES: own memory.
  void AppendMutableSlices(int layer, int begin, int end, std::vector<KvMutableSlice>& out);

  // A copy of the first `tokens` tokens in own memory, with the block grid of a stored state of
  // that length: what a segment that grew past `expected_tokens` is stored as. REQUIRES: tokens <=
  // tokens(), not quantized.
  KvSegment CopyOf(int tokens) const;

  // The first tokens of several segments, each of which begins where the one before it ends, as
  // one.
  struct Part {
    const KvSegment* segment = nullptr;
    int tokens = 0;
  };
  // REQUIRES: as CopyOf() of each; the parts are of one shape, and moved by as much.
  static KvSegment CopyOf(std::span<const Part> parts);

  // The blocks, once full, for the store: moves the memory out. Afterwards the segment is empty.
  // REQUIRES: own memory, tokens() == expected_tokens.
  std::vector<BlockBuffer> TakeBlocks();

 private:
  // Where a token lies: which chunk, and which token of the chunk.
  struct Place {
    int chunk = 0;
    int token = 0;
  };
  Place PlaceOf(int token) const;
  int ChunkCapacity(int chunk) const;  // in tokens
  int LayersOf(int group) const;
  size_t BlockOf(int chunk, int group) const;  // its index in owned_, pins_ or device_pins_
  const std::byte* Payload(int chunk, int group) const;
  // Of `part`, the bytes of one layer of a chunk; wherever these are.
  KvSlice SliceOf(const std::byte* part, const Place& place, int begin, int end) const;
  const std::byte* DevicePayload(DeviceMemory& device, size_t block) const;
  static DeviceBlock Allocate(DeviceMemory& device, int64_t bytes);
  struct DeviceCopy;
  DeviceCopy CopyIn(DeviceMemory& device, size_t block) const;  // queued
  void CopyInAgain(size_t block);                               // what is now another block
  void Fetch() const;                                           // what only the device has
  int64_t RowBytes() const { return int64_t{shape_.head_dim} * KvDtypeBits(shape_.dtype) / 8; }
  void AddRoom(int tokens);  // for some of them, at least
  void AddChunk(int capacity);
  void EnlargeGrowth(int capacity);
  std::byte* MutableAt(int layer, int kv_head, int token, bool value);
  // Copies the first tokens of another segment to those from `at` on.
  void CopyFrom(const KvSegment& other, int tokens, int at);

  KvShape shape_;
  int start_position_ = 0;
  int moved_by_ = 0;
  int tokens_ = 0;
  // Chunks follow the grid of this many tokens; beyond them every chunk is whole, or, if it is the
  // first, becomes so.
  int expected_tokens_ = 0;
  int expected_chunks_ = 0;
  int chunk_shift_ = 0;  // log2 of the tokens of a whole chunk
  int group_layers_ = 0;
  int groups_ = 0;
  int growth_ = 0;    // in tokens: of the first chunk past the expected ones
  int capacity_ = 0;  // in tokens
  // By chunk, then group, since a growing segment adds chunks. Mutable, as is what follows: what a
  // device has written is fetched when somebody reads it.
  mutable std::vector<BlockBuffer> owned_;
  mutable int fetched_tokens_ = 0;  // of own memory that a device writes: what the host has, too
  mutable DeviceMemory* device_ = nullptr;  // where it was brought to
  // A block's copy there, which is not the device tier's.
  struct DeviceCopy {
    DeviceBlock memory;
    std::shared_ptr<CopyEvent> arrival;  // null: nothing was copied
  };
  mutable std::vector<DeviceCopy> copies_;  // by index, as the blocks; own memory has each
  // By block index: group, then chunk. At most one of them has any.
  std::vector<BlockPin> pins_;
  std::vector<DevicePin> device_pins_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_KV_SEGMENT_H_
