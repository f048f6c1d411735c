// BACKUP DATABASE and RESTORE DATABASE.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/stopwatch.h"
#include "executor/statements.h"
#include "executor/transfer_rate.h"
#include "executor/user_paths.h"
#include "storage/stored_blocks.h"

namespace promptdb {

namespace {

using Type = Column::Type;
using Path = std::filesystem::path;

// Makes way for a backup in `folder`: its parents are there afterwards, and it is not.
void PrepareBackupFolder(const Path& folder, const Path& database) {
  if (LiesIn(folder, database)) {
    throw Error(ErrorCode::kInvalidArgument,
                "a backup can't lie in the database's own folder: " + Quoted(folder));
  }
  std::error_code failure;
  if (std::filesystem::exists(folder, failure)) {
    const bool is_free = std::filesystem::is_directory(folder, failure) &&
                         std::filesystem::is_empty(folder, failure) && !failure;
    if (!is_free) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the folder of a backup must be new or empty: " + Quoted(folder),
                  "Choose another folder, or remove what is in this one.");
    }
    std::filesystem::remove(folder, failure);
  } else if (folder.has_parent_path()) {
    std::filesystem::create_directories(folder.parent_path(), failure);
  }
  if (failure) {
    throw Error(ErrorCode::kIo,
                "can't make the folder of the backup " + Quoted(folder) + ": " + failure.message());
  }
}

struct FolderSize {
  int64_t files = 0;
  int64_t bytes = 0;
  int64_t linked_bytes = 0;  // in files that another folder has, too
};

FolderSize SizeOf(const Path& folder) {
  FolderSize size;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    struct stat status {};
    if (stat(entry.path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    ++size.files;
    size.bytes += status.st_size;
    if (status.st_nlink > 1) size.linked_bytes += status.st_size;
  }
  return size;
}

// Publishes states of a backup, and takes them back unless told to keep them.
class RestoredStates {
 public:
  RestoredStates(const Rocks& backup, StateCache& cache, ResultSink& sink)
      : backup_(backup), cache_(cache), sink_(sink) {}
  RestoredStates(const RestoredStates&) = delete;
  RestoredStates& operator=(const RestoredStates&) = delete;
  ~RestoredStates() {
    for (const Digest& key : added_) {
      try {
        cache_.Erase(key);
      } catch (const Error&) {
        // What stays has no schema that uses it, and a key that fits nothing else.
      }
    }
  }

  void CopyAll();
  void Keep() { added_.clear(); }

  int64_t states() const { return static_cast<int64_t>(restored_.size()); }
  int64_t bytes() const { return bytes_; }
  int64_t damaged() const { return damaged_; }

 private:
  std::vector<StateManifest> ReadManifests();
  std::vector<BlockBuffer> ReadBlocks(const StateManifest& manifest, int64_t total);
  void LeaveOut(const std::string& name, const std::string& damage);

  const Rocks& backup_;
  StateCache& cache_;
  ResultSink& sink_;
  std::vector<Digest> added_;  // which were not there before
  std::vector<Digest> restored_;
  int64_t read_bytes_ = 0;
  int64_t bytes_ = 0;
  int64_t damaged_ = 0;
};

void RestoredStates::LeaveOut(const std::string& name, const std::string& damage) {
  ++damaged_;
  sink_.OnNotice(
      "state " + name +
      " of the backup is damaged and is left out; it is computed again when it is used: " + damage);
}

std::vector<StateManifest> RestoredStates::ReadManifests() {
  std::vector<StateManifest> manifests;
  backup_.Scan(Family::kStates, "", [&](std::string_view key, std::string_view row) {
    try {
      manifests.push_back(DecodeManifestAt(key, row));
    } catch (const Error& error) {
      LeaveOut("with an unreadable manifest", error.message());
    }
    return true;
  });
  return manifests;
}

void RestoredStates::CopyAll() {
  const std::vector<StateManifest> manifests = ReadManifests();
  int64_t total = 0;
  for (const StateManifest& manifest : manifests) {
    total += BlockGrid(manifest.shape, manifest.tokens).TotalBytes();
  }
  for (const StateManifest& manifest : manifests) {
    std::vector<BlockBuffer> blocks;
    try {
      blocks = ReadBlocks(manifest, total);
    } catch (const Error& error) {
      if (!IsDamage(error)) throw;
      LeaveOut('"' + manifest.label + '"', error.message());
      continue;
    }
    if (!cache_.Manifest(manifest.key)) added_.push_back(manifest.key);
    cache_.Publish(manifest, KvSegment(manifest.shape, manifest.start_position, manifest.tokens,
                                       std::move(blocks)));
    restored_.push_back(manifest.key);
    bytes_ += BlockGrid(manifest.shape, manifest.tokens).TotalBytes();
  }
  // A later state may have taken the room of an earlier one.
  const auto is_gone = [&](const Digest& key) { return cache_.Probe(key).tier == Tier::kMiss; };
  const auto without_room = std::erase_if(restored_, is_gone);
  if (without_room > 0) {
    sink_.OnNotice("disk_cache has no room for " + std::to_string(without_room) +
                   " states of the backup; they are computed again when they are used");
  }
}

std::vector<BlockBuffer> RestoredStates::ReadBlocks(const StateManifest& manifest, int64_t total) {
  const BlockGrid grid(manifest.shape, manifest.tokens);
  std::vector<BlockBuffer> blocks;
  blocks.reserve(static_cast<size_t>(grid.blocks()));
  for (int i = 0; i < grid.blocks(); ++i) {
    if (sink_.IsCanceled()) throw Error(ErrorCode::kCanceled, "RESTORE was stopped");
    read_bytes_ += grid.Extent(i).payload_bytes + kBlockHeaderBytes;
    sink_.OnProgress("restoring states", read_bytes_, total, "bytes");
    blocks.push_back(ReadStoredBlock(backup_, manifest.key, manifest.shape, grid, i));
    VerifyBlock(manifest.key, manifest.shape, grid.Extent(i), blocks.back());
  }
  return blocks;
}

void TellOfMissingModels(const Catalog& catalog, ResultSink& sink) {
  for (const ModelDefinition& model : catalog.Models()) {
    std::error_code failure;
    if (std::filesystem::exists(model.path, failure)) continue;
    sink.OnNotice("the files of model \"" + model.name +
                  "\" are not where they were: " + model.path +
                  ". A backup has no weights: put them there, or say where they are "
                  "by CREATE OR REPLACE MODEL");
  }
}

}  // namespace

