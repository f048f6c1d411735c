#include "storage/log_records.h"

#include <boost/crc.hpp>
#include <cstdint>
#include <cstring>

namespace promptdb {

namespace {

using Crc32c = boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true>;

// Records don't reach beyond a block; where less than a header is left of one, it is filled up.
constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;  // checksum (4), length (2), type (1), all little-endian
constexpr int kMostType = 4;  // a whole record, or the first, a middle or the last part of one

// The bytes of the record at `at`; 0 where there is none.
size_t RecordAt(std::string_view log, size_t at) {
  if (at + kHeaderBytes > log.size()) return 0;
  uint32_t stored = 0;
  uint16_t length = 0;
  std::memcpy(&stored, log.data() + at, sizeof stored);
  std::memcpy(&length, log.data() + at + 4, sizeof length);
  const int type = static_cast<unsigned char>(log[at + 6]);
  const size_t bytes = kHeaderBytes + length;
  if (type < 1 || type > kMostType || at % kBlockBytes + bytes > kBlockBytes ||
      at + bytes > log.size()) {
    return 0;
  }
  Crc32c crc;  // of the type and what follows
  crc.process_bytes(log.data() + at + 6, 1 + length);
  const uint32_t value = crc.checksum();
  // RocksDB masks checksums, since logs may hold others.
  const uint32_t masked = ((value >> 15) | (value << 17)) + 0xa282ead8u;
  return masked == stored ? bytes : 0;
}

}  // namespace

bool HasRecordsAfterATornOne(std::string_view log) {
  size_t at = 0;
  while (at < log.size()) {
    const size_t left = kBlockBytes - at % kBlockBytes;
    const size_t bytes = left < kHeaderBytes ? left : RecordAt(log, at);
    if (bytes == 0) break;
    at += bytes;
  }
  for (++at; at + kHeaderBytes <= log.size(); ++at) {
    if (RecordAt(log, at) > 0) return true;
  }
  return false;
}

}  // namespace promptdb
