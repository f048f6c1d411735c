// EXPORT STATES and IMPORT STATES.
#include <algorithm>
#include <ctime>
#include <map>
#include <set>

#include "base/stopwatch.h"
#include "executor/module_selection.h"
#include "executor/schema_coverage.h"
#include "executor/statements.h"
#include "executor/transfer_rate.h"
#include "executor/user_paths.h"
#include "parser/parser.h"
#include "storage/state_file.h"
#include "storage/stored_blocks.h"

namespace promptdb {

namespace {

using Type = Column::Type;
using Path = std::filesystem::path;

std::string Counted(int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// ---- EXPORT STATES -----------------------------------------------------------------------------

// The states of some modules or, without any named, of the whole schema: then those as well that
// exact reuse has left behind under the schema's name.
struct SchemaKeys {
  std::vector<Digest> cached;
  int64_t not_cached = 0;
};

SchemaKeys KeysOf(const ast::Modules& modules, const OpenSchema& schema, const StateCache& cache) {
  const KeyedStates keyed(schema);
  SchemaKeys keys;
  std::set<Digest> seen;
  for (const int segment :
       SelectedSegments(SelectedPaths(modules, schema.definition), schema, keyed.states)) {
    const Digest& key = keyed.keys[static_cast<size_t>(segment)].key;
    if (!seen.insert(key).second) continue;
    if (cache.Probe(key).tier == Tier::kMiss) {
      ++keys.not_cached;
    } else {
      keys.cached.push_back(key);
    }
  }
  if (!modules.modules.empty()) return keys;
  for (const StateManifest& manifest : cache.List()) {
    const bool is_of_schema = manifest.label.starts_with(schema.definition.name + ".") &&
                              manifest.model == schema.model->fingerprint() && !manifest.of_chat;
    if (is_of_schema && seen.insert(manifest.key).second) keys.cached.push_back(manifest.key);
  }
  return keys;
}

// Copies states of the cache into a file, one block at a time.
class StateExport {
 public:
  StateExport(const Path& path, const std::vector<Digest>& keys, Database::Rep& database,
              ResultSink& sink)
      : file_(path, std::time(nullptr)), keys_(keys), database_(database), sink_(sink) {
    for (const Digest& key : keys_) total_ += database_.cache.Probe(key).bytes;
  }

  void CopyAll() {
    for (const Digest& key : keys_) CopyState(key);
    file_.Finish();
  }

  int64_t states() const { return file_.states(); }
  int64_t bytes() const { return file_.bytes(); }
  int64_t left_out() const { return left_out_; }

 private:
  void CopyState(const Digest& key);

  StateFileWriter file_;
  const std::vector<Digest>& keys_;
  Database::Rep& database_;
  ResultSink& sink_;
  int64_t total_ = 0;  // bytes of blocks, as those that are done
  int64_t done_ = 0;
  int64_t left_out_ = 0;
};

void StateExport::CopyState(const Digest& key) {
  std::optional<StateManifest> manifest;
  std::string damage;
  try {
    manifest = database_.cache.Manifest(key);
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    damage = error.message();
  }
  if (manifest) {
    const BlockGrid grid(manifest->shape, manifest->tokens);
    file_.BeginState(*manifest);
    for (int i = 0; i < grid.blocks() && damage.empty(); ++i) {
      if (sink_.IsCanceled()) throw Error(ErrorCode::kCanceled, "EXPORT was stopped");
      BlockBuffer block;
      try {
        block = ReadStoredBlock(database_.rocks, key, manifest->shape, grid, i);
        VerifyBlock(key, manifest->shape, grid.Extent(i), block);
      } catch (const Error& error) {
        if (!IsDamage(error)) throw;
        damage = error.message();
        continue;
      }
      done_ += block.size();
      sink_.OnProgress("exporting states", std::min(done_, total_), total_, "bytes");
      file_.AddBlock(block);
    }
    if (damage.empty()) return;
    file_.DropState();
  }
  ++left_out_;
  // Blocks of a state that is dropped meanwhile are no damage.
  if (damage.empty() || database_.cache.Probe(key).tier == Tier::kMiss) return;
  sink_.OnNotice("state " + (manifest ? '"' + manifest->label + '"' : key.ToHex()) +
                 " is damaged and is left out; CHECK DATABASE drops it: " + damage);
}

// ---- IMPORT STATES -----------------------------------------------------------------------------

// The models of the database by their fingerprints. One that can't be opened has none.
class ModelsHere {
 public:
  ModelsHere(Database::Rep& database, ResultSink& sink) {
    for (const ModelDefinition& definition : database.catalog.Models()) {
      try {
        const auto model = database.Open(definition, {}, sink);
        shapes_.emplace(model->fingerprint(), model->kv_shape());
      } catch (const Error& error) {
        sink.OnNotice("model \"" + definition.name +
                      "\" can't be opened, so that no state counts as its: " + error.message());
      }
    }
  }
  // nullptr where no model has the fingerprint.
  const KvShape* ShapeOf(const Digest& model) const {
    const auto found = shapes_.find(model);
    return found == shapes_.end() ? nullptr : &found->second;
  }

 private:
  std::map<Digest, KvShape> shapes_;
};

// Brings the states of a file into the cache, one at a time.
class StateImport {
 public:
  StateImport(const Path& path, Database::Rep& database, ResultSink& sink)
      : file_(path), database_(database), sink_(sink), models_(database, sink) {}

  void CopyAll();
  void TellWhatIsLeftOut();

  int64_t read_bytes() const { return file_.bytes_read(); }
  int64_t states() const { return static_cast<int64_t>(imported_.size()); }
  int64_t bytes() const { return bytes_; }
  int64_t there_already() const { return there_already_; }
  int64_t of_other_models() const { return of_other_models_; }
  int64_t without_room() const { return without_room_; }

 private:
  void CopyState(const StateManifest& manifest);
  // Nothing, where the state is not wanted: then its blocks are only checked.
  std::vector<BlockBuffer> ReadBlocks(const BlockGrid& grid, bool is_wanted);
  void CheckWhatStayed();

  StateFileReader file_;
  Database::Rep& database_;
  ResultSink& sink_;
  const ModelsHere models_;
  std::map<Digest, std::string> imported_;  // keys, with the labels
  int64_t bytes_ = 0;
  int64_t there_already_ = 0;
  int64_t of_other_models_ = 0;
  Digest another_model_;  // one of those
  std::string label_of_another_;
  int64_t without_room_ = 0;
};

void StateImport::CopyAll() {
  try {
    while (const auto manifest = file_.NextState()) CopyState(*manifest);
  } catch (const Error& error) {
    CheckWhatStayed();
    if (states() == 0) throw;
    const std::string stays = "What came before (" + Counted(states(), "state") +
                              ") is whole and stays; another IMPORT passes over it.";
    throw Error(error.code(), error.message(),
                error.hint().empty() ? stays : error.hint() + ' ' + stays, error.range());
  }
  CheckWhatStayed();
}

void StateImport::CopyState(const StateManifest& manifest) {
  const KvShape* shape = models_.ShapeOf(manifest.model);
  const bool is_there = database_.cache.Probe(manifest.key).tier != Tier::kMiss;
  if (shape == nullptr) {
    ++of_other_models_;
    another_model_ = manifest.model;
    label_of_another_ = manifest.label;
  } else if (*shape != manifest.shape) {
    throw Error(
        ErrorCode::kCorrupt,
        "state \"" + manifest.label + "\" of the file has another shape than its model's states");
  } else if (is_there) {
    ++there_already_;
  }
  const bool is_wanted = shape != nullptr && !is_there;
  const BlockGrid grid(manifest.shape, manifest.tokens);
  std::vector<BlockBuffer> blocks = ReadBlocks(grid, is_wanted);
  if (!is_wanted) return;
  database_.cache.Publish(manifest, KvSegment(manifest.shape, manifest.start_position,
                                              manifest.tokens, std::move(blocks)));
  imported_.emplace(manifest.key, manifest.label);
  bytes_ += grid.TotalBytes();
}

std::vector<BlockBuffer> StateImport::ReadBlocks(const BlockGrid& grid, bool is_wanted) {
  std::vector<BlockBuffer> blocks;
  if (is_wanted) blocks.reserve(static_cast<size_t>(grid.blocks()));
  for (int i = 0; i < grid.blocks(); ++i) {
    if (sink_.IsCanceled()) throw Error(ErrorCode::kCanceled, "IMPORT was stopped");
    BlockBuffer block = file_.NextBlock();
    sink_.OnProgress("importing states", file_.bytes_read(), file_.bytes(), "bytes");
    if (is_wanted) blocks.push_back(std::move(block));
  }
  return blocks;
}

// The disk budget may have had no room for a state, or a later one may have taken an earlier one's.
void StateImport::CheckWhatStayed() {
  for (auto it = imported_.begin(); it != imported_.end();) {
    const auto entry = it++;
    if (database_.cache.Probe(entry->first).tier != Tier::kMiss) continue;
    imported_.erase(entry);
    ++without_room_;
  }
}

void StateImport::TellWhatIsLeftOut() {
  if (of_other_models_ > 0) {
    sink_.OnNotice(Counted(of_other_models_, "state") + " of the file, such as \"" +
                   label_of_another_ + "\", " + (of_other_models_ == 1 ? "was" : "were") +
                   " left out: no model here has the fingerprint " + another_model_.ToHex() +
                   ", which weights, tokenizer, chat template, dtype and kv_dtype make up");
  }
  if (without_room_ > 0) {
    sink_.OnNotice("disk_cache has no room for " + Counted(without_room_, "state") +
                   " of the file");
  }
  std::set<std::string> without_schema;  // labels
  int64_t count = 0;
  const std::vector<SchemaDefinition> schemas = database_.catalog.Schemas();
  for (const auto& [key, label] : imported_) {
    const auto has_given = [&](const SchemaDefinition& schema) {
      return label.starts_with(schema.name + ".");
    };
    if (std::any_of(schemas.begin(), schemas.end(), has_given)) continue;
    without_schema.insert(label);
    ++count;
  }
  if (count == 0) return;
  sink_.OnNotice(Counted(count, "state") + ", such as \"" + *without_schema.begin() + "\", " +
                 (count == 1 ? "belongs" : "belong") +
                 " to no schema that is here; any that places the same text alike will use " +
                 (count == 1 ? "it" : "them"));
}

}  // namespace

std::vector<Column> ExportStatesColumns() {
  return {{"file", Type::kText},
          {"states", Type::kInteger},
          {"bytes", Type::kInteger},
          {"not_cached", Type::kInteger},
          {"ms", Type::kReal}};
}

std::vector<Column> ImportStatesColumns() {
  return {{"states", Type::kInteger},        {"bytes", Type::kInteger},
          {"there_already", Type::kInteger}, {"other_models", Type::kInteger},
          {"no_room", Type::kInteger},       {"ms", Type::kReal}};
}

std::string RunExportStates(const ast::ExportStates& statement, Database::Rep& database,
                            ResultSink& sink) {
  const auto schema = database.Open(statement.schema, sink);
  const SchemaKeys keys = KeysOf(statement, *schema, database.cache);
  if (keys.cached.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "nothing of schema \"" + schema->definition.name + "\" is cached",
                "WARM " + QuoteName(schema->definition.name) + "; computes its states.",
                statement.schema.range);
  }
  const Stopwatch watch;
  const Path path = UserPath(statement.path);
  if (LiesIn(path, database.rocks.folder())) {
    throw Error(ErrorCode::kInvalidArgument,
                "an export can't lie in the database's own folder: " + Quoted(path), "",
                statement.path.range);
  }
  int64_t states = 0, bytes = 0, not_cached = keys.not_cached;
  try {
    StateExport out(path, keys.cached, database, sink);
    out.CopyAll();
    states = out.states();
    bytes = out.bytes();
    not_cached += out.left_out();
  } catch (const Error& error) {
    throw error.At(statement.path.range);
  }
  const double ms = watch.Milliseconds();
  sink.OnNotice("exported " + TransferRate(bytes, ms / 1000));
  sink.OnColumns(ExportStatesColumns());
  sink.OnRow({path.string(), states, bytes, not_cached, ms});
  return "EXPORT STATES";
}

std::string RunImportStates(const ast::ImportStates& statement, Database::Rep& database,
                            ResultSink& sink) {
  const Stopwatch watch;
  try {
    StateImport in(UserPath(statement.path), database, sink);
    in.CopyAll();
    in.TellWhatIsLeftOut();
    const double ms = watch.Milliseconds();
    sink.OnNotice("read " + TransferRate(in.read_bytes(), ms / 1000));
    sink.OnColumns(ImportStatesColumns());
    sink.OnRow(
        {in.states(), in.bytes(), in.there_already(), in.of_other_models(), in.without_room(), ms});
  } catch (const Error& error) {
    throw error.At(statement.path.range);
  }
  return "IMPORT STATES";
}

}  // namespace promptdb