std::vector<Column> BackupColumns() {
  return {{"folder", Type::kText},
          {"files", Type::kInteger},
          {"bytes", Type::kInteger},
          {"linked_bytes", Type::kInteger},
          {"ms", Type::kReal}};
}

std::vector<Column> RestoreColumns() {
  return {{"models", Type::kInteger}, {"schemas", Type::kInteger}, {"chats", Type::kInteger},
          {"states", Type::kInteger}, {"bytes", Type::kInteger},   {"damaged", Type::kInteger},
          {"ms", Type::kReal}};
}

std::string RunBackup(const ast::Backup& statement, Database::Rep& database, ResultSink& sink) {
  const Path folder = UserPath(statement.path);
  const Stopwatch watch;
  try {
    PrepareBackupFolder(folder, database.rocks.folder());
    database.rocks.WriteCheckpoint(folder);
  } catch (const Error& error) {
    throw error.At(statement.path.range);
  }
  const double ms = watch.Milliseconds();
  const FolderSize size = SizeOf(folder);
  sink.OnNotice("backed up " + TransferRate(size.bytes, ms / 1000) + ", " +
                ByteCount(size.linked_bytes) +
                " of them shared with the database by hard links; models' weights are not in it");
  sink.OnColumns(BackupColumns());
  sink.OnRow({folder.string(), size.files, size.bytes, size.linked_bytes, ms});
  return "BACKUP";
}

std::string RunRestore(const ast::Restore& statement, Database::Rep& database, ResultSink& sink) {
  if (!database.catalog.IsEmpty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "RESTORE needs a database without models and schemas, and this one has some",
                "Open a new folder (pcsh --db FOLDER), and RESTORE there.");
  }
  const Stopwatch watch;
  std::unique_ptr<Rocks> backup;
  try {
    backup = Rocks::OpenReadOnly(UserPath(statement.path));
    // A MANIFEST that was cut is like one that was never written further, and a backup is whole.
    if (const auto table = backup->UnknownTable()) {
      throw Error(ErrorCode::kCorrupt,
                  "the backup is damaged: its file MANIFEST does not know of " + *table,
                  "If it is no backup, but what a crash has left, open it once with pcsh; else "
                  "restore an older one.");
    }
    // Rows that can't be read end it here, with nothing changed: unlike states they are not to be
    // had again by computing.
    const Catalog readable(backup.get());
  } catch (const Error& error) {
    throw error.At(statement.path.range);
  }
  RestoredStates states(*backup, database.cache, sink);
  states.CopyAll();
  // The catalog comes last and at once: until then nobody can name what was copied.
  Rocks::Batch labels;
  backup->Scan(Family::kLabels, "", [&](std::string_view label, std::string_view row) {
    labels.Put(Family::kLabels, label, row);
    return true;
  });
  database.catalog.Adopt(backup.get(), std::move(labels));
  database.ApplyOwnerBudgets();
  states.Keep();
  database.ForgetLayouts();

  TellOfMissingModels(database.catalog, sink);
  const double ms = watch.Milliseconds();
  sink.OnNotice("restored " + TransferRate(states.bytes(), ms / 1000));
  sink.OnColumns(RestoreColumns());
  sink.OnRow({static_cast<int64_t>(database.catalog.Models().size()),
              static_cast<int64_t>(database.catalog.Schemas().size()),
              static_cast<int64_t>(database.catalog.Chats().size()), states.states(),
              states.bytes(), states.damaged(), ms});
  return "RESTORE";
}

}  // namespace promptdb
