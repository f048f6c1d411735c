// The format of attention states: how K and V of a run of tokens are cut into blocks, and how a
// block lies in memory, which is byte for byte how it lies on disk.
//
// The states of n tokens are cut along tokens into chunks and along layers into groups; a block
// holds one chunk of one group. Chunk and group sizes follow from the shape alone (BlockGrid), so
// that a reader needs nothing but the shape and n.
//
//   block   = BlockHeader (128 bytes), then per layer of the group:  K, then V
//   K, V    = [kv_heads, tokens of the chunk, head_dim], dtype as in the header, little-endian
//
// Quantized dtypes have codes in the place of values, and behind each of K and V what their codes
// mean (LayerLayout); storage/kv_quantization.h has how they are made.
//
// docs/storage-format.md describes it field by field; constants here never change within a format
// version.
//
// Thread-safe where const: values and free functions without shared state.
#ifndef PROMPTDB_STORAGE_KV_FORMAT_H_
#define PROMPTDB_STORAGE_KV_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/digest.h"

namespace promptdb {

// A code stands for offset + code * scale, both bf16: keys have a pair for each channel and
// kScaledTokens tokens, values one for each token and head. Two codes of 4 bits are a byte: the low
// one is element d of the first half of the head, the high one element d of the second.
enum class KvDtype : uint32_t { kF32 = 0, kBf16 = 1, kInt8 = 2, kInt4 = 3 };

inline constexpr KvDtype kAllKvDtypes[] = {KvDtype::kF32, KvDtype::kBf16, KvDtype::kInt8,
                                           KvDtype::kInt4};

std::string_view KvDtypeName(KvDtype dtype);  // "f32", "bf16", "int8", "int4"
std::optional<KvDtype> KvDtypeNamed(std::string_view name);
int KvDtypeBits(KvDtype dtype);  // of an element's value or code
inline bool IsQuantized(KvDtype dtype) {
  return dtype == KvDtype::kInt8 || dtype == KvDtype::kInt4;
}

inline constexpr int kBlockAlignment = 64;  // of a block in memory

// Tokens whose keys share scales, counted from the chunk's first.
inline constexpr int kScaledTokens = 64;

struct KvShape {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
  KvDtype dtype = KvDtype::kBf16;

  bool operator==(const KvShape&) const = default;

  // K and V of one token in one layer, in bytes; of a quantized dtype with what scales come to in a
  // long run of tokens.
  int64_t BytesPerTokenLayer() const;
  int64_t BytesPerToken() const { return BytesPerTokenLayer() * layers; }
};

// Whether every number is within what a model can sensibly have, so that no size computed from the
// shape overflows. Shapes that come from a file are asked this first.
bool IsValid(const KvShape& shape);

// Where K and V of one layer lie in a chunk: offsets in bytes from the layer's first. Each part of
// a quantized layer begins at a multiple of kBlockAlignment.
struct LayerLayout {
  int64_t k = 0;         // [kv_heads, tokens, head_dim] values or codes
  int64_t k_scales = 0;  // quantized: [kv_heads, ceil(tokens / kScaledTokens), 2, head_dim] bf16
  int64_t v = 0;
  int64_t v_scales = 0;  // quantized: [kv_heads, 2, tokens] bf16
  int64_t bytes = 0;     // of the whole layer
};
// REQUIRES: IsValid(shape).
LayerLayout LayoutOf(const KvShape& shape, int tokens);

inline constexpr uint64_t kBlockMagic = 0x31304b4c42564b50;  // "PKVBLK01"
inline constexpr uint32_t kBlockFormatVersion = 1;
inline constexpr int kBlockHeaderBytes = 128;
inline constexpr int64_t kTargetBlockBytes = int64_t{1} << 20;
inline constexpr int kMaxChunkTokens = 512;
inline constexpr int kMinChunkTokens = 16;

// Written in front of the payload. Little-endian; padded with zeros to kBlockHeaderBytes.
struct BlockHeader {
  uint64_t magic = kBlockMagic;
  uint32_t format_version = kBlockFormatVersion;
  uint32_t dtype = 0;
  uint8_t state_key[16] = {};  // Digest::ToBytes() of the state
  uint32_t first_layer = 0;
  uint32_t layers = 0;
  uint32_t first_token = 0;  // within the state
  uint32_t tokens = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint64_t payload_bytes = 0;
  uint8_t payload_digest[16] = {};  // Digest::ToBytes() of DigestBytes(payload)
  uint8_t header_digest[16] = {};   // of the bytes before this field
  uint8_t padding[32] = {};
};
static_assert(sizeof(BlockHeader) == kBlockHeaderBytes);

// One block's place in a state.
struct BlockExtent {
  int first_layer = 0;
  int layers = 0;
  int first_token = 0;
  int tokens = 0;
  int64_t payload_bytes = 0;
};

// How the states of `tokens` tokens of a shape are cut. A value; cheap to copy.
//
// A chunk has the most tokens, a power of two within [kMinChunkTokens, kMaxChunkTokens], whose one
// layer fits into kTargetBlockBytes; a group has as many layers as come nearest to the target.
class BlockGrid {
 public:
  // REQUIRES: IsValid(shape), tokens >= 0.
  BlockGrid(const KvShape& shape, int tokens);

  int chunk_tokens() const { return chunk_tokens_; }  // of every chunk but the last
  int group_layers() const { return group_layers_; }  // of every group but the last
  int chunks() const { return chunks_; }
  int groups() const { return groups_; }
  int blocks() const { return chunks_ * groups_; }
  int BlockIndex(int group, int chunk) const { return group * chunks_ + chunk; }
  // REQUIRES: 0 <= index < blocks()
  BlockExtent Extent(int index) const;
  int64_t TotalBytes() const;  // headers included

 private:
  KvShape shape_;
  int tokens_;
  int chunk_tokens_;
  int group_layers_;
  int chunks_;
  int groups_;
};

// Memory for one block, aligned to kBlockAlignment, header first. Move-only.
class BlockBuffer {
 public:
  BlockBuffer() = default;
  // Uninitialised payload.
  explicit BlockBuffer(int64_t payload_bytes);
  BlockBuffer(BlockBuffer&& other) noexcept;  // leaves `other` empty
  BlockBuffer& operator=(BlockBuffer&& other) noexcept;

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::byte* payload() { return data_.get() + kBlockHeaderBytes; }
  const std::byte* payload() const { return data_.get() + kBlockHeaderBytes; }
  int64_t size() const { return size_; }  // header included
  int64_t payload_bytes() const { return size_ - kBlockHeaderBytes; }
  bool empty() const { return data_ == nullptr; }

 private:
  struct Free {
    size_t bytes;  // zero by value-initialisation
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  int64_t size_ = 0;
};

// Fills the header of a block whose payload is complete.
void SealBlock(const Digest& state, const KvShape& shape, const BlockExtent& extent,
               BlockBuffer& block);
// Throws Error(kCorrupt) that says what is wrong when the block's header is not that of the block
// expected.
void VerifyBlockHeader(const Digest& state, const KvShape& shape, const BlockExtent& extent,
                       const BlockBuffer& block);
// The same, and when its payload has changed.
void VerifyBlock(const Digest& state, const KvShape& shape, const BlockExtent& extent,
                 const BlockBuffer& block);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_KV_FORMAT_H_
