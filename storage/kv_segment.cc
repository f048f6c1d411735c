#include "storage/kv_segment.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace promptdb {

namespace {

// The tokens of the first chunk past the expected ones, when it has to hold so many.
int GrowthFor(int tokens, int whole) {
  const auto power = static_cast<int>(std::bit_ceil(static_cast<unsigned>(tokens)));
  return std::clamp(power, std::min(KvSegment::kFirstGrowth, whole), whole);
}

}  // namespace

KvSegment::KvSegment(const KvShape& shape, int start_position, int expected_tokens)
    : shape_(shape), start_position_(start_position), expected_tokens_(expected_tokens) {
  const BlockGrid grid(shape, expected_tokens);
  expected_chunks_ = grid.chunks();
  // Chunk sizes are powers of two, which makes a token's place two cheap operations.
  chunk_shift_ = std::countr_zero(static_cast<unsigned>(grid.chunk_tokens()));
  group_layers_ = grid.group_layers();
  groups_ = grid.groups();
}

KvSegment::KvSegment(const KvShape& shape, int start_position, int tokens,
                     std::vector<BlockPin> pins)
    : KvSegment(shape, start_position, tokens) {
  const BlockGrid grid(shape, tokens);
  Check(static_cast<int>(pins.size()) == grid.blocks(), "a stored segment has all blocks pinned");
  for (int i = 0; i < grid.blocks(); ++i) {
    Check(pins[static_cast<size_t>(i)].block().payload_bytes() == grid.Extent(i).payload_bytes,
          "a pinned block is as large as its extent");
  }
  pins_ = std::move(pins);
  tokens_ = capacity_ = fetched_tokens_ = tokens;
}

KvSegment::KvSegment(const KvShape& shape, int start_position, int tokens,
                     std::vector<DevicePin> pins)
    : KvSegment(shape, start_position, tokens) {
  const BlockGrid grid(shape, tokens);
  Check(static_cast<int>(pins.size()) == grid.blocks(), "a stored segment has all blocks pinned");
  for (int i = 0; i < grid.blocks(); ++i) {
    Check(pins[static_cast<size_t>(i)].size() == grid.Extent(i).payload_bytes + kBlockHeaderBytes,
          "a pinned block is as large as its extent");
  }
  device_pins_ = std::move(pins);
  tokens_ = capacity_ = fetched_tokens_ = tokens;
}

KvSegment::KvSegment(const KvShape& shape, int start_position, int tokens,
                     std::vector<BlockBuffer> blocks)
    : KvSegment(shape, start_position, tokens) {
  const BlockGrid grid(shape, tokens);
  Check(static_cast<int>(blocks.size()) == grid.blocks(), "a full segment has all blocks");
  owned_.reserve(blocks.size());
  for (int chunk = 0; chunk < grid.chunks(); ++chunk) {
    for (int group = 0; group < grid.groups(); ++group) {
      const int index = grid.BlockIndex(group, chunk);
      Check(blocks[static_cast<size_t>(index)].payload_bytes() == grid.Extent(index).payload_bytes,
            "a block is as large as its extent");
      owned_.push_back(std::move(blocks[static_cast<size_t>(index)]));
    }
  }
  tokens_ = capacity_ = fetched_tokens_ = tokens;
}

int64_t KvSegment::bytes() const {
  int64_t total = 0;
  for (const BlockBuffer& block : owned_) total += block.size();
  for (const BlockPin& pin : pins_) total += pin.block().size();
  for (const DevicePin& pin : device_pins_) total += pin.size();
  return total;
}

int64_t KvSegment::OwnBytes(const KvShape& shape, int expected_tokens, int more) {
  const int64_t expected = BlockGrid(shape, expected_tokens).TotalBytes();
  if (more <= 0) return expected;
  const BlockGrid whole(shape, BlockGrid(shape, 0).chunk_tokens());
  if (more > whole.chunk_tokens()) {
    const int chunks = (more + whole.chunk_tokens() - 1) / whole.chunk_tokens();
    return expected + chunks * whole.TotalBytes();
  }
  return expected + BlockGrid(shape, GrowthFor(more, whole.chunk_tokens())).TotalBytes();
}

