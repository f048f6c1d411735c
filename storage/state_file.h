// A file of attention states, which carries them from one database to another: what EXPORT STATES
// writes and IMPORT STATES reads.
//
//   file  = StateFileHeader, then for each state:  StateFileEntry, manifest, blocks,  then
//           StateFileEnd
//
// The manifest is the row of Family::kStates, and the blocks are those of the state's BlockGrid, in
// index order, byte for byte as they lie in the database. docs/storage-format.md describes every
// field; the constants here never change within a format version. Every bit of a file is covered by
// a digest or has one value that it may have.
//
// Not thread-safe: one writer or reader, one thread.
#ifndef PROMPTDB_STORAGE_STATE_FILE_H_
#define PROMPTDB_STORAGE_STATE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/whole_file.h"
#include "storage/kv_format.h"
#include "storage/state_manifest.h"

namespace promptdb {

inline constexpr uint64_t kStateFileMagic = 0x31454c4946564b50;   // "PKVFILE1"
inline constexpr uint64_t kStateEntryMagic = 0x4554415453564b50;  // "PKVSTATE"
inline constexpr uint64_t kStateEndMagic = 0x31444e4546564b50;    // "PKVFEND1"
inline constexpr uint32_t kStateFileFormatVersion = 1;

// All three are little-endian; digests are Digest::ToBytes(), and `header_digest` is that of the
// bytes before it.
struct StateFileHeader {
  uint64_t magic = kStateFileMagic;
  uint32_t format_version = kStateFileFormatVersion;
  uint32_t block_format_version = kBlockFormatVersion;
  int64_t created_at = 0;  // seconds since 1970
  uint8_t padding[24] = {};
  uint8_t header_digest[16] = {};
};
static_assert(sizeof(StateFileHeader) == 64);

struct StateFileEntry {
  uint64_t magic = kStateEntryMagic;
  uint64_t number = 0;  // of the state, from 0
  uint32_t manifest_bytes = 0;
  uint32_t blocks = 0;
  uint64_t block_bytes = 0;  // of all its blocks
  uint8_t manifest_digest[16] = {};
  uint8_t header_digest[16] = {};
};
static_assert(sizeof(StateFileEntry) == 64);

struct StateFileEnd {
  uint64_t magic = kStateEndMagic;
  uint64_t states = 0;
  uint64_t file_bytes = 0;  // this included
  uint8_t padding[8] = {};
  uint8_t entries_digest[16] = {};  // zeros, then for each entry: of this and its header_digest
  uint8_t header_digest[16] = {};
};
static_assert(sizeof(StateFileEnd) == 64);

// Writes such a file. It is there when Finish() returns, and never in part.
class StateFileWriter {
 public:
  // Throws Error(kInvalidArgument) where `path` exists, and Error(kIo), as every call.
  StateFileWriter(const std::filesystem::path& path, int64_t created_at);

  // Begins a state, of which AddBlock() must then get every block, in index order.
  void BeginState(const StateManifest& manifest);
  void AddBlock(const BlockBuffer& block);
  // Takes the state that was begun last out of the file again.
  void DropState();

  void Finish();

  int64_t states() const { return states_; }
  int64_t bytes() const { return file_.size(); }

 private:
  WholeFileWriter file_;
  int64_t states_ = 0;
  Digest entries_;
  // As they were before the last state.
  int64_t bytes_before_ = 0;
  Digest entries_before_;
};

// Reads such a file from its beginning to its end, and checks every byte. Throws Error(kCorrupt)
// with the place where it is no such file, is cut or was changed, Error(kUnsupported) where a newer
// release wrote it, and Error(kIo).
class StateFileReader {
 public:
  explicit StateFileReader(const std::filesystem::path& path);
  StateFileReader(const StateFileReader&) = delete;
  StateFileReader& operator=(const StateFileReader&) = delete;
  ~StateFileReader();

  // The next state; nullopt behind the last, when the file has proved to be whole. REQUIRES: all
  // blocks of the state before were read.
  std::optional<StateManifest> NextState();
  // The next block of the state, with a header and a payload that are right. REQUIRES: there is
  // one.
  BlockBuffer NextBlock();

  int64_t bytes() const { return bytes_; }
  int64_t bytes_read() const { return at_; }

 private:
  [[noreturn]] void Corrupt(const std::string& cause, int64_t at) const;
  // Throws where the file ends before.
  void Read(std::span<std::byte> out);
  void CheckHeader();
  StateManifest ReadManifest(const StateFileEntry& entry, int64_t at);
  void CheckEnd(const StateFileEnd& end, int64_t at);

  const std::filesystem::path path_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  int64_t at_ = 0;
  uint64_t states_ = 0;
  Digest entries_;
  StateManifest manifest_;  // of the state that is being read
  std::optional<BlockGrid> grid_;
  int next_block_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STATE_FILE_H_
