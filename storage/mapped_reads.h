// What becomes of a read from a mapped table file when the disk fails, or when
// the file has become shorter: the kernel sends SIGBUS, whose default is the
// end of the process.
//
// A handler puts a page of zeros in the place of the one that can't be had.
// Where RocksDB reads it, checksums don't fit and it tells of damage, as of any
// other; where a value was already checked, MappedReads tells. Other SIGBUS
// than from table files (*.sst) go to whoever handled them before.
//
// Thread-safe; the handler is async-signal-safe.
#ifndef PROMPTDB_STORAGE_MAPPED_READS_H_
#define PROMPTDB_STORAGE_MAPPED_READS_H_

#include <cstdint>

namespace promptdb {

// Installs the handler, once a process.
void HandleFailedMappedReads();

// Stands around reads whose values lie in mapped files.
class MappedReads {
 public:
  MappedReads();
  // Throws Error(kIo) if any read of the process has failed since the
  // constructor: what was read meanwhile may be zeros.
  void ThrowIfFailed() const;

 private:
  uint64_t failed_before_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_MAPPED_READS_H_