const void* KvSegment::identity() const {
  if (!is_pinned()) return this;
  return pins_.empty() ? device_pins_.front().identity() : pins_.front().block().data();
}

bool KvSegment::IsSameAs(const KvSegment& other) const {
  return identity() == other.identity() && tokens_ == other.tokens_ &&
         start_position_ == other.start_position_ && moved_by_ == other.moved_by_;
}

void KvSegment::PlaceAt(int start_position) {
  moved_by_ += start_position - start_position_;
  start_position_ = start_position;
}

KvSegment::Place KvSegment::PlaceOf(int token) const {
  // The last expected chunk may be smaller than the others, so what follows counts from its end.
  const bool expected = token < expected_tokens_;
  const int from = expected ? token : token - expected_tokens_;
  const int mask = (1 << chunk_shift_) - 1;
  return {(from >> chunk_shift_) + (expected ? 0 : expected_chunks_), from & mask};
}

int KvSegment::ChunkCapacity(int chunk) const {
  const int whole = 1 << chunk_shift_;
  if (chunk == expected_chunks_) return growth_;
  return chunk == expected_chunks_ - 1 ? expected_tokens_ - chunk * whole : whole;
}

int KvSegment::LayersOf(int group) const {
  return std::min(group_layers_, shape_.layers - group * group_layers_);
}

size_t KvSegment::BlockOf(int chunk, int group) const {
  return static_cast<size_t>(is_pinned() ? group * expected_chunks_ + chunk
                                         : chunk * groups_ + group);
}

const std::byte* KvSegment::Payload(int chunk, int group) const {
  const size_t index = BlockOf(chunk, group);
  if (!is_pinned()) return owned_[index].payload();
  return pins_.empty() ? device_pins_[index].payload() : pins_[index].block().payload();
}

void KvSegment::AddChunk(int capacity) {
  for (int group = 0; group < groups_; ++group) {
    BlockBuffer& block = owned_.emplace_back(LayoutOf(shape_, capacity).bytes * LayersOf(group));
    // Between its parts lie bytes that nobody writes.
    if (IsQuantized(shape_.dtype)) {
      std::memset(block.payload(), 0, static_cast<size_t>(block.payload_bytes()));
    }
    if (device_ != nullptr) {
      copies_.push_back({Allocate(*device_, block.payload_bytes()), nullptr});
    }
  }
  capacity_ += capacity;
}

// Copies cost less than the memory that a whole chunk takes from the many who answer shortly, and
// less than reading an answer from many small chunks.
void KvSegment::EnlargeGrowth(int capacity) {
  Fetch();
  const LayerLayout from = LayoutOf(shape_, growth_), to = LayoutOf(shape_, capacity);
  const auto bytes = static_cast<size_t>(growth_ * RowBytes());
  for (int group = 0; group < groups_; ++group) {
    const size_t index = BlockOf(expected_chunks_, group);
    const int layers = LayersOf(group);
    BlockBuffer larger(to.bytes * layers);
    for (int layer = 0; layer < layers; ++layer) {
      const std::byte* source = owned_[index].payload() + layer * from.bytes;
      std::byte* target = larger.payload() + layer * to.bytes;
      for (int head = 0; head < shape_.kv_heads; ++head) {
        const int64_t source_row = head * growth_ * RowBytes(), row = head * capacity * RowBytes();
        std::memcpy(target + to.k + row, source + from.k + source_row, bytes);
        std::memcpy(target + to.v + row, source + from.v + source_row, bytes);
      }
    }
    owned_[index] = std::move(larger);
    if (device_ != nullptr) CopyInAgain(index);
  }
  capacity_ += capacity - growth_;
  growth_ = capacity;
}

