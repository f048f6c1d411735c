#include "storage/kv_format.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"
#include "storage/block_memory.h"

namespace promptdb {

static_assert(std::endian::native == std::endian::little,
              "blocks are written as they lie in memory, which must be little-endian");
static_assert(offsetof(BlockHeader, header_digest) == 80);

std::string_view KvDtypeName(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::kF32:
      return "f32";
    case KvDtype::kBf16:
      return "bf16";
    case KvDtype::kInt8:
      return "int8";
    case KvDtype::kInt4:
      return "int4";
  }
  return "";
}

std::optional<KvDtype> KvDtypeNamed(std::string_view name) {
  for (const KvDtype dtype : kAllKvDtypes) {
    if (KvDtypeName(dtype) == name) return dtype;
  }
  return std::nullopt;
}

int KvDtypeBits(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::kF32:
      return 32;
    case KvDtype::kBf16:
      return 16;
    case KvDtype::kInt8:
      return 8;
    case KvDtype::kInt4:
      return 4;
  }
  return 0;
}

int64_t KvShape::BytesPerTokenLayer() const {
  const int64_t elements = int64_t{kv_heads} * head_dim;
  const int64_t codes = 2 * elements * KvDtypeBits(dtype) / 8;
  if (!IsQuantized(dtype)) return codes;
  constexpr int64_t kPair = 2 * sizeof(uint16_t);
  return codes + kPair * kv_heads + kPair * elements / kScaledTokens;
}

