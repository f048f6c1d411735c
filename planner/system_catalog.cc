#include "planner/system_catalog.h"

#include "base/error.h"

namespace promptdb {

namespace {

using Type = Column::Type;

constexpr SystemColumn kModelColumns[] = {
    {"name", Type::kText, "the model's name"},
    {"architecture", Type::kText, "family, as the checkpoint names it"},
    {"parameters", Type::kInteger, "how many weights it has"},
    {"context", Type::kInteger, "most positions of a prompt and its answer"},
    {"dtype", Type::kText, "of the weights in memory; stored: as in the checkpoint"},
    {"kv_dtype", Type::kText, "of its attention states"},
    {"device", Type::kText, "where it computes, and has its states: cpu, or host, the stand-in"},
    {"chat_template", Type::kText, "how roles are written; auto: the checkpoint's own way"},
    {"path", Type::kText, "its file or folder"},
    {"created", Type::kText, "when it was created (UTC)"},
};

constexpr SystemColumn kSchemaColumns[] = {
    {"name", Type::kText, "the schema's name"},
    {"model", Type::kText, "the model that it uses"},
    {"modules", Type::kInteger, "how many modules it has, nested ones included"},
    {"scaffolds", Type::kInteger, "how many scaffolds it has"},
    {"created", Type::kText, "when it was created (UTC)"},
};

constexpr SystemColumn kModuleColumns[] = {
    {"schema", Type::kText, "the schema that it belongs to"},
    {"module", Type::kText, "its path, as USE takes it"},
    {"model", Type::kText, "the model of its schema"},
    {"parameters", Type::kInteger, "how many parameters it takes"},
    {"tokens", Type::kInteger, "its tokens, with those of the parts in it"},
    {"start", Type::kInteger, "its first position"},
    {"length", Type::kInteger, "positions from its start to the next part"},
    {"tier", Type::kText, "where all its states are: gpu, cpu, disk, or miss"},
    {"bytes", Type::kInteger, "its states' bytes on disk"},
    {"cpu_bytes", Type::kInteger, "those of them in memory"},
    {"gpu_bytes", Type::kInteger, "those of them in a device's memory"},
};

constexpr SystemColumn kStateColumns[] = {
    {"key", Type::kText, "digest of all that the state depends on"},
    {"label", Type::kText, "what it was encoded as: schema.module, or schema.(text 1)"},
    {"schema", Type::kText, "the schema in the label; NULL when there is none of that name"},
    {"module", Type::kText, "the module in the label; NULL when it is not a module of the schema"},
    {"tokens", Type::kInteger, "tokens whose K and V it holds"},
    {"start", Type::kInteger, "position of the first one"},
    {"dtype", Type::kText, "of K and V"},
    {"tier", Type::kText, "gpu when all of it is on a device, cpu when it is in memory, else disk"},
    {"bytes", Type::kInteger, "its bytes on disk"},
    {"cpu_bytes", Type::kInteger, "those of them in memory"},
    {"gpu_bytes", Type::kInteger, "those of them in a device's memory"},
    {"blocks", Type::kInteger, "how many blocks it is cut into"},
    {"encode_ms", Type::kReal, "what computing it took"},
    {"created", Type::kText, "when it was computed (UTC)"},
};

constexpr SystemColumn kBlockColumns[] = {
    {"key", Type::kText, "the state that it is part of, as in pc_states"},
    {"block", Type::kInteger, "its number in the state, from 0"},
    {"label", Type::kText, "the state's label"},
    {"schema", Type::kText, "the schema in the label; NULL when there is none of that name"},
    {"module", Type::kText, "the module in the label; NULL when it is not a module of the schema"},
    {"first_layer", Type::kInteger, "the first layer that it holds, from 0"},
    {"layers", Type::kInteger, "how many layers it holds"},
    {"start", Type::kInteger, "position of its first token"},
    {"tokens", Type::kInteger, "how many tokens it holds"},
    {"dtype", Type::kText, "of K and V"},
    {"tier", Type::kText, "gpu when it is on a device, cpu when it is in memory, else disk"},
    {"bytes", Type::kInteger, "its bytes, header included"},
};

constexpr SystemColumn kChatColumns[] = {
    {"name", Type::kText, "the chat's name"},
    {"schema", Type::kText, "the schema that it began with"},
    {"model", Type::kText, "the model of that schema"},
    {"turns", Type::kInteger, "how often it was continued"},
    {"tokens", Type::kInteger, "tokens it has come to"},
    {"cached_bytes", Type::kInteger, "of the states that its next turn takes from the cache"},
    {"created", Type::kText, "when it began (UTC)"},
    {"last_used", Type::kText, "when it was last continued (UTC)"},
};

constexpr SystemColumn kConnectionColumns[] = {
    {"id", Type::kInteger, "its number, which a CancelRequest names"},
    {"user", Type::kText, "who has connected"},
    {"client", Type::kText, "address and port of the client"},
    {"application", Type::kText, "what the client calls itself"},
    {"protocol", Type::kText, "postgresql or http"},
    {"tls", Type::kBoolean, "whether it is encrypted"},
    {"state", Type::kText, "idle, waiting (for a worker) or active"},
    {"statement", Type::kText, "first words of what runs or waits; NULL when idle"},
    {"since", Type::kText, "since when it is in this state (UTC)"},
};

constexpr SystemColumn kUserColumns[] = {
    {"name", Type::kText, "the user's name"},
    {"admin", Type::kBoolean, "whether the user may do everything"},
    {"disabled", Type::kBoolean, "whether the user may do nothing for now"},
    {"password", Type::kBoolean, "whether there is one to log in by"},
    {"keys", Type::kInteger, "how many keys HTTP clients may show"},
    {"tokens_per_day", Type::kInteger, "most tokens to compute on a day (UTC); NULL: no limit"},
    {"tokens_today", Type::kInteger, "tokens computed today"},
    {"state_bytes", Type::kInteger, "most bytes of stored states; NULL: no limit"},
    {"stored_bytes", Type::kInteger, "bytes of stored states that hold the user's own words"},
    {"created", Type::kText, "when the user was created (UTC)"},
};

constexpr SystemColumn kGrantColumns[] = {
    {"object", Type::kText, "database, model or schema"},
    {"name", Type::kText, "the model's or schema's name; NULL for the database"},
    {"user", Type::kText, "who has the right; public: everybody"},
    {"privilege", Type::kText, "owner, admin, usage or create"},
};

constexpr SystemColumn kKeyColumns[] = {
    {"user", Type::kText, "whose key it is"},
    {"name", Type::kText, "what ADD KEY called it"},
    {"created", Type::kText, "when it was made (UTC)"},
};

constexpr SystemColumn kAccuracyColumns[] = {
    {"model", Type::kText, "the model that was measured"},
    {"mode", Type::kText,
     "none, exact, modular; portable: modular, of a portable schema; scaffold: modular, with one "
     "over all documents"},
    {"kv_dtype", Type::kText, "of the attention states"},
    {"questions", Type::kInteger, "how many were answered, or texts read"},
    {"exact_match", Type::kReal, "percentage of right answers; NULL of texts"},
    {"f1", Type::kReal, "mean F1 of the answers' words, in percent"},
    {"rouge_l", Type::kReal, "mean ROUGE-L of the answers, in percent"},
    {"kl", Type::kReal, "mean KL divergence from reuse = none with f32 states, in nats"},
    {"first_kl", Type::kReal, "the same of first tokens alone"},
    {"perplexity", Type::kReal, "of texts; NULL of answers"},
    {"source", Type::kText, "what it was measured with"},
    {"measured", Type::kText, "when (UTC)"},
    {"current", Type::kBoolean,
     "whether the model is still the same; NULL when it can't be opened"},
};

constexpr SystemColumn kStatColumns[] = {
    {"name", Type::kText, "what is counted"},
    {"value", Type::kInteger, "its count now"},
    {"meaning", Type::kText, "what the count says"},
};

constexpr SystemColumn kSettingColumns[] = {
    {"name", Type::kText, "what SET calls it"},
    {"value", Type::kText, "its value in this session"},
    {"meaning", Type::kText, "what it does"},
};

constexpr SystemColumn kTableColumns[] = {
    {"name", Type::kText, "the table's name"},
    {"columns", Type::kInteger, "how many columns it has"},
    {"meaning", Type::kText, "what a row of it is"},
};

constexpr SystemColumn kColumnColumns[] = {
    {"table", Type::kText, "the table that it belongs to"},
    {"position", Type::kInteger, "its place in SELECT *, from 1"},
    {"name", Type::kText, "the column's name"},
    {"type", Type::kText, "text, integer, real or boolean"},
    {"meaning", Type::kText, "what it says"},
};

constexpr SystemTable kTables[] = {
    {SystemTable::Id::kModels, "pc_models", "models of the catalog", kModelColumns},
    {SystemTable::Id::kSchemas, "pc_schemas", "schemas of the catalog", kSchemaColumns},
    {SystemTable::Id::kModules, "pc_modules", "modules, and what of them is cached", kModuleColumns,
     true},
    {SystemTable::Id::kStates, "pc_states", "attention states that are cached", kStateColumns},
    {SystemTable::Id::kBlocks, "pc_blocks", "the blocks that cached states are cut into",
     kBlockColumns},
    {SystemTable::Id::kChats, "pc_chats", "chats that are open", kChatColumns},
    {SystemTable::Id::kConnections, "pc_connections", "connections of a server's clients",
     kConnectionColumns},
    {SystemTable::Id::kUsers, "pc_users", "users, their quotas, and what they have used of them",
     kUserColumns},
    {SystemTable::Id::kGrants, "pc_grants", "who owns and who may do what", kGrantColumns},
    {SystemTable::Id::kKeys, "pc_keys", "API keys, of which nobody knows more than these names",
     kKeyColumns},
    {SystemTable::Id::kAccuracy, "pc_accuracy", "what ANALYZE MODEL measured", kAccuracyColumns},
    {SystemTable::Id::kStats, "pc_stats",
     "what the cache holds, and has done since the database was opened", kStatColumns},
    {SystemTable::Id::kSettings, "pc_settings", "settings of this session", kSettingColumns},
    {SystemTable::Id::kTables, "pc_tables", "these tables", kTableColumns},
    {SystemTable::Id::kColumns, "pc_columns", "the columns of these tables", kColumnColumns},
};

}  // namespace

int SystemTable::FindColumn(std::string_view column) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) return static_cast<int>(i);
  }
  return -1;
}

std::span<const SystemTable> SystemTables() { return kTables; }

const SystemTable& SystemTableOf(SystemTable::Id id) {
  for (const SystemTable& table : kTables) {
    if (table.id == id) return table;
  }
  Check(false, "every system table is described");
  return kTables[0];
}

}  // namespace promptdb
