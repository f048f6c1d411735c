// A 128-bit content digest (XXH3-128). It names cached attention states and tells changed files
// from unchanged ones. It is not a cryptographic digest: a person who can choose both inputs can
// collide.
//
// The digest of a byte sequence never changes between releases: it is part of the on-disk format.
#ifndef PROMPTDB_BASE_DIGEST_H_
#define PROMPTDB_BASE_DIGEST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace promptdb {

struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;

  auto operator<=>(const Digest&) const = default;

  std::string ToHex() const;                        // 32 lower-case hexadecimal digits
  static Digest FromHex(std::string_view hex);      // throws Error(kCorrupt) on anything else
  std::string ToBytes() const;                      // 16 bytes, big-endian: sorts like the digest
  static Digest FromBytes(std::string_view bytes);  // REQUIRES: bytes.size() == 16
};

struct DigestHash {
  size_t operator()(const Digest& digest) const { return static_cast<size_t>(digest.low); }
};

// Feeds a digest. Every value is framed by its length, so that ("ab","c") and ("a","bc") differ.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  Hasher& Add(std::string_view bytes);
  Hasher& Add(const char* text) { return Add(std::string_view(text)); }
  Hasher& Add(int64_t value);
  Hasher& Add(int value) { return Add(static_cast<int64_t>(value)); }
  Hasher& Add(double value);
  Hasher& Add(const Digest& digest);
  Hasher& Add(std::span<const int32_t> values);

  Digest Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The digest of raw bytes (no framing); used for block checksums and files.
Digest DigestBytes(std::span<const std::byte> bytes);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_DIGEST_H_
