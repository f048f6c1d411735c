// What Rocks is made of: the RocksDB database with its handles, the options that it is opened with,
// and how a status becomes an Error. For rocks*.cc alone.
#ifndef PROMPTDB_STORAGE_ROCKS_REP_H_
#define PROMPTDB_STORAGE_ROCKS_REP_H_

#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/rocks.h"
#include "storage/rocks_files.h"

namespace promptdb {

inline constexpr int kFamilies = 5;
// By Family; never to change.
inline constexpr std::array<const char*, kFamilies> kFamilyNames = {"default", "catalog", "states",
                                                                    "blocks", "labels"};

inline rocksdb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

std::string StatusText(const rocksdb::Status& status);  // on one line
// `doing`: "reading", for the message.
void ThrowUnlessOk(const rocksdb::Status& status, const char* doing);

rocksdb::DBOptions DatabaseOptions();
rocksdb::ColumnFamilyOptions RowOptions();
rocksdb::ColumnFamilyOptions FamilyOptions(int family);
rocksdb::ReadOptions ReadOptionsOf(Family family);

// Hears when RocksDB stops taking changes. It would say so itself, but one that it is given at the
// wrong moment meets an assertion.
class FailureListener : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason, rocksdb::Status error,
                            bool* auto_recovery) override;
  // Throws Error(kIo or kCorrupt) once it has.
  void ThrowIfFailed() const;

 private:
  mutable std::mutex mutex_;
  rocksdb::Status error_;  // guarded by mutex_
};

// Hears when blocks are written to other tables: from memory, or by compaction. RocksDB tells of
// the end of either once its tables can be read.
class MoveListener : public rocksdb::EventListener {
 public:
  void OnFlushBegin(rocksdb::DB* db, const rocksdb::FlushJobInfo& job) override;
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& job) override;
  void OnCompactionBegin(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override;
  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override;
  // See Rocks::TableGeneration.
  std::optional<uint64_t> generation() const;

 private:
  void Begin(const std::string& family);
  void End(const std::string& family);

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  uint64_t generation_ = 1;
  int moving_ = 0;
};

struct Rocks::Rep {
  // Shared with RocksDB.
  const std::shared_ptr<FailureListener> failures = std::make_shared<FailureListener>();
  const std::shared_ptr<MoveListener> moves = std::make_shared<MoveListener>();
  const std::unique_ptr<rocksdb::Env> env = MakeCarefulEnv();
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> families;  // by Family
  std::atomic<uint64_t> next_ingest{0};
  std::atomic<bool> syncs_writes{true};

  ~Rep() {
    if (db == nullptr) return;
    for (rocksdb::ColumnFamilyHandle* family : families) db->DestroyColumnFamilyHandle(family);
    db->Close().PermitUncheckedError();
  }

  // Of blocks: tables that were written under another setting.
  bool HasTablesOfOtherCompression() const;

  rocksdb::ColumnFamilyHandle* Handle(Family family) const {
    return families[static_cast<size_t>(family)];
  }

  // Those that it was opened with, as far as they were not changed since.
  rocksdb::ColumnFamilyOptions OptionsNow(Family family) const {
    rocksdb::ColumnFamilyDescriptor descriptor;
    ThrowUnlessOk(Handle(family)->GetDescriptor(&descriptor), "reading its options");
    return descriptor.options;
  }

  std::unique_ptr<rocksdb::Iterator> NewIterator(Family family) const {
    return NewIterator(family, ReadOptionsOf(family));
  }
  std::unique_ptr<rocksdb::Iterator> NewIterator(Family family,
                                                 const rocksdb::ReadOptions& options) const {
    return std::unique_ptr<rocksdb::Iterator>(db->NewIterator(options, Handle(family)));
  }
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_ROCKS_REP_H_