void KvSegment::AddRoom(int tokens) {
  const int whole = 1 << chunk_shift_;
  if (capacity_ < expected_tokens_) {
    AddChunk(ChunkCapacity(static_cast<int>(owned_.size()) / groups_));
  } else if (growth_ == whole) {
    AddChunk(whole);
  } else {
    const int capacity = GrowthFor(tokens_ + tokens - expected_tokens_, whole);
    if (growth_ > 0) return EnlargeGrowth(capacity);
    growth_ = capacity;
    AddChunk(capacity);
  }
}

void KvSegment::Grow(int count) {
  Check(!is_pinned() && count >= 0, "only a segment with own memory grows");
  Check(!IsQuantized(shape_.dtype) || (tokens_ == 0 && count == expected_tokens_),
        "a quantized segment is made whole");
  while (capacity_ < tokens_ + count) AddRoom(count);
  // Without a device the caller writes on the host.
  if (device_ == nullptr) fetched_tokens_ = tokens_ + count;
  tokens_ += count;
}

std::byte* KvSegment::MutableK(int layer, int kv_head, int token) {
  return MutableAt(layer, kv_head, token, false);
}

std::byte* KvSegment::MutableV(int layer, int kv_head, int token) {
  return MutableAt(layer, kv_head, token, true);
}

std::byte* KvSegment::MutableAt(int layer, int kv_head, int token, bool value) {
  Check(device_ == nullptr, "what a device writes is written there alone");
  const Place place = PlaceOf(token);
  const int capacity = ChunkCapacity(place.chunk);
  const int group = layer / group_layers_;
  std::byte* payload = owned_[static_cast<size_t>(place.chunk * groups_ + group)].payload();
  const LayerLayout layout = LayoutOf(shape_, capacity);
  const int64_t row = int64_t{kv_head} * capacity + place.token;
  return payload + (layer - group * group_layers_) * layout.bytes + (value ? layout.v : layout.k) +
         row * RowBytes();
}

KvSlice KvSegment::SliceOf(const std::byte* part, const Place& place, int begin, int end) const {
  const int capacity = ChunkCapacity(place.chunk);
  const LayerLayout layout = LayoutOf(shape_, capacity);
  KvSlice slice;
  slice.k = part + layout.k + place.token * RowBytes();
  slice.v = part + layout.v + place.token * RowBytes();
  slice.dtype = shape_.dtype;
  if (IsQuantized(shape_.dtype)) {
    slice.k_scales = reinterpret_cast<const uint16_t*>(part + layout.k_scales);
    slice.v_scales = reinterpret_cast<const uint16_t*>(part + layout.v_scales);
    slice.first_of_chunk = place.token;
  }
  slice.head_stride = int64_t{capacity} * shape_.head_dim;
  slice.tokens = std::min(end - begin, capacity - place.token);
  slice.start_position = start_position_ + begin;
  slice.moved_by = moved_by_;
  return slice;
}

void KvSegment::AppendSlices(int layer, int begin, int end, std::vector<KvSlice>& out) const {
  Fetch();
  const int group = layer / group_layers_;
  while (begin < end) {
    const Place place = PlaceOf(begin);
    const int64_t layer_bytes = LayoutOf(shape_, ChunkCapacity(place.chunk)).bytes;
    const std::byte* part =
        Payload(place.chunk, group) + (layer - group * group_layers_) * layer_bytes;
    out.push_back(SliceOf(part, place, begin, end));
    begin += out.back().tokens;
  }
}

