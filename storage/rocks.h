// The one RocksDB database under everything: its column families, options, and the turning of its
// statuses into Error. Only storage/ includes RocksDB's headers.
//
// Any call may throw Error(kIo), or Error(kCorrupt) where RocksDB found stored bytes changed.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_ROCKS_H_
#define PROMPTDB_STORAGE_ROCKS_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace promptdb {

// The version of the database as a whole, in Family::kMeta. A database of a newer one is refused.
inline constexpr int kDatabaseFormatVersion = 1;

// Column families; their names on disk never change.
enum class Family {
  kMeta,     // "default": format version
  kCatalog,  // "catalog": models, schemas, settings (JSON)
  kStates,   // "states": state key -> manifest (JSON); a state exists when its manifest does
  kBlocks,   // "blocks": state key, block index (big-endian u32) -> block bytes
  kLabels,   // "labels": "schema.module" -> what was last encoded under that name
};

inline constexpr std::array<Family, 5> kAllFamilies = {
    Family::kMeta, Family::kCatalog, Family::kStates, Family::kBlocks, Family::kLabels};

class Rocks {
 public:
  // Opens or creates. Throws Error(kBusy) when another process has it open, kInvalidArgument for a
  // folder that holds something else, kIo, kCorrupt, or kUnsupported for a database of a newer
  // format.
  explicit Rocks(const std::filesystem::path& folder);
  ~Rocks();

  // Opens a database that is there for reading alone, and changes nothing in its folder: what
  // changes the database throws Error(kUnsupported). Does not ask whether another process has it
  // open. Throws as the constructor does, and kInvalidArgument where there is no database.
  static std::unique_ptr<Rocks> OpenReadOnly(const std::filesystem::path& folder);

  std::optional<std::string> Get(Family family, std::string_view key) const;

  // kTrust: for bytes that were read and verified before from the tables that there are now.
  enum class Checksums { kVerify, kTrust };

  // Calls `use` with the stored bytes without copying them first; false when the key is absent.
  // Throws Error(kCorrupt) when RocksDB's checksum does not fit.
  bool View(Family family, std::string_view key, const std::function<void(std::string_view)>& use,
            Checksums checksums = Checksums::kVerify) const;

  // Changes whenever blocks (Family::kBlocks) that were there may have come to lie in other tables;
  // nullopt while they are being moved. Tables that are added by BulkLoad move nothing.
  std::optional<uint64_t> TableGeneration() const;

  // One atomic, durable change over any families.
  class Batch {
   public:
    Batch();
    ~Batch();
    Batch(Batch&&) noexcept;
    Batch& operator=(Batch&&) noexcept;
    void Put(Family family, std::string_view key, std::string_view value);
    void Delete(Family family, std::string_view key);
    // Deletes [begin, end).
    void DeleteRange(Family family, std::string_view begin, std::string_view end);

   private:
    friend class Rocks;
    struct Rep;
    std::unique_ptr<Rep> rep_;
  };
  // With `sync` the change is on the disk when this returns, unless the database was told
  // otherwise.
  void Write(Batch batch, bool sync = true);

  // False: writes leave it to the operating system when their log reaches the disk. A crash of the
  // process then loses nothing; one of the machine may lose the last changes, but no part of one,
  // and none out of order. True, which it is at first, also makes durable what came before.
  void SetSyncsWrites(bool syncs);
  bool syncs_writes() const;

  // How blocks (Family::kBlocks) that are written from now on lie on the disk. Those that are there
  // are written anew by Compact().
  enum class Compression { kNone, kZstd };
  void SetCompression(Compression compression);
  Compression compression() const;

  // Adds many new keys (sorted, of one family) past the write-ahead log, durably, atomically: by an
  // SST file that is ingested.
  using KeyValue = std::pair<std::string, std::string_view>;
  void BulkLoad(Family family, const std::vector<KeyValue>& sorted);

  // Deletes [begin, end) and gives back at once what disk space lies in files of its own, as what
  // BulkLoad added does. Not atomic: for what nothing refers to any more. Damaged keys and values
  // go like others.
  void EraseRange(Family family, std::string_view begin, std::string_view end);

  // The first key at or after `from`, without reading its value.
  std::optional<std::string> FirstKeyFrom(Family family, std::string_view from) const;

  // Visits keys with `prefix` in order until `visit` returns false.
  void Scan(Family family, std::string_view prefix,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) const;

  // Bytes on disk of a family, as RocksDB estimates them.
  int64_t DiskBytes(Family family) const;

  const std::filesystem::path& folder() const { return folder_; }

  // ---- Maintenance: rocks_maintenance.cc ----

  // One of the files that tables lie in.
  struct TableFile {
    std::string name;  // "000012.sst"
    Family family = Family::kMeta;
    int64_t bytes = 0;
  };
  std::vector<TableFile> Tables() const;

  // A table file in the folder that the database does not know of: one that a crash has left, which
  // the next opening for writing removes, or one that a MANIFEST without its end has lost.
  std::optional<std::string> UnknownTable() const;

  // Reads a whole table file anew, against RocksDB's checksums: what is wrong with it, or "".
  // nullopt where the file has been replaced by others since Tables() named it.
  std::optional<std::string> TableDamage(const TableFile& table) const;

  // Rewrites the files of a family as few, without what was deleted. Throws Error(kCorrupt) at a
  // damaged table, and then RocksDB takes no more changes until the database is opened again.
  void Compact(Family family);

  // Copies the database as it is now into `folder`, which must not exist: whole, or not at all.
  // Table files are hard links where the file system allows.
  void WriteCheckpoint(const std::filesystem::path& folder);

 private:
  struct Rep;
  Rocks(const std::filesystem::path& folder, std::unique_ptr<Rep> rep);

  std::filesystem::path folder_;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_ROCKS_H_
