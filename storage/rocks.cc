#include "storage/rocks.h"

#include <rocksdb/convenience.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/error.h"
#include "storage/log_records.h"
#include "storage/mapped_reads.h"
#include "storage/rocks_log.h"
#include "storage/rocks_rep.h"

namespace promptdb {

namespace {

constexpr char kFormatVersionKey[] = "format_version";
// Files on their way into the database; whatever is there at opening was left by a crash.
constexpr char kIngestFolder[] = "ingest";

constexpr char kUnusableHint[] =
    "Check the disk, and that the folder and its files can be read and written.";

std::string Quoted(const std::filesystem::path& path) { return '"' + path.string() + '"'; }

std::string DamagedHint(const std::filesystem::path& folder) {
  return "Restore " + Quoted(folder) +
         " from a copy, or delete it to start with an empty database.";
}

void PrepareFolder(const std::filesystem::path& folder) {
  std::error_code failure;
  const auto status = std::filesystem::status(folder, failure);
  if (std::filesystem::exists(status) && !std::filesystem::is_directory(status)) {
    throw Error(ErrorCode::kInvalidArgument,
                "the database must be a folder, and this is not one: " + Quoted(folder),
                "Choose a new or an empty folder.");
  }
  std::filesystem::create_directories(folder, failure);
  if (failure) {
    throw Error(ErrorCode::kIo,
                "can't create the database folder " + Quoted(folder) + ": " + failure.message(),
                kUnusableHint);
  }
  const std::filesystem::directory_iterator entries(folder, failure);
  if (failure) {
    throw Error(ErrorCode::kIo,
                "can't read the database folder " + Quoted(folder) + ": " + failure.message(),
                kUnusableHint);
  }
  if (std::filesystem::exists(folder / "CURRENT", failure)) return;
  // Without CURRENT RocksDB would start anew and delete the tables it finds. A crash in the middle
  // of creating a database leaves none.
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".sst") {
      throw Error(ErrorCode::kCorrupt,
                  "database " + Quoted(folder) + " is damaged: its file CURRENT is missing",
                  DamagedHint(folder));
    }
    const bool ours = name == "LOCK" || name == "IDENTITY" || name == kIngestFolder ||
                      name.starts_with("LOG") || name.starts_with("MANIFEST-") ||
                      name.starts_with("OPTIONS-") || name.ends_with(".log") ||
                      name.ends_with(".dbtmp");
    if (!ours) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the folder " + Quoted(folder) + " holds something else than a database: " + name,
                  "Choose a new or an empty folder.");
    }
  }
}

[[noreturn]] void ThrowCantOpen(const std::filesystem::path& folder,
                                const rocksdb::Status& status) {
  const std::string text = StatusText(status);
  if (status.IsIOError() && (text.find("While lock file") != std::string::npos ||
                             text.find("lock hold by current process") != std::string::npos)) {
    throw Error(ErrorCode::kBusy, "database " + Quoted(folder) + " is open in another process",
                "Close the other program first, or name another database folder.");
  }
  // RocksDB wraps some failures of the disk into other statuses; they say nothing of what is on it.
  // A file that is missing is damage.
  const bool has_failed =
      text.find("IO error") != std::string::npos && text.find("No such file") == std::string::npos;
  if (!has_failed &&
      (status.IsCorruption() || status.IsInvalidArgument() || status.IsPathNotFound())) {
    throw Error(ErrorCode::kCorrupt, "database " + Quoted(folder) + " is damaged: " + text,
                DamagedHint(folder));
  }
  if (status.IsNotSupported()) {
    throw Error(ErrorCode::kUnsupported,
                "database " + Quoted(folder) + " uses what this RocksDB does not know: " + text);
  }
  throw Error(ErrorCode::kIo, "can't open database " + Quoted(folder) + ": " + text, kUnusableHint);
}

