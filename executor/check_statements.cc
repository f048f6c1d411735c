// CHECK DATABASE and VACUUM.
#include <algorithm>
#include <set>

#include "base/stopwatch.h"
#include "executor/chat_states.h"
#include "executor/statements.h"
#include "executor/transfer_rate.h"

namespace promptdb {

namespace {

using Type = Column::Type;

// A check that took longer tells how fast it was.
constexpr double kLongSeconds = 1;

// What was found of one kind of objects.
struct Findings {
  int64_t checked = 0;
  int64_t bytes = 0;
  int64_t damaged = 0;
};

// Bytes read so far, as progress; and the question whether to stop.
class Meter {
 public:
  Meter(std::string stage, int64_t total, ResultSink& sink)
      : stage_(std::move(stage)), total_(total), sink_(sink) {
    Add(0);
  }
  void Add(int64_t bytes) {
    if (sink_.IsCanceled()) throw Error(ErrorCode::kCanceled, "the check was stopped");
    done_ += bytes;
    sink_.OnProgress(stage_, done_, total_, "bytes");
  }

 private:
  const std::string stage_;
  const int64_t total_;
  ResultSink& sink_;
  int64_t done_ = 0;
};

std::string_view FamilyUse(Family family) {
  switch (family) {
    case Family::kMeta:
      return "the format version";
    case Family::kCatalog:
      return "models, schemas and chats";
    case Family::kStates:
      return "manifests of states";
    case Family::kBlocks:
      return "blocks of states";
    case Family::kLabels:
      return "labels";
  }
  return "";
}

Findings CheckTables(const Rocks& rocks, ResultSink& sink) {
  const std::vector<Rocks::TableFile> tables = rocks.Tables();
  int64_t total = 0;
  for (const Rocks::TableFile& table : tables) total += table.bytes;
  Meter meter("checking table files", total, sink);
  Findings findings;
  for (const Rocks::TableFile& table : tables) {
    const std::optional<std::string> damage = rocks.TableDamage(table);
    meter.Add(table.bytes);
    if (!damage) continue;  // its successors hold what was in it, and are written with checksums
    ++findings.checked;
    findings.bytes += table.bytes;
    if (damage->empty()) continue;
    ++findings.damaged;
    sink.OnNotice("table file " + table.name + " (" + std::string(FamilyUse(table.family)) +
                  ") is damaged: " + *damage);
  }
  return findings;
}

Findings CheckCatalog(const Catalog& catalog, ResultSink& sink) {
  Findings findings;
  try {
    for (const Catalog::RowCheck& row : catalog.CheckRows()) {
      ++findings.checked;
      findings.bytes += row.bytes;
      if (row.damage.empty()) continue;
      ++findings.damaged;
      sink.OnNotice("catalog row \"" + row.key + "\" is damaged: " + row.damage);
    }
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    ++findings.damaged;
    sink.OnNotice("the catalog can't be read: " + error.message());
  }
  return findings;
}

constexpr char kIsDropped[] = " is damaged and is dropped; it is computed again when it is used: ";

void CheckStates(StateCache& cache, Findings& states, Findings& blocks, ResultSink& sink) {
  for (const StateCache::DroppedState& damage : cache.TakeDamageAtOpening()) {
    ++states.checked;
    ++states.damaged;
    sink.OnNotice("state " + damage.key + kIsDropped + damage.cause);
  }
  Meter meter("checking states", cache.stats().disk_bytes, sink);
  for (const Digest& key : cache.Keys()) {
    const auto check = cache.CheckState(key, [&](int64_t bytes) { meter.Add(bytes); });
    if (!check) continue;  // erased meanwhile
    ++states.checked;
    states.bytes += check->manifest_bytes;
    blocks.checked += check->blocks;
    blocks.bytes += check->block_bytes;
    blocks.damaged += check->damaged_blocks;
    if (check->damage.empty()) continue;
    ++states.damaged;
    const std::string name = check->label.empty() ? key.ToHex() : '"' + check->label + '"';
    sink.OnNotice("state " + name + kIsDropped + check->damage);
  }
}

// The labels that neither a schema nor a chat has given to anything it still has.
std::vector<std::string> StaleLabels(const std::vector<StateCache::LabelRow>& labels,
                                     const Catalog& catalog) {
  const std::set<std::string> of_chats = ChatLabels(catalog);
  const std::vector<SchemaDefinition> schemas = catalog.Schemas();
  std::vector<std::string> stale;
  for (const StateCache::LabelRow& row : labels) {
    const auto has_given = [&](const SchemaDefinition& schema) {
      return row.label.starts_with(schema.name + ".");
    };
    if (of_chats.contains(row.label) || std::any_of(schemas.begin(), schemas.end(), has_given)) {
      continue;
    }
    stale.push_back(row.label);
  }
  return stale;
}

std::string Counted(size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

Findings CheckLabels(Database::Rep& database, ResultSink& sink) {
  Findings findings;
  std::vector<StateCache::LabelRow> labels;
  try {
    labels = database.cache.Labels();
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    ++findings.damaged;
    sink.OnNotice("the labels can't be read: " + error.message());
    return findings;
  }
  std::vector<std::string> damaged;
  for (const StateCache::LabelRow& row : labels) {
    ++findings.checked;
    findings.bytes += row.bytes;
    if (row.damage.empty()) continue;
    ++findings.damaged;
    damaged.push_back(row.label);
    sink.OnNotice("label \"" + row.label + "\" is damaged, and is dropped: " + row.damage);
  }
  // Without it, EXPLAIN explains a miss in plainer words; nothing else asks for it.
  if (!damaged.empty()) database.cache.ForgetLabels(damaged);
  const size_t stale = StaleLabels(labels, database.catalog).size();
  if (stale > 0) {
    sink.OnNotice(Counted(stale, "label") + (stale == 1 ? " belongs" : " belong") +
                  " to no schema or chat that is still there; VACUUM removes " +
                  (stale == 1 ? "it" : "them"));
  }
  return findings;
}

int64_t DiskBytes(const Rocks& rocks) {
  int64_t bytes = 0;
  for (const Family family : kAllFamilies) bytes += rocks.DiskBytes(family);
  return bytes;
}

}  // namespace

std::vector<Column> CheckColumns() {
  return {{"kind", Type::kText},
          {"checked", Type::kInteger},
          {"bytes", Type::kInteger},
          {"damaged", Type::kInteger}};
}

std::vector<Column> VacuumColumns() {
  return {{"bytes_before", Type::kInteger},
          {"bytes_after", Type::kInteger},
          {"labels_removed", Type::kInteger}};
}

std::string RunCheckDatabase(Database::Rep& database, ResultSink& sink) {
  const Stopwatch watch;
  Findings states, blocks;
  const Findings tables = CheckTables(database.rocks, sink);
  const Findings catalog = CheckCatalog(database.catalog, sink);
  CheckStates(database.cache, states, blocks, sink);
  const Findings labels = CheckLabels(database, sink);
  if (tables.damaged + catalog.damaged > 0) {
    sink.OnNotice(
        "what is whole comes into a new database by BACKUP DATABASE here and RESTORE DATABASE "
        "there");
  }
  const double seconds = watch.Milliseconds() / 1000;
  if (seconds >= kLongSeconds) {
    sink.OnNotice("checked " + TransferRate(tables.bytes + states.bytes + blocks.bytes, seconds));
  }
  sink.OnColumns(CheckColumns());
  const auto row = [&](const char* kind, const Findings& found) {
    sink.OnRow({std::string(kind), found.checked, found.bytes, found.damaged});
  };
  row("table files", tables);
  row("catalog rows", catalog);
  row("states", states);
  row("blocks", blocks);
  row("labels", labels);
  return "CHECK";
}

std::string RunVacuum(Database::Rep& database, ResultSink& sink) {
  // RocksDB takes no more changes after a compaction that met damage, so damage is looked for
  // first.
  if (CheckTables(database.rocks, sink).damaged > 0) {
    throw Error(ErrorCode::kCorrupt, "the database has damaged table files",
                "CHECK DATABASE says what is lost with them.");
  }
  const int64_t before = DiskBytes(database.rocks);
  const std::vector<std::string> stale = StaleLabels(database.cache.Labels(), database.catalog);
  if (!stale.empty()) database.cache.ForgetLabels(stale);
  int64_t compacted = 0;
  for (const Family family : kAllFamilies) {
    if (sink.IsCanceled()) throw Error(ErrorCode::kCanceled, "VACUUM was stopped");
    const int64_t bytes = database.rocks.DiskBytes(family);
    database.rocks.Compact(family);
    compacted += bytes;
    sink.OnProgress("compacting", compacted, before, "bytes");
  }
  sink.OnColumns(VacuumColumns());
  sink.OnRow({before, DiskBytes(database.rocks), static_cast<int64_t>(stale.size())});
  return "VACUUM";
}

}  // namespace promptdb