LayerLayout LayoutOf(const KvShape& shape, int tokens) {
  const int64_t elements = int64_t{shape.kv_heads} * tokens * shape.head_dim;
  const int64_t plane = elements * KvDtypeBits(shape.dtype) / 8;
  LayerLayout layout;
  if (!IsQuantized(shape.dtype)) {
    layout.v = plane;
    layout.bytes = 2 * plane;
    return layout;
  }
  const auto after = [](int64_t offset, int64_t bytes) {
    return (offset + bytes + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment;
  };
  constexpr int64_t kPair = 2 * sizeof(uint16_t);
  const int64_t groups = (int64_t{tokens} + kScaledTokens - 1) / kScaledTokens;
  layout.k_scales = after(0, plane);
  layout.v = after(layout.k_scales, kPair * shape.kv_heads * groups * shape.head_dim);
  layout.v_scales = after(layout.v, plane);
  layout.bytes = after(layout.v_scales, kPair * shape.kv_heads * tokens);
  return layout;
}

bool IsValid(const KvShape& shape) {
  const auto within = [](int value, int limit) { return value >= 1 && value <= limit; };
  return within(shape.layers, 1 << 12) && within(shape.kv_heads, 1 << 12) &&
         within(shape.head_dim, 1 << 12) && shape.dtype <= KvDtype::kInt4 &&
         (shape.dtype != KvDtype::kInt4 || shape.head_dim % 2 == 0);
}

BlockGrid::BlockGrid(const KvShape& shape, int tokens) : shape_(shape), tokens_(tokens) {
  Check(IsValid(shape) && tokens >= 0, "a block grid needs a valid shape and a token count");
  const int64_t token_bytes = shape.BytesPerTokenLayer();
  chunk_tokens_ = kMaxChunkTokens;
  while (chunk_tokens_ > kMinChunkTokens && chunk_tokens_ * token_bytes > kTargetBlockBytes) {
    chunk_tokens_ /= 2;
  }
  const int64_t layer_bytes = chunk_tokens_ * token_bytes;
  const int64_t nearest = (kTargetBlockBytes + layer_bytes / 2) / layer_bytes;
  group_layers_ = static_cast<int>(std::clamp<int64_t>(nearest, 1, shape.layers));
  chunks_ = static_cast<int>((int64_t{tokens} + chunk_tokens_ - 1) / chunk_tokens_);
  groups_ = (shape.layers + group_layers_ - 1) / group_layers_;
}

BlockExtent BlockGrid::Extent(int index) const {
  Check(index >= 0 && index < blocks(), "a block index is within its grid");
  BlockExtent extent;
  extent.first_layer = index / chunks_ * group_layers_;
  extent.layers = std::min(group_layers_, shape_.layers - extent.first_layer);
  extent.first_token = index % chunks_ * chunk_tokens_;
  extent.tokens = std::min(chunk_tokens_, tokens_ - extent.first_token);
  extent.payload_bytes = LayoutOf(shape_, extent.tokens).bytes * extent.layers;
  return extent;
}

int64_t BlockGrid::TotalBytes() const {
  if (chunks_ == 0) return 0;
  const int last_tokens = tokens_ - (chunks_ - 1) * chunk_tokens_;
  const int64_t layer_bytes =
      (chunks_ - 1) * LayoutOf(shape_, chunk_tokens_).bytes + LayoutOf(shape_, last_tokens).bytes;
  return layer_bytes * shape_.layers + int64_t{kBlockHeaderBytes} * blocks();
}

BlockBuffer::BlockBuffer(int64_t payload_bytes) : size_(payload_bytes + kBlockHeaderBytes) {
  const auto bytes = static_cast<size_t>(size_);
  data_ = {AllocateBlockMemory(bytes), Free{bytes}};
}

BlockBuffer::BlockBuffer(BlockBuffer&& other) noexcept
    : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

BlockBuffer& BlockBuffer::operator=(BlockBuffer&& other) noexcept {
  data_ = std::move(other.data_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void BlockBuffer::Free::operator()(std::byte* data) const { FreeBlockMemory(data, bytes); }

namespace {

void StoreDigest(const Digest& digest, uint8_t (&out)[16]) {
  std::memcpy(out, digest.ToBytes().data(), sizeof(out));
}

bool HoldsDigest(const uint8_t (&field)[16], const Digest& digest) {
  return std::memcmp(field, digest.ToBytes().data(), sizeof(field)) == 0;
}

Digest HeaderDigest(const BlockHeader& header) {
  return DigestBytes(
      std::as_bytes(std::span(&header, 1)).first(offsetof(BlockHeader, header_digest)));
}

Digest PayloadDigest(const BlockBuffer& block) {
  return DigestBytes({block.payload(), static_cast<size_t>(block.payload_bytes())});
}

[[noreturn]] void Corrupt(const std::string& cause) {
  throw Error(ErrorCode::kCorrupt, "stored attention state: " + cause);
}

void Expect(std::string_view field, uint64_t expected, uint64_t found) {
  if (expected == found) return;
  Corrupt("block says " + std::string(field) + " " + std::to_string(found) + " where " +
          std::to_string(expected) + " is due");
}

}  // namespace

void SealBlock(const Digest& state, const KvShape& shape, const BlockExtent& extent,
               BlockBuffer& block) {
  Check(block.payload_bytes() == extent.payload_bytes, "a block is as large as its extent");
  BlockHeader header;
  header.dtype = static_cast<uint32_t>(shape.dtype);
  StoreDigest(state, header.state_key);
  header.first_layer = static_cast<uint32_t>(extent.first_layer);
  header.layers = static_cast<uint32_t>(extent.layers);
  header.first_token = static_cast<uint32_t>(extent.first_token);
  header.tokens = static_cast<uint32_t>(extent.tokens);
  header.kv_heads = static_cast<uint32_t>(shape.kv_heads);
  header.head_dim = static_cast<uint32_t>(shape.head_dim);
  header.payload_bytes = static_cast<uint64_t>(extent.payload_bytes);
  StoreDigest(PayloadDigest(block), header.payload_digest);
  StoreDigest(HeaderDigest(header), header.header_digest);
  std::memcpy(block.data(), &header, sizeof(header));
}

void VerifyBlockHeader(const Digest& state, const KvShape& shape, const BlockExtent& extent,
                       const BlockBuffer& block) {
  if (block.empty() || block.payload_bytes() != extent.payload_bytes) {
    Corrupt("block of " + std::to_string(block.size()) + " bytes where " +
            std::to_string(extent.payload_bytes + kBlockHeaderBytes) + " are due");
  }
  BlockHeader header;
  std::memcpy(&header, block.data(), sizeof(header));
  if (header.magic != kBlockMagic) Corrupt("not a block: its magic number is wrong");
  // The version comes before the digest, since another version may place the digest elsewhere.
  Expect("format version", kBlockFormatVersion, header.format_version);
  if (!HoldsDigest(header.header_digest, HeaderDigest(header))) {
    Corrupt("block header fails its checksum");
  }
  if (!HoldsDigest(header.state_key, state)) Corrupt("block belongs to another state");
  Expect("dtype", static_cast<uint64_t>(shape.dtype), header.dtype);
  Expect("first layer", static_cast<uint64_t>(extent.first_layer), header.first_layer);
  Expect("layers", static_cast<uint64_t>(extent.layers), header.layers);
  Expect("first token", static_cast<uint64_t>(extent.first_token), header.first_token);
  Expect("tokens", static_cast<uint64_t>(extent.tokens), header.tokens);
  Expect("KV heads", static_cast<uint64_t>(shape.kv_heads), header.kv_heads);
  Expect("head size", static_cast<uint64_t>(shape.head_dim), header.head_dim);
  Expect("payload bytes", static_cast<uint64_t>(extent.payload_bytes), header.payload_bytes);
  if (std::any_of(std::begin(header.padding), std::end(header.padding),
                  [](uint8_t byte) { return byte != 0; })) {
    Corrupt("block header has bytes set in its padding");
  }
}

void VerifyBlock(const Digest& state, const KvShape& shape, const BlockExtent& extent,
                 const BlockBuffer& block) {
  VerifyBlockHeader(state, shape, extent, block);
  BlockHeader header;
  std::memcpy(&header, block.data(), sizeof(header));
  if (!HoldsDigest(header.payload_digest, PayloadDigest(block))) {
    Corrupt("block payload fails its checksum");
  }
}

}  // namespace promptdb