void CheckFormatVersion(const std::filesystem::path& folder, const std::string& stored) {
  int version = 0;
  const auto parsed = std::from_chars(stored.data(), stored.data() + stored.size(), version);
  if (parsed.ec != std::errc() || parsed.ptr != stored.data() + stored.size() || version < 1) {
    throw Error(
        ErrorCode::kCorrupt,
        "database " + Quoted(folder) + " is damaged: format version " + stored.substr(0, 20),
        DamagedHint(folder));
  }
  if (version > kDatabaseFormatVersion) {
    throw Error(ErrorCode::kUnsupported,
                "database " + Quoted(folder) + " was written by a newer release: its format is " +
                    std::to_string(version) + ", and this release knows up to " +
                    std::to_string(kDatabaseFormatVersion),
                "Use the newer release, or name another database folder.");
  }
}

bool HasTables(const std::filesystem::path& folder) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    if (entry.path().extension() == ".sst") return true;
  }
  return false;
}

// RocksDB takes a MANIFEST that was cut for one that was never written further, and the tables that
// it then knows nothing of for leftovers, which it deletes.
[[noreturn]] void ThrowCutManifest(const std::filesystem::path& folder) {
  throw Error(ErrorCode::kCorrupt,
              "database " + Quoted(folder) + " is damaged: its file MANIFEST ends too early",
              DamagedHint(folder));
}

// RocksDB takes a record whose length reaches beyond the file for one that a crash has torn, and
// goes on without it and all that follows. Where something follows, it is damage.
void CheckManifest(const std::filesystem::path& folder) {
  std::ifstream current(folder / "CURRENT");
  std::string name;
  std::getline(current, name);
  std::error_code failure;
  if (!std::filesystem::is_regular_file(folder / name, failure)) return;  // RocksDB says so
  std::ifstream manifest(folder / name, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(manifest)),
                          std::istreambuf_iterator<char>());
  if (HasRecordsAfterATornOne(bytes)) {
    throw Error(ErrorCode::kCorrupt,
                "database " + Quoted(folder) + " is damaged: its file " + name +
                    " has a record that is none, and others behind it",
                DamagedHint(folder));
  }
}

// Reads what another program, or a newer release of ours, may have written, before anything is
// changed: opening for writing would create our column families in it.
void CheckForeignDatabase(const std::filesystem::path& folder) {
  CheckManifest(folder);
  std::vector<std::string> names;
  const rocksdb::DBOptions options = DatabaseOptions();
  rocksdb::Status status = rocksdb::DB::ListColumnFamilies(options, folder.string(), &names);
  if (!status.ok()) ThrowCantOpen(folder, status);
  std::sort(names.begin(), names.end());
  std::vector<std::string> expected(kFamilyNames.begin(), kFamilyNames.end());
  std::sort(expected.begin(), expected.end());
  if (names == expected) return;

  rocksdb::Options read_options(options, RowOptions());
  read_options.info_log_level = rocksdb::InfoLogLevel::FATAL_LEVEL;
  rocksdb::DB* opened = nullptr;
  status = rocksdb::DB::OpenForReadOnly(read_options, folder.string(), &opened);
  if (!status.ok()) ThrowCantOpen(folder, status);
  const std::unique_ptr<rocksdb::DB> database(opened);
  std::string version;
  status = database->Get(rocksdb::ReadOptions(), kFormatVersionKey, &version);
  if (status.ok()) {
    CheckFormatVersion(folder, version);
    // All families are there before the version is written.
    if (!std::includes(names.begin(), names.end(), expected.begin(), expected.end())) {
      ThrowCutManifest(folder);
    }
    return;
  }
  const std::unique_ptr<rocksdb::Iterator> rows(database->NewIterator(rocksdb::ReadOptions()));
  rows->SeekToFirst();
  // Our own creation may have stopped after any family, with nothing in them.
  const bool only_ours =
      std::includes(expected.begin(), expected.end(), names.begin(), names.end());
  if (rows->Valid() || !only_ours) {
    throw Error(ErrorCode::kInvalidArgument,
                "the folder " + Quoted(folder) + " holds a RocksDB database of another program",
                "Choose a new or an empty folder.");
  }
  if (HasTables(folder)) ThrowCutManifest(folder);
}

