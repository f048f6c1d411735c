#include <rocksdb/table.h>

#include <algorithm>

#include "base/error.h"
#include "storage/rocks_rep.h"

namespace promptdb {

std::string StatusText(const rocksdb::Status& status) {
  std::string text = status.ToString();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void ThrowUnlessOk(const rocksdb::Status& status, const char* doing) {
  if (status.ok()) return;
  const std::string message =
      "the database failed while " + std::string(doing) + ": " + StatusText(status);
  if (status.IsCorruption()) {
    throw Error(
        ErrorCode::kCorrupt, message,
        "Restore the database folder from a copy, or delete it to start with an empty one.");
  }
  if (status.IsNotSupported()) throw Error(ErrorCode::kUnsupported, message);
  throw Error(ErrorCode::kIo, message,
              status.IsNoSpace() ? "Free some disk space."
                                 : "Check the disk, and that the database folder is still there.");
}

void FailureListener::OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) {
  // A compaction that has no space is tried again, and stops nothing.
  if (error->severity() < rocksdb::Status::kHardError) return;
  const std::scoped_lock lock(mutex_);
  if (error_.ok()) error_ = *error;
}

void FailureListener::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status error,
                                           bool* auto_recovery) {
  // RocksDB would go on by itself once there is space again, and meets an assertion where it was
  // the MANIFEST that had none. We have said that it takes opening the database anew.
  if (error.severity() >= rocksdb::Status::kHardError) *auto_recovery = false;
}

void FailureListener::ThrowIfFailed() const {
  const std::scoped_lock lock(mutex_);
  if (error_.ok()) return;
  throw Error(error_.IsCorruption() ? ErrorCode::kCorrupt : ErrorCode::kIo,
              "the database failed while writing, and takes no more changes until it is opened "
              "again: " +
                  StatusText(error_),
              error_.IsNoSpace() ? "Free some disk space, and open the database again."
                                 : "Check the disk, and open the database again.");
}

void MoveListener::OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo& job) {
  Begin(job.cf_name);
}

void MoveListener::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& job) {
  End(job.cf_name);
}

void MoveListener::OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo& job) {
  Begin(job.cf_name);
}

void MoveListener::OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& job) {
  End(job.cf_name);
}

void MoveListener::Begin(const std::string& family) {
  if (family != kFamilyNames[static_cast<size_t>(Family::kBlocks)]) return;
  const std::scoped_lock lock(mutex_);
  ++moving_;
}

void MoveListener::End(const std::string& family) {
  if (family != kFamilyNames[static_cast<size_t>(Family::kBlocks)]) return;
  const std::scoped_lock lock(mutex_);
  --moving_;
  ++generation_;
}

std::optional<uint64_t> MoveListener::generation() const {
  const std::scoped_lock lock(mutex_);
  return moving_ == 0 ? std::optional(generation_) : std::nullopt;
}

rocksdb::DBOptions DatabaseOptions() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  // Blocks are read where the page cache holds them: without the mapping, the same read costs 2.5
  // times as much.
  options.allow_mmap_reads = true;
  // Blocks are read whole and in order, so the kernel should read ahead.
  options.advise_random_on_open = false;
  options.max_background_jobs = 2;
  options.max_file_opening_threads = 2;
  options.bytes_per_sync = 8 << 20;
  options.max_total_wal_size = 64 << 20;
  // A record that was synced must not vanish silently; only a torn tail is expected after a crash.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // Whoever writes after a failure is told so, until the database is opened again.
  options.max_bgerror_resume_count = 0;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  // Table files, which backups carry elsewhere, say nothing of the machine that wrote them.
  options.db_host_id = "";
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions RowOptions() {
  rocksdb::BlockBasedTableOptions table;
  table.cache_index_and_filter_blocks = false;
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = 8 << 20;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

namespace {

rocksdb::ColumnFamilyOptions BlockOptions() {
  rocksdb::BlockBasedTableOptions table;
  // The buffer pool is the cache, and the mapping makes a copy in RocksDB's pointless. Values are
  // larger than a table block, so each gets one of its own and can be read in place.
  table.no_block_cache = true;
  // Our own digest covers a block's bytes, but RocksDB reads the lengths in front of them before we
  // see any, and trusts what it reads: damage there must be found first. XXH3 runs at memory speed.
  table.checksum = rocksdb::kXXH3;
  rocksdb::ColumnFamilyOptions options;
  options.compression = rocksdb::kNoCompression;
  // Of zstd, should it be turned on: higher levels gain under a hundredth on attention states, and
  // take several times as long.
  options.compression_opts.level = 1;
  options.write_buffer_size = 32 << 20;
  // Ingested files land at the bottom. Only small states come from above; they should not have the
  // large ones rewritten before there are very many of them.
  options.max_bytes_for_level_base = uint64_t{1} << 30;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

rocksdb::ColumnFamilyOptions FamilyOptions(int family) {
  return family == static_cast<int>(Family::kBlocks) ? BlockOptions() : RowOptions();
}

rocksdb::ReadOptions ReadOptionsOf(Family family) {
  rocksdb::ReadOptions options;
  if (family == Family::kBlocks) {
    options.fill_cache = false;
  }
  return options;
}

}  // namespace promptdb
