#include "executor/system_tables.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "executor/accuracy_rows.h"
#include "executor/schema_coverage.h"
#include "planner/module_path.h"
#include "storage/user_rows.h"

namespace promptdb {

namespace {

// ---- Catalog -----------------------------------------------------------------------------------

using Kind = ObjectName::Kind;

std::vector<Row> ModelRows(const SystemTableSource& source) {
  std::vector<Row> rows;
  for (const ModelDefinition& model : source.database.catalog.Models()) {
    if (!source.access.MaySee({Kind::kModel, model.name})) continue;
    rows.push_back({model.name, model.architecture, model.parameters, int64_t{model.context_length},
                    model.dtype, model.kv_dtype, model.device, model.chat_template, model.path,
                    FormatTime(model.created_at)});
  }
  return rows;
}

std::vector<Row> AccuracyTableRows(const SystemTableSource& source) {
  std::vector<Row> rows;
  for (const ModelAccuracy& accuracy : source.database.catalog.Accuracies()) {
    if (!source.access.MaySee({Kind::kModel, accuracy.model})) continue;
    Value is_current;
    try {
      if (const auto model = source.database.catalog.FindModel(accuracy.model)) {
        is_current =
            source.database.Open(*model, {}, source.sink)->fingerprint() == accuracy.fingerprint;
      }
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCanceled) throw;
      source.sink.OnNotice("model \"" + accuracy.model + "\" can't be opened: " + error.message());
    }
    for (const AccuracyRow& measured : accuracy.rows) {
      Row row = {accuracy.model};
      const Row values = AccuracyValues(measured);
      row.insert(row.end(), values.begin(), values.end());
      row.insert(row.end(), {accuracy.source, FormatTime(accuracy.measured_at), is_current});
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<Row> ChatRows(const SystemTableSource& source) {
  const Database::Rep& database = source.database;
  std::vector<Row> rows;
  for (const ChatDefinition& chat : database.catalog.Chats()) {
    if (!source.access.MaySee(chat)) continue;
    auto tokens = static_cast<int64_t>(chat.pending.size());
    int64_t bytes = 0;
    for (const auto* segments : {&chat.opening, &chat.turns}) {
      for (const ChatSegment& segment : *segments) {
        tokens += static_cast<int64_t>(segment.tokens.size());
        for (const ChatSegment::Placeholder& place : segment.placeholders) tokens -= place.tokens;
        bytes += database.cache.Probe(segment.state).bytes;
      }
    }
    rows.push_back({chat.name, chat.schema, chat.model, static_cast<int64_t>(chat.turns.size()),
                    tokens, bytes, FormatTime(chat.created_at), FormatTime(chat.last_used_at)});
  }
  return rows;
}

std::vector<Row> ConnectionRows(const SystemTableSource& source) {
  std::vector<Row> rows;
  if (!source.database.connections) return rows;
  for (const ConnectionInfo& connection : source.database.connections()) {
    if (!source.access.is_admin() && connection.user != source.access.user()->name) continue;
    rows.push_back({connection.id, connection.user, connection.client, connection.application,
                    connection.protocol, connection.is_encrypted, connection.state,
                    connection.statement.empty() ? Value() : Value(connection.statement),
                    FormatTime(connection.since)});
  }
  return rows;
}

std::vector<Row> SchemaRows(const SystemTableSource& source) {
  std::vector<Row> rows;
  for (const SchemaDefinition& schema : source.database.catalog.Schemas()) {
    if (!source.access.MayQuerySchema(schema.name)) continue;
    rows.push_back({schema.name, schema.model,
                    static_cast<int64_t>(ListModules(schema.parts).size()),
                    static_cast<int64_t>(schema.scaffolds.size()), FormatTime(schema.created_at)});
  }
  return rows;
}

// ---- Modules -----------------------------------------------------------------------------------

using PartsByPath = std::map<std::string_view, const LaidOutPart*>;

void CollectParts(const std::vector<LaidOutPart>& parts, PartsByPath& by_path) {
  for (const LaidOutPart& part : parts) {
    if (part.kind == PartDefinition::Kind::kModule) by_path.emplace(part.path, &part);
    CollectParts(part.children, by_path);
  }
}

// `open`: nullptr where the schema's model can't be opened.
void AddModuleRows(const SchemaDefinition& definition, const OpenSchema* open,
                   const StateCache& cache, std::vector<Row>& rows) {
  PartsByPath by_path;
  std::optional<KeyedStates> keyed;
  if (open != nullptr) {
    CollectParts(open->layout.parts, by_path);
    keyed.emplace(*open);
  }
  for (const NamedModule& module : ListModules(definition.parts)) {
    Row row = {definition.name, module.path, definition.model,
               static_cast<int64_t>(module.part->parameters.size())};
    if (const auto found = by_path.find(module.path); found != by_path.end()) {
      const LaidOutPart& part = *found->second;
      const Coverage coverage = Cover(part, *keyed, cache);
      row.insert(row.end(), {int64_t{coverage.tokens}, int64_t{part.start}, int64_t{part.reserved},
                             std::string(coverage.tier()), coverage.bytes, coverage.cpu_bytes,
                             coverage.gpu_bytes});
    }
    row.resize(SystemTableOf(SystemTable::Id::kModules).columns.size());
    rows.push_back(std::move(row));
  }
}

std::vector<Row> ModuleRows(const std::optional<std::string>& only_schema,
                            const SystemTableSource& source) {
  std::vector<Row> rows;
  for (const SchemaDefinition& definition : source.database.catalog.Schemas()) {
    if (only_schema && definition.name != *only_schema) continue;
    if (!source.access.MayQuerySchema(definition.name)) continue;
    std::shared_ptr<const OpenSchema> open;
    try {
      open = source.database.Open({definition.name, {}}, source.sink);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCanceled) throw;
      source.sink.OnNotice("schema \"" + definition.name +
                           "\" can't be laid out: " + error.message());
    }
    AddModuleRows(open ? open->definition : definition, open.get(), source.database.cache, rows);
  }
  return rows;
}

// ---- States and blocks -------------------------------------------------------------------------

// Finds the schema and the module that a state's label names.
class LabelReader {
 public:
  explicit LabelReader(const Catalog& catalog) {
    for (const SchemaDefinition& schema : catalog.Schemas()) {
      const std::vector<std::string> paths = ModulePaths(schema.parts);
      modules_[schema.name] = {paths.begin(), paths.end()};
    }
  }

  // NULL where there is none.
  struct Names {
    Value schema;
    Value module;
  };
  Names Read(const std::string& label) const {
    // A quoted name may have dots itself.
    for (size_t dot = label.rfind('.'); dot != label.npos && dot > 0;
         dot = label.rfind('.', dot - 1)) {
      const auto schema = modules_.find(label.substr(0, dot));
      if (schema == modules_.end()) continue;
      Names names{schema->first, {}};
      std::string rest = label.substr(dot + 1);
      if (!schema->second.contains(rest)) rest.resize(std::min(rest.size(), rest.rfind(kScaffold)));
      if (schema->second.contains(rest)) names.module = std::move(rest);
      return names;
    }
    return {};
  }

 private:
  // What follows a module in the labels of its states in a scaffold.
  static constexpr std::string_view kScaffold = " in scaffold ";

  std::map<std::string, std::set<std::string>> modules_;  // paths, by schema
};

// Of schemas that the user may query, but for what others have asked them; and the user's own.
bool MaySee(const StateManifest& state, const Value& schema, const Access& access) {
  if (access.is_admin()) return true;
  if (state.owner != kPublic) return state.owner == access.id();
  const auto* name = std::get_if<std::string>(&schema);
  return name != nullptr && access.MayQuerySchema(*name);
}

std::vector<StateManifest> SortedStates(const StateCache& cache) {
  std::vector<StateManifest> states = cache.List();
  std::sort(states.begin(), states.end(), [](const StateManifest& a, const StateManifest& b) {
    return std::tie(a.label, a.created_at, a.key) < std::tie(b.label, b.created_at, b.key);
  });
  return states;
}

std::vector<Row> StateRows(const SystemTableSource& source) {
  Database::Rep& database = source.database;
  const LabelReader labels(database.catalog);
  std::vector<Row> rows;
  for (const StateManifest& state : SortedStates(database.cache)) {
    const StateInfo info = database.cache.Probe(state.key, Tier::kGpu);
    if (info.tier == Tier::kMiss) continue;  // erased meanwhile
    LabelReader::Names names = labels.Read(state.label);
    if (!MaySee(state, names.schema, source.access)) continue;
    rows.push_back({state.key.ToHex(), state.label, std::move(names.schema),
                    std::move(names.module), int64_t{state.tokens}, int64_t{state.start_position},
                    std::string(KvDtypeName(state.shape.dtype)), std::string(TierName(info.tier)),
                    info.bytes, info.cpu_bytes, info.gpu_bytes,
                    int64_t{BlockGrid(state.shape, state.tokens).blocks()}, state.encode_ms,
                    FormatTime(state.created_at)});
  }
  return rows;
}

std::vector<Row> BlockRows(const SystemTableSource& source) {
  Database::Rep& database = source.database;
  const LabelReader labels(database.catalog);
  std::vector<Row> rows;
  for (const StateManifest& state : SortedStates(database.cache)) {
    const LabelReader::Names names = labels.Read(state.label);
    if (!MaySee(state, names.schema, source.access)) continue;
    const BlockGrid grid(state.shape, state.tokens);
    for (int block = 0; block < grid.blocks(); ++block) {
      const BlockExtent extent = grid.Extent(block);
      const BlockId id{state.key, block};
      const Tier tier = database.device_pool.Contains(id) ? Tier::kGpu
                        : database.pool.Contains(id)      ? Tier::kCpu
                                                          : Tier::kDisk;
      rows.push_back({state.key.ToHex(), int64_t{block}, state.label, names.schema, names.module,
                      int64_t{extent.first_layer}, int64_t{extent.layers},
                      int64_t{state.start_position} + extent.first_token, int64_t{extent.tokens},
                      std::string(KvDtypeName(state.shape.dtype)), std::string(TierName(tier)),
                      extent.payload_bytes + kBlockHeaderBytes});
    }
  }
  return rows;
}

// ---- Users -------------------------------------------------------------------------------------

Value LimitValue(int64_t limit) { return limit > 0 ? Value(limit) : Value(); }

// One's own, or all for admins.
std::vector<UserDefinition> SeenUsers(const SystemTableSource& source) {
  std::vector<UserDefinition> users = source.database.catalog.Users();
  std::erase_if(users, [&](const UserDefinition& user) { return !source.access.MaySee(user); });
  return users;
}

std::vector<Row> UserRows(const SystemTableSource& source) {
  std::vector<Row> rows;
  for (const UserDefinition& user : SeenUsers(source)) {
    rows.push_back({user.name, user.is_admin, user.is_disabled, !user.verifier.empty(),
                    static_cast<int64_t>(user.keys.size()), LimitValue(user.tokens_per_day),
                    source.database.catalog.TokensUsed(user.id, Today()),
                    LimitValue(user.state_bytes), source.database.cache.BytesOf(user.id),
                    FormatTime(user.created_at)});
  }
  return rows;
}

std::vector<Row> KeyRows(const SystemTableSource& source) {
  std::vector<Row> rows;
  for (const UserDefinition& user : SeenUsers(source)) {
    for (const ApiKey& key : user.keys) {
      rows.push_back({user.name, key.name, FormatTime(key.created_at)});
    }
  }
  return rows;
}

// Who may change an object sees all rights on it; others their own, and everybody's.
std::vector<Row> GrantRows(const SystemTableSource& source) {
  std::map<Digest, std::string> names = {{kPublic, "public"}};
  for (const UserDefinition& user : source.database.catalog.Users()) names[user.id] = user.name;
  std::vector<Row> rows;
  for (const ObjectAccess& access : source.database.catalog.Accesses()) {
    const ObjectName& object = access.object;
    const bool sees_all = source.access.May(Privilege::kAdmin, object);
    const auto add = [&](const Digest& user, std::string_view privilege) {
      if (!sees_all && user != kPublic && user != source.access.id()) return;
      rows.push_back({std::string(ObjectKindName(object.kind)),
                      object.name.empty() ? Value() : Value(object.name), names.at(user),
                      std::string(privilege)});
    };
    if (access.owner != kPublic) add(access.owner, "owner");
    for (const auto& [user, privileges] : access.grants) {
      for (const Privilege privilege : privileges) add(user, PrivilegeName(privilege));
    }
  }
  return rows;
}

// ---- Counts and settings -----------------------------------------------------------------------

std::vector<Row> StatRows(const Database::Rep& database) {
  const StateCacheStats cache = database.cache.stats();
  const PoolStats pool = database.pool.stats();
  const DevicePoolStats device = database.device_pool.stats();
  const QueryMemory::Stats queries = database.query_memory.stats();
  return {
      {"states", cache.states, "states on disk"},
      {"disk_bytes", cache.disk_bytes, "their bytes"},
      {"disk_cache_bytes", cache.disk_budget, "most of them: SET disk_cache; 0: no limit"},
      {"cpu_cache_bytes", pool.budget_bytes, "most bytes of blocks in memory: SET cpu_cache"},
      {"cpu_bytes", pool.used_bytes, "bytes of blocks in memory"},
      {"cpu_pinned_bytes", pool.pinned_bytes, "those of them that queries are using"},
      {"cpu_kept_bytes", cache.held_bytes, "those of them that PIN keeps"},
      {"cpu_blocks", pool.blocks, "blocks in memory"},
      {"gpu_cache_bytes", device.budget_bytes,
       "most bytes of blocks in a device's memory: SET gpu_cache"},
      {"gpu_bytes", device.used_bytes, "bytes of blocks in a device's memory"},
      {"gpu_pinned_bytes", device.pinned_bytes, "those of them that queries are using"},
      {"gpu_blocks", device.blocks, "blocks in a device's memory"},
      {"gpu_hits", cache.gpu_hits, "states served wholly from a device's memory"},
      {"gpu_evicted_blocks", device.evictions, "blocks that left a device's memory for others"},
      {"gpu_rejected_blocks", device.rejected, "blocks that it had no room for"},
      {"blocks_copied_in", device.copied_in, "blocks copied to a device"},
      {"blocks_copied_out", device.copied_out, "blocks copied from a device"},
      {"failed_copies", device.failed_copies, "copies to or from a device that failed"},
      {"cpu_hits", cache.cpu_hits, "states served from memory otherwise"},
      {"disk_hits", cache.disk_hits, "states of which a block was read from disk"},
      {"misses", cache.misses, "states asked for that were not there"},
      {"evicted_blocks", pool.evictions, "blocks dropped from memory for others"},
      {"rejected_blocks", pool.rejected, "blocks kept out of memory, since the rest was pinned"},
      {"evicted_states", cache.evicted, "states dropped from disk for others"},
      {"expired_states", cache.expired, "states dropped from disk, since their ttl was over"},
      {"rejected_states", cache.rejected, "states not stored, since disk_cache had no room"},
      {"states_written", cache.writes, "states stored"},
      {"bytes_written", cache.written_bytes, "their bytes"},
      {"bytes_read", cache.read_bytes, "bytes of blocks read from disk"},
      {"corrupt_states", cache.corrupt, "states dropped, since a block failed its check"},
      {"query_memory_bytes", queries.budget,
       "most bytes that running queries may take for themselves: SET query_memory"},
      {"query_reserved_bytes", queries.reserved, "bytes that they have reserved"},
      {"query_most_reserved_bytes", queries.most_reserved, "the most that they ever had"},
      {"queries_waiting", queries.waiting, "queries that wait for memory"},
      {"queries_waited", queries.waited, "queries that had to wait for memory"},
      {"queries_refused", queries.refused, "queries that needed more than there may be"},
  };
}

std::vector<Row> SettingRows(const Settings& settings) {
  std::vector<Row> rows;
  for (const Settings::Row& row : settings.Rows()) {
    rows.push_back({row.name, row.value, row.meaning});
  }
  return rows;
}

// ---- The tables themselves ---------------------------------------------------------------------

std::vector<Row> TableRows() {
  std::vector<Row> rows;
  for (const SystemTable& table : SystemTables()) {
    rows.push_back({std::string(table.name), static_cast<int64_t>(table.columns.size()),
                    std::string(table.meaning)});
  }
  return rows;
}

std::vector<Row> ColumnRows() {
  std::vector<Row> rows;
  for (const SystemTable& table : SystemTables()) {
    int64_t position = 0;
    for (const SystemColumn& column : table.columns) {
      rows.push_back({std::string(table.name), ++position, std::string(column.name),
                      std::string(TypeName(column.type)), std::string(column.meaning)});
    }
  }
  return rows;
}

}  // namespace

std::vector<Row> SystemTableRows(SystemTable::Id table,
                                 const std::optional<std::string>& only_schema,
                                 const SystemTableSource& source) {
  switch (table) {
    case SystemTable::Id::kModels:
      return ModelRows(source);
    case SystemTable::Id::kSchemas:
      return SchemaRows(source);
    case SystemTable::Id::kModules:
      return ModuleRows(only_schema, source);
    case SystemTable::Id::kStates:
      return StateRows(source);
    case SystemTable::Id::kBlocks:
      return BlockRows(source);
    case SystemTable::Id::kChats:
      return ChatRows(source);
    case SystemTable::Id::kConnections:
      return ConnectionRows(source);
    case SystemTable::Id::kUsers:
      return UserRows(source);
    case SystemTable::Id::kGrants:
      return GrantRows(source);
    case SystemTable::Id::kKeys:
      return KeyRows(source);
    case SystemTable::Id::kAccuracy:
      return AccuracyTableRows(source);
    case SystemTable::Id::kStats:
      return StatRows(source.database);
    case SystemTable::Id::kSettings:
      return SettingRows(source.settings);
    case SystemTable::Id::kTables:
      return TableRows();
    case SystemTable::Id::kColumns:
      return ColumnRows();
  }
  return {};
}

std::vector<Row> ModuleRowsOf(const ast::Name& schema, const SystemTableSource& source) {
  const auto open = source.database.Open(schema, source.sink);
  std::vector<Row> rows;
  AddModuleRows(open->definition, open.get(), source.database.cache, rows);
  return rows;
}

}  // namespace promptdb