std::vector<rocksdb::ColumnFamilyDescriptor> FamilyDescriptors() {
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (int i = 0; i < kFamilies; ++i) {
    descriptors.emplace_back(kFamilyNames[static_cast<size_t>(i)], FamilyOptions(i));
  }
  return descriptors;
}

// A function of its own, so that ThreadSanitizer's stacks have Rocks::Write where RocksDB writes
// what other threads brought (tests/sanitizers/threads.txt).
[[gnu::noinline]] rocksdb::Status Commit(rocksdb::DB& database,
                                         const rocksdb::WriteOptions& options,
                                         rocksdb::WriteBatch& changes) {
  return database.Write(options, &changes);
}

}  // namespace

// Changes wait for Write(), which knows the handles that RocksDB's own batch wants.
struct Rocks::Batch::Rep {
  enum class Kind { kPut, kDelete, kDeleteRange };
  struct Change {
    Kind kind;
    Family family;
    std::string key;
    std::string value;  // or where a range ends
  };
  std::vector<Change> changes;
};

Rocks::Batch::Batch() : rep_(std::make_unique<Rep>()) {}
Rocks::Batch::~Batch() = default;
Rocks::Batch::Batch(Batch&&) noexcept = default;
Rocks::Batch& Rocks::Batch::operator=(Batch&&) noexcept = default;

void Rocks::Batch::Put(Family family, std::string_view key, std::string_view value) {
  rep_->changes.push_back({Rep::Kind::kPut, family, std::string(key), std::string(value)});
}

void Rocks::Batch::Delete(Family family, std::string_view key) {
  rep_->changes.push_back({Rep::Kind::kDelete, family, std::string(key), ""});
}

void Rocks::Batch::DeleteRange(Family family, std::string_view begin, std::string_view end) {
  rep_->changes.push_back({Rep::Kind::kDeleteRange, family, std::string(begin), std::string(end)});
}

Rocks::Rocks(const std::filesystem::path& folder) : folder_(folder) {
  HandleFailedMappedReads();
  PrepareFolder(folder);
  if (std::filesystem::exists(folder / "CURRENT")) CheckForeignDatabase(folder);

  const bool has_tables = HasTables(folder);
  rep_ = std::make_unique<Rep>();
  rocksdb::DB* opened = nullptr;
  rocksdb::DBOptions options = DatabaseOptions();
  options.info_log = std::make_shared<RocksLog>(folder);  // RocksDB's threads share it
  options.listeners = {rep_->failures, rep_->moves};
  options.env = rep_->env.get();
  const rocksdb::Status status =
      rocksdb::DB::Open(options, folder.string(), FamilyDescriptors(), &rep_->families, &opened);
  if (!status.ok()) ThrowCantOpen(folder, status);
  rep_->db.reset(opened);

  if (const auto version = Get(Family::kMeta, kFormatVersionKey)) {
    CheckFormatVersion(folder, *version);
  } else if (has_tables) {
    ThrowCutManifest(folder);
  } else {
    Batch batch;
    batch.Put(Family::kMeta, kFormatVersionKey, std::to_string(kDatabaseFormatVersion));
    Write(std::move(batch));
  }
  // Only now that the lock is ours.
  std::error_code failure;
  std::filesystem::remove_all(folder / kIngestFolder, failure);
  std::filesystem::create_directory(folder / kIngestFolder, failure);
  if (failure) {
    throw Error(ErrorCode::kIo,
                "can't create a folder in database " + Quoted(folder) + ": " + failure.message(),
                kUnusableHint);
  }
}

Rocks::Rocks(const std::filesystem::path& folder, std::unique_ptr<Rep> rep)
    : folder_(folder), rep_(std::move(rep)) {}

Rocks::~Rocks() = default;

