// The one RocksDB database under everything: its column families, options, and the turning of its
// statuses into Error. Only storage/ includes RocksDB's headers.
//
// Any call may throw Error(kIo), or Error(kCorrupt) where RocksDB found stored bytes changed.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_ROCKS_H_
#define PROMPTDB_STORAGE_ROCKS_H_

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

class Rocks {
 public:
  // Opens or creates. Throws Error(kBusy) when another process has it open, kInvalidArgument for a
  // folder that holds something else, kIo, kCorrupt, or kUnsupported for a database of a newer
  // format.
  explicit Rocks(const std::filesystem::path& folder);
  ~Rocks();

  std::optional<std::string> Get(Family family, std::string_view key) const;

  // Calls `use` with the stored bytes without copying them first; false when the key is absent.
  // Throws Error(kCorrupt) when RocksDB's checksum does not fit.
  bool View(Family family, std::string_view key,
            const std::function<void(std::string_view)>& use) const;

  // One atomic, durable change over any families.
  class Batch {
   public:
    Batch();
    ~Batch();
    Batch(Batch&&) noexcept;
    void Put(Family family, std::string_view key, std::string_view value);
    void Delete(Family family, std::string_view key);
    // Deletes [begin, end).
    void DeleteRange(Family family, std::string_view begin, std::string_view end);

   private:
    friend class Rocks;
    struct Rep;
    std::unique_ptr<Rep> rep_;
  };
  void Write(Batch batch, bool sync = true);

  // Adds many new keys (sorted, of one family) past the write-ahead log, durably, atomically: by an
  // SST file that is ingested.
  using KeyValue = std::pair<std::string, std::string_view>;
  void BulkLoad(Family family, const std::vector<KeyValue>& sorted);

  // Deletes [begin, end) and gives back at once what disk space lies in files of its own, as what
  // BulkLoad added does. Not atomic: for what nothing refers to any more.
  void EraseRange(Family family, std::string_view begin, std::string_view end);

  // The first key at or after `from`, without reading its value.
  std::optional<std::string> FirstKeyFrom(Family family, std::string_view from) const;

  // Visits keys with `prefix` in order until `visit` returns false.
  void Scan(Family family, std::string_view prefix,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) const;

  // Bytes on disk of a family, as RocksDB estimates them.
  int64_t DiskBytes(Family family) const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  struct Rep;
  std::filesystem::path folder_;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_ROCKS_H_
