// The form of RocksDB's log files (MANIFEST is one), as far as it takes to tell a file that a crash
// has cut from one that was damaged (RocksDB wiki, "Write Ahead Log File Format").
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_STORAGE_LOG_RECORDS_H_
#define PROMPTDB_STORAGE_LOG_RECORDS_H_

#include <string_view>

namespace promptdb {

// Whether a whole record stands somewhere behind the first place where none does.
bool HasRecordsAfterATornOne(std::string_view log);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_LOG_RECORDS_H_