std::unique_ptr<Rocks> Rocks::OpenReadOnly(const std::filesystem::path& folder) {
  HandleFailedMappedReads();
  std::error_code failure;
  if (!std::filesystem::exists(folder / "CURRENT", failure)) {
    throw Error(ErrorCode::kInvalidArgument, "there is no database in " + Quoted(folder));
  }
  CheckForeignDatabase(folder);
  auto rep = std::make_unique<Rep>();
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(
      DatabaseOptions(), folder.string(), FamilyDescriptors(), &rep->families, &opened);
  if (!status.ok()) ThrowCantOpen(folder, status);
  rep->db.reset(opened);
  std::unique_ptr<Rocks> rocks(new Rocks(folder, std::move(rep)));
  const auto version = rocks->Get(Family::kMeta, kFormatVersionKey);
  CheckFormatVersion(folder, version.value_or("0"));
  return rocks;
}

std::optional<std::string> Rocks::Get(Family family, std::string_view key) const {
  const MappedReads reads;
  std::string value;
  const rocksdb::Status status =
      rep_->db->Get(ReadOptionsOf(family), rep_->Handle(family), ToSlice(key), &value);
  reads.ThrowIfFailed();
  if (status.IsNotFound()) return std::nullopt;
  ThrowUnlessOk(status, "reading");
  return value;
}

bool Rocks::View(Family family, std::string_view key,
                 const std::function<void(std::string_view)>& use, Checksums checksums) const {
  const MappedReads reads;
  // An iterator shows a value where it is mapped; a Get would first copy it into fresh memory, at
  // the cost of a page fault for every page.
  rocksdb::ReadOptions options = ReadOptionsOf(family);
  options.verify_checksums = checksums == Checksums::kVerify;
  const auto rows = rep_->NewIterator(family, options);
  rows->Seek(ToSlice(key));
  if (rows->status().IsCorruption()) {
    // An iterator looks into every file that may have the key. A Get stops at the newest that has:
    // what was written anew is found whatever became of what it replaces.
    rocksdb::PinnableSlice value;
    const rocksdb::Status status =
        rep_->db->Get(ReadOptionsOf(family), rep_->Handle(family), ToSlice(key), &value);
    if (status.IsNotFound()) return false;
    ThrowUnlessOk(status, "reading");
    use(ToView(value));
    reads.ThrowIfFailed();
    return true;
  }
  ThrowUnlessOk(rows->status(), "reading");
  if (!rows->Valid() || ToView(rows->key()) != key) return false;
  use(ToView(rows->value()));
  reads.ThrowIfFailed();
  return true;
}

void Rocks::Write(Batch batch, bool sync) {
  rep_->failures->ThrowIfFailed();
  rocksdb::WriteBatch changes;
  for (const Batch::Rep::Change& change : batch.rep_->changes) {
    rocksdb::ColumnFamilyHandle* family = rep_->Handle(change.family);
    rocksdb::Status added;
    switch (change.kind) {
      case Batch::Rep::Kind::kPut:
        added = changes.Put(family, change.key, change.value);
        break;
      case Batch::Rep::Kind::kDelete:
        added = changes.Delete(family, change.key);
        break;
      case Batch::Rep::Kind::kDeleteRange:
        added = changes.DeleteRange(family, change.key, change.value);
        break;
    }
    ThrowUnlessOk(added, "preparing a write");
  }
  rocksdb::WriteOptions options;
  options.sync = sync && rep_->syncs_writes;
  ThrowUnlessOk(Commit(*rep_->db, options, changes), "writing");
}

void Rocks::SetSyncsWrites(bool syncs) {
  const bool synced_before = rep_->syncs_writes.exchange(syncs);
  if (syncs && !synced_before) {
    ThrowUnlessOk(rep_->db->FlushWAL(/*sync=*/true), "writing the log to the disk");
  }
}

bool Rocks::syncs_writes() const { return rep_->syncs_writes; }

void Rocks::SetCompression(Compression compression) {
  const char* const name = compression == Compression::kZstd ? "kZSTD" : "kNoCompression";
  ThrowUnlessOk(rep_->db->SetOptions(rep_->Handle(Family::kBlocks), {{"compression", name}}),
                "changing its compression");
}

