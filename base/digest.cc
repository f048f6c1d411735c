#include "base/digest.h"

// The state is kept by value, which needs its definition.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <bit>

#include "base/error.h"

namespace promptdb {

namespace {

void AppendBigEndian(uint64_t value, std::string& out) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

uint64_t ReadBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

}  // namespace

std::string Digest::ToHex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : ToBytes()) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

Digest Digest::FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < 32; ++i) {
    const char c = i < hex.size() ? hex[i] : '\0';
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (digit < 0 || hex.size() != 32) {
      throw Error(ErrorCode::kCorrupt, "not a digest of 32 hexadecimal digits");
    }
    if (i % 2 == 0)
      bytes += static_cast<char>(digit << 4);
    else
      bytes.back() = static_cast<char>(bytes.back() | digit);
  }
  return FromBytes(bytes);
}

std::string Digest::ToBytes() const {
  std::string out;
  AppendBigEndian(high, out);
  AppendBigEndian(low, out);
  return out;
}

Digest Digest::FromBytes(std::string_view bytes) {
  Check(bytes.size() == 16, "a digest is 16 bytes");
  return {ReadBigEndian(bytes), ReadBigEndian(bytes.substr(8))};
}

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Hasher::~Hasher() = default;

Hasher& Hasher::Add(std::string_view bytes) {
  const uint64_t size = bytes.size();
  XXH3_128bits_update(&state_->xxh, &size, sizeof(size));
  XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
  return *this;
}

Hasher& Hasher::Add(int64_t value) {
  return Add(std::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
}

Hasher& Hasher::Add(double value) { return Add(std::bit_cast<int64_t>(value)); }

Hasher& Hasher::Add(const Digest& digest) { return Add(std::string_view(digest.ToBytes())); }

Hasher& Hasher::Add(std::span<const int32_t> values) {
  return Add(std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
}

Digest Hasher::Finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->xxh);
  return {hash.high64, hash.low64};
}

Digest DigestBytes(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

}  // namespace promptdb
