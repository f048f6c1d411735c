// Where the blocks of a state lie in Family::kBlocks, and the reading of one.
#ifndef PROMPTDB_STORAGE_STORED_BLOCKS_H_
#define PROMPTDB_STORAGE_STORED_BLOCKS_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/kv_format.h"
#include "storage/rocks.h"

namespace promptdb {

std::string BlockKey(const Digest& state, int index);
// The least key after all blocks of a state.
std::string EndOfBlocks(const Digest& state);

// A block from disk, in memory of its own: its bytes as RocksDB's checksum has them, its header the
// one that is due. VerifyBlock() would also check the payload's own digest. Throws Error(kCorrupt)
// that says what is wrong, or kIo. Thread-safe.
BlockBuffer ReadStoredBlock(const Rocks& rocks, const Digest& state, const KvShape& shape,
                            const BlockGrid& grid, int index);

// The same, but for going over a block's bytes no more than once as long as the database is open
// and the table that has them is there: the check takes as long as the copy.
//
// Thread-safe: one mutex guards what was checked.
class StoredBlocks {
 public:
  explicit StoredBlocks(const Rocks* rocks) : rocks_(*rocks) {}  // borrowed

  // As ReadStoredBlock.
  BlockBuffer Read(const Digest& state, const KvShape& shape, const BlockGrid& grid, int index);

  // Of a state's blocks that were checked.
  int64_t CheckedBytes(const Digest& state) const;
  // That any were: the next read checks them.
  void Forget(const Digest& state);

 private:
  bool IsChecked(const Digest& state, int index, uint64_t tables) const;
  void NoteChecked(const Digest& state, const BlockGrid& grid, int index, uint64_t tables);

  struct Marks {
    std::vector<bool> of_block;
    int64_t bytes = 0;
  };

  const Rocks& rocks_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  uint64_t tables_ = 0;  // the generation of tables that `checked_` is of
  std::unordered_map<Digest, Marks, DigestHash> checked_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STORED_BLOCKS_H_