Rocks::Compression Rocks::compression() const {
  const bool is_on = rep_->OptionsNow(Family::kBlocks).compression == rocksdb::kZSTD;
  return is_on ? Compression::kZstd : Compression::kNone;
}

void Rocks::BulkLoad(Family family, const std::vector<KeyValue>& sorted) {
  if (sorted.empty()) return;
  rep_->failures->ThrowIfFailed();
  const std::filesystem::path path =
      folder_ / kIngestFolder / (std::to_string(rep_->next_ingest++) + ".sst");
  const rocksdb::Options options(DatabaseOptions(), rep_->OptionsNow(family));
  // The pages stay in the page cache, since what was just written is likely to be read soon.
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(options), options, rep_->Handle(family),
                                /*invalidate_page_cache=*/false);
  rocksdb::Status status = writer.Open(path.string());
  for (const auto& [key, value] : sorted) {
    if (status.ok()) status = writer.Put(ToSlice(key), ToSlice(value));
  }
  if (status.ok()) status = writer.Finish();
  if (status.ok()) {
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    status = rep_->db->IngestExternalFile(rep_->Handle(family), {path.string()}, ingest);
  }
  // Ingestion has linked the file into the database; on a failure it is of no use.
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  ThrowUnlessOk(status, "adding a file");
}

void Rocks::EraseRange(Family family, std::string_view begin, std::string_view end) {
  rep_->failures->ThrowIfFailed();
  const rocksdb::Slice first = ToSlice(begin), last = ToSlice(end);
  ThrowUnlessOk(rocksdb::DeleteFilesInRange(rep_->db.get(), rep_->Handle(family), &first, &last,
                                            /*include_end=*/false),
                "deleting files");
  // What is left lies in files with other keys. Single deletions are few, and unlike a range's they
  // cost later reads nothing.
  Batch batch;
  const auto rows = rep_->NewIterator(family);
  for (rows->Seek(first); rows->Valid() && ToView(rows->key()) < end; rows->Next()) {
    batch.Delete(family, ToView(rows->key()));
  }
  if (rows->status().IsCorruption() || rows->status().IsIOError()) {
    // What can't be read can't be listed either.
    batch = Batch();
    batch.DeleteRange(family, begin, end);
  } else {
    ThrowUnlessOk(rows->status(), "reading");
  }
  if (!batch.rep_->changes.empty()) Write(std::move(batch), /*sync=*/false);
}

std::optional<std::string> Rocks::FirstKeyFrom(Family family, std::string_view from) const {
  const auto rows = rep_->NewIterator(family);
  rows->Seek(ToSlice(from));
  ThrowUnlessOk(rows->status(), "reading");
  if (!rows->Valid()) return std::nullopt;
  return rows->key().ToString();
}

void Rocks::Scan(
    Family family, std::string_view prefix,
    const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
  const MappedReads reads;
  const auto rows = rep_->NewIterator(family);
  for (rows->Seek(ToSlice(prefix)); rows->Valid() && rows->key().starts_with(ToSlice(prefix));
       rows->Next()) {
    if (!visit(ToView(rows->key()), ToView(rows->value()))) break;
  }
  reads.ThrowIfFailed();
  ThrowUnlessOk(rows->status(), "reading");
}

std::optional<uint64_t> Rocks::TableGeneration() const { return rep_->moves->generation(); }

int64_t Rocks::DiskBytes(Family family) const {
  uint64_t files = 0, memory = 0;
  rep_->db->GetIntProperty(rep_->Handle(family), rocksdb::DB::Properties::kLiveSstFilesSize,
                           &files);
  // What is not in a table yet lies in the write-ahead log.
  rep_->db->GetIntProperty(rep_->Handle(family), rocksdb::DB::Properties::kCurSizeAllMemTables,
                           &memory);
  return static_cast<int64_t>(files + memory);
}

}  // namespace promptdb
