#include <rocksdb/sst_file_reader.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>

#include "base/error.h"
#include "storage/rocks_rep.h"

namespace promptdb {

std::vector<Rocks::TableFile> Rocks::Tables() const {
  std::vector<rocksdb::LiveFileMetaData> files;
  rep_->db->GetLiveFilesMetaData(&files);
  std::vector<TableFile> tables;
  for (const rocksdb::LiveFileMetaData& file : files) {
    const auto* const name =
        std::find(kFamilyNames.begin(), kFamilyNames.end(), file.column_family_name);
    if (name == kFamilyNames.end()) continue;
    tables.push_back({file.relative_filename, static_cast<Family>(name - kFamilyNames.begin()),
                      static_cast<int64_t>(file.size)});
  }
  std::sort(tables.begin(), tables.end(),
            [](const TableFile& a, const TableFile& b) { return a.name < b.name; });
  return tables;
}

std::optional<std::string> Rocks::UnknownTable() const {
  const std::vector<TableFile> known = Tables();
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, failure)) {
    const std::string name = entry.path().filename().string();
    const auto is_it = [&](const TableFile& table) { return table.name == name; };
    if (entry.path().extension() == ".sst" && std::none_of(known.begin(), known.end(), is_it)) {
      return name;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Rocks::TableDamage(const TableFile& table) const {
  const std::filesystem::path path = folder_ / table.name;
  const rocksdb::Options options(DatabaseOptions(), FamilyOptions(static_cast<int>(table.family)));
  std::string damage;
  std::error_code failure;
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, failure));
  if (failure) {
    damage = "the file can't be read: " + failure.message();
  } else if (bytes != table.bytes) {
    damage = "the file has " + std::to_string(bytes) + " bytes instead of " +
             std::to_string(table.bytes);
  } else {
    rocksdb::SstFileReader reader(options);
    rocksdb::Status status = reader.Open(path.string());
    if (status.ok()) status = reader.VerifyChecksum();
    if (!status.ok()) damage = StatusText(status);
  }
  if (damage.empty()) return damage;
  const std::vector<TableFile> live = Tables();
  const auto is_it = [&](const TableFile& other) { return other.name == table.name; };
  if (std::none_of(live.begin(), live.end(), is_it)) return std::nullopt;
  return damage;
}

void Rocks::Compact(Family family) {
  rep_->failures->ThrowIfFailed();
  rocksdb::CompactRangeOptions options;
  // What lies at the bottom is as few already, and is written anew only to be compressed otherwise.
  if (family == Family::kBlocks && rep_->HasTablesOfOtherCompression()) {
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  }
  ThrowUnlessOk(rep_->db->CompactRange(options, rep_->Handle(family), /*begin=*/nullptr,
                                       /*end=*/nullptr),
                "compacting");
}

bool Rocks::Rep::HasTablesOfOtherCompression() const {
  rocksdb::TablePropertiesCollection tables;
  ThrowUnlessOk(db->GetPropertiesOfAllTables(Handle(Family::kBlocks), &tables), "reading");
  const bool is_on = OptionsNow(Family::kBlocks).compression == rocksdb::kZSTD;
  const std::string wanted = is_on ? "ZSTD" : "NoCompression";
  return std::any_of(tables.begin(), tables.end(),
                     [&](const auto& table) { return table.second->compression_name != wanted; });
}

void Rocks::WriteCheckpoint(const std::filesystem::path& folder) {
  rep_->failures->ThrowIfFailed();
  rocksdb::Checkpoint* created = nullptr;
  ThrowUnlessOk(rocksdb::Checkpoint::Create(rep_->db.get(), &created), "preparing a copy");
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(created);
  ThrowUnlessOk(checkpoint->CreateCheckpoint(folder.string()), "copying itself");
}

}  // namespace promptdb
