// The file system as RocksDB sees it, with one rule more: once it is not known what the MANIFEST on
// the disk says, no file that it may name is deleted any more.
//
// Where a write or a sync of the MANIFEST fails, RocksDB takes back what it was about to record,
// and removes an ingested or a flushed table. But the record may be in the file all the same, and
// then the database, opened again, misses a table and refuses to open. What stays in vain is
// removed when the database is opened next.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_ROCKS_FILES_H_
#define PROMPTDB_STORAGE_ROCKS_FILES_H_

#include <rocksdb/env.h>

#include <memory>

namespace promptdb {

// Must outlive the database that is opened with it.
std::unique_ptr<rocksdb::Env> MakeCarefulEnv();

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_ROCKS_FILES_H_
