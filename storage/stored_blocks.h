// Where the blocks of a state lie in Family::kBlocks, and the reading of one.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_STORAGE_STORED_BLOCKS_H_
#define PROMPTDB_STORAGE_STORED_BLOCKS_H_

#include <string>

#include "storage/kv_format.h"
#include "storage/rocks.h"

namespace promptdb {

std::string BlockKey(const Digest& state, int index);
// The least key after all blocks of a state.
std::string EndOfBlocks(const Digest& state);

// A block from disk, in memory of its own: its bytes as RocksDB's checksum has them, its header the
// one that is due. VerifyBlock() would also check the payload's own digest. Throws Error(kCorrupt)
// that says what is wrong, or kIo.
BlockBuffer ReadStoredBlock(const Rocks& rocks, const Digest& state, const KvShape& shape,
                            const BlockGrid& grid, int index);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STORED_BLOCKS_H_