void KvSegment::AppendMutableSlices(int layer, int begin, int end,
                                    std::vector<KvMutableSlice>& out) {
  Check(!is_pinned() && device_ == nullptr,
        "only a segment with own memory, and on no device, is written");
  while (begin < end) {
    const Place place = PlaceOf(begin);
    const int capacity = ChunkCapacity(place.chunk);
    KvMutableSlice slice;
    slice.k = MutableAt(layer, 0, begin, false);
    slice.v = MutableAt(layer, 0, begin, true);
    slice.head_stride = int64_t{capacity} * shape_.head_dim;
    slice.tokens = std::min(end - begin, capacity - place.token);
    slice.first_token = begin;
    if (IsQuantized(shape_.dtype)) {
      Check(place.token == 0 && slice.tokens == capacity, "quantized chunks are written whole");
      const LayerLayout layout = LayoutOf(shape_, capacity);
      slice.k_scales = reinterpret_cast<uint16_t*>(slice.k - layout.k + layout.k_scales);
      slice.v_scales = reinterpret_cast<uint16_t*>(slice.v - layout.v + layout.v_scales);
    }
    out.push_back(slice);
    begin += slice.tokens;
  }
}

KvSegment KvSegment::CopyOf(int tokens) const {
  const Part all{this, tokens};
  return CopyOf({&all, 1});
}

KvSegment KvSegment::CopyOf(std::span<const Part> parts) {
  const KvSegment& first = *parts.front().segment;
  const KvShape& shape = first.shape_;
  int tokens = 0;
  for (const Part& part : parts) {
    const KvSegment& segment = *part.segment;
    Check(part.tokens <= segment.tokens_ && !IsQuantized(shape.dtype),
          "a copy is no longer than the segment, and of values");
    Check(segment.shape_ == shape && segment.moved_by_ == first.moved_by_ &&
              segment.start_position_ == first.start_position_ + tokens,
          "parts of a copy follow one another");
    tokens += part.tokens;
  }
  KvSegment copy(shape, first.start_position_ - first.moved_by_, tokens);
  copy.PlaceAt(first.start_position_);
  copy.Grow(tokens);
  int done = 0;
  for (const Part& part : parts) {
    copy.CopyFrom(*part.segment, part.tokens, done);
    done += part.tokens;
  }
  return copy;
}

void KvSegment::CopyFrom(const KvSegment& other, int tokens, int at) {
  const auto element_bytes = int64_t{KvDtypeBits(shape_.dtype) / 8};
  const auto row_bytes = static_cast<size_t>(RowBytes());
  std::vector<KvMutableSlice> to;
  std::vector<KvSlice> from;
  for (int layer = 0; layer < shape_.layers; ++layer) {
    to.clear();
    AppendMutableSlices(layer, at, at + tokens, to);
    for (const KvMutableSlice& target : to) {
      from.clear();
      const int first = target.first_token - at;
      other.AppendSlices(layer, first, first + target.tokens, from);
      size_t done = 0;  // tokens
      for (const KvSlice& source : from) {
        const size_t bytes = static_cast<size_t>(source.tokens) * row_bytes;
        for (int head = 0; head < shape_.kv_heads; ++head) {
          const int64_t source_offset = head * source.head_stride * element_bytes;
          const int64_t target_offset =
              head * target.head_stride * element_bytes + static_cast<int64_t>(done * row_bytes);
          std::memcpy(target.k + target_offset, source.k + source_offset, bytes);
          std::memcpy(target.v + target_offset, source.v + source_offset, bytes);
        }
        done += static_cast<size_t>(source.tokens);
      }
    }
  }
}

std::vector<BlockBuffer> KvSegment::TakeBlocks() {
  Check(!is_pinned() && tokens_ == expected_tokens_ && capacity_ == tokens_,
        "only a full segment with own memory gives its blocks away");
  Fetch();
  copies_.clear();
  device_ = nullptr;
  std::vector<BlockBuffer> blocks;
  blocks.reserve(owned_.size());
  for (int group = 0; group < groups_; ++group) {
    for (int chunk = 0; chunk < expected_chunks_; ++chunk) {
      blocks.push_back(std::move(owned_[static_cast<size_t>(chunk * groups_ + group)]));
    }
  }
  owned_.clear();
  tokens_ = capacity_ = fetched_tokens_ = 0;
  return blocks;
}

}  // namespace promptdb
