// RocksDB's messages to whoever looks for the cause of trouble, in the file LOG of the database's
// folder.
//
// RocksDB's own logger ends the process when a line can't be written and another follows. Of this
// one a line may be missing, and nothing else happens. The file begins anew at 1 MiB.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_ROCKS_LOG_H_
#define PROMPTDB_STORAGE_ROCKS_LOG_H_

#include <rocksdb/env.h>

#include <cstdarg>
#include <filesystem>

namespace promptdb {

class RocksLog : public rocksdb::Logger {
 public:
  // Where there can be no file, lines go nowhere.
  explicit RocksLog(const std::filesystem::path& folder);
  ~RocksLog() override;
  RocksLog(const RocksLog&) = delete;
  RocksLog& operator=(const RocksLog&) = delete;

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override;

 protected:
  rocksdb::Status CloseImpl() override { return rocksdb::Status::OK(); }

 private:
  const int fd_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_ROCKS_LOG_H_
