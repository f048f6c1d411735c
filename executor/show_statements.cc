#include <algorithm>
#include <ctime>

#include "base/nearest_name.h"
#include "executor/statements.h"
#include "parser/parser.h"
#include "planner/module_path.h"
#include "planner/planner.h"
#include "planner/schema_states.h"

namespace promptdb {

namespace {

using Type = Column::Type;

std::string FormatTime(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm utc{};
  gmtime_r(&time, &utc);
  char buffer[32];
  std::strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M:%S", &utc);
  return buffer;
}

std::string_view KindName(PartDefinition::Kind kind) {
  switch (kind) {
    case PartDefinition::Kind::kText:
      return "text";
    case PartDefinition::Kind::kModule:
      return "module";
    case PartDefinition::Kind::kUnion:
      return "union";
    case PartDefinition::Kind::kRole:
      return "role";
  }
  return "";
}

// The states of a schema's prompts, and their keys.
struct KeyedStates {
  explicit KeyedStates(const OpenSchema& schema)
      : states(ListStates(schema.definition, schema.layout)),
        keys(ComputeSegmentKeys(states.prompt.segments, schema.model->fingerprint())) {}

  SchemaStates states;
  std::vector<SegmentKeys> keys;  // by segment: first the atoms'
};

// What is cached of the atoms of a part and, for a module, of the parts in it.
struct Coverage {
  int tokens = 0;
  int64_t bytes = 0;
  bool is_whole = true;         // every atom is on disk
  bool is_whole_in_cpu = true;  // and in memory
  void Add(const Coverage& other) {
    tokens += other.tokens;
    bytes += other.bytes;
    is_whole = is_whole && other.is_whole;
    is_whole_in_cpu = is_whole_in_cpu && other.is_whole_in_cpu;
  }
  std::string_view tier() const {
    return TierName(!is_whole ? Tier::kMiss : is_whole_in_cpu ? Tier::kCpu : Tier::kDisk);
  }
};

Coverage Cover(const std::vector<int>& segments, const KeyedStates& keyed,
               const StateCache& cache) {
  Coverage coverage;
  for (const int segment : segments) {
    const auto index = static_cast<size_t>(segment);
    const StateInfo info = cache.Probe(keyed.keys[index].key);
    coverage.Add({static_cast<int>(keyed.states.prompt.segments[index].tokens.size()), info.bytes,
                  info.tier != Tier::kMiss, info.tier == Tier::kCpu});
  }
  return coverage;
}

Coverage Cover(const LaidOutPart& part, const KeyedStates& keyed, const StateCache& cache) {
  Coverage coverage = Cover(part.atoms, keyed, cache);
  for (const LaidOutPart& child : part.children) coverage.Add(Cover(child, keyed, cache));
  return coverage;
}

// ---- SHOW --------------------------------------------------------------------------------------

int64_t ShowModels(Database::Rep& database, ResultSink& sink) {
  sink.OnColumns({{"name", Type::kText},
                  {"architecture", Type::kText},
                  {"parameters", Type::kInteger},
                  {"context", Type::kInteger},
                  {"dtype", Type::kText},
                  {"kv_dtype", Type::kText},
                  {"path", Type::kText}});
  const std::vector<ModelDefinition> models = database.catalog.Models();
  for (const ModelDefinition& model : models) {
    sink.OnRow({model.name, model.architecture, model.parameters, int64_t{model.context_length},
                model.dtype, model.kv_dtype, model.path});
  }
  return static_cast<int64_t>(models.size());
}

void CountModules(const std::vector<PartDefinition>& parts, int64_t& modules) {
  for (const PartDefinition& part : parts) {
    if (part.kind == PartDefinition::Kind::kModule) ++modules;
    CountModules(part.children, modules);
  }
}

int64_t ShowSchemas(Database::Rep& database, ResultSink& sink) {
  sink.OnColumns({{"name", Type::kText},
                  {"model", Type::kText},
                  {"modules", Type::kInteger},
                  {"created", Type::kText}});
  const std::vector<SchemaDefinition> schemas = database.catalog.Schemas();
  for (const SchemaDefinition& schema : schemas) {
    int64_t modules = 0;
    CountModules(schema.parts, modules);
    sink.OnRow({schema.name, schema.model, modules, FormatTime(schema.created_at)});
  }
  return static_cast<int64_t>(schemas.size());
}

void ShowModulesIn(const std::vector<LaidOutPart>& parts, const OpenSchema& schema,
                   const KeyedStates& keyed, const StateCache& cache, int64_t& rows,
                   ResultSink& sink) {
  for (const LaidOutPart& part : parts) {
    if (part.kind == PartDefinition::Kind::kModule) {
      const Coverage coverage = Cover(part, keyed, cache);
      sink.OnRow({schema.definition.name, part.path, int64_t{coverage.tokens}, int64_t{part.start},
                  int64_t{part.reserved}, std::string(coverage.tier()), coverage.bytes});
      ++rows;
    }
    ShowModulesIn(part.children, schema, keyed, cache, rows, sink);
  }
}

int64_t ShowModules(const ast::Show& statement, Database::Rep& database, ResultSink& sink) {
  std::vector<ast::Name> names;
  if (statement.from_schema) {
    names.push_back(*statement.from_schema);
  } else {
    for (const std::string& name : database.SchemaNames()) names.push_back({name, {}});
  }
  std::vector<std::shared_ptr<const OpenSchema>> schemas;
  schemas.reserve(names.size());
  for (const ast::Name& name : names) schemas.push_back(database.Open(name, sink));
  sink.OnColumns({{"schema", Type::kText},
                  {"module", Type::kText},
                  {"tokens", Type::kInteger},
                  {"start", Type::kInteger},
                  {"length", Type::kInteger},
                  {"tier", Type::kText},
                  {"bytes", Type::kInteger}});
  int64_t rows = 0;
  for (const auto& schema : schemas) {
    ShowModulesIn(schema->layout.parts, *schema, KeyedStates(*schema), database.cache, rows, sink);
  }
  return rows;
}

int64_t ShowCache(Database::Rep& database, ResultSink& sink) {
  sink.OnColumns({{"state", Type::kText},
                  {"tokens", Type::kInteger},
                  {"start", Type::kInteger},
                  {"kv_dtype", Type::kText},
                  {"tier", Type::kText},
                  {"bytes", Type::kInteger},
                  {"cpu_bytes", Type::kInteger},
                  {"encode_ms", Type::kReal},
                  {"created", Type::kText}});
  std::vector<StateManifest> states = database.cache.List();
  std::sort(states.begin(), states.end(), [](const StateManifest& a, const StateManifest& b) {
    return std::tie(a.label, a.created_at, a.key) < std::tie(b.label, b.created_at, b.key);
  });
  for (const StateManifest& state : states) {
    const StateInfo info = database.cache.Probe(state.key);
    sink.OnRow({state.label, int64_t{state.tokens}, int64_t{state.start_position},
                std::string(KvDtypeName(state.shape.dtype)), std::string(TierName(info.tier)),
                info.bytes, info.cpu_bytes, state.encode_ms, FormatTime(state.created_at)});
  }
  return static_cast<int64_t>(states.size());
}

int64_t ShowStats(Database::Rep& database, ResultSink& sink) {
  const StateCacheStats cache = database.cache.stats();
  const BufferPoolStats pool = database.pool.stats();
  const std::vector<std::pair<std::string, int64_t>> rows = {
      {"states", cache.states},
      {"disk_bytes", cache.disk_bytes},
      {"cpu_cache_bytes", pool.budget_bytes},
      {"cpu_bytes", pool.used_bytes},
      {"cpu_pinned_bytes", pool.pinned_bytes},
      {"cpu_blocks", pool.blocks},
      {"cpu_hits", cache.cpu_hits},
      {"disk_hits", cache.disk_hits},
      {"misses", cache.misses},
      {"evicted_blocks", pool.evictions},
      {"rejected_blocks", pool.rejected},
      {"states_written", cache.writes},
      {"bytes_written", cache.written_bytes},
      {"bytes_read", cache.read_bytes},
      {"corrupt_states", cache.corrupt},
  };
  sink.OnColumns({{"name", Type::kText}, {"value", Type::kInteger}});
  for (const auto& [name, value] : rows) sink.OnRow({name, value});
  return static_cast<int64_t>(rows.size());
}

int64_t ShowSettings(const Settings& settings, ResultSink& sink) {
  sink.OnColumns({{"name", Type::kText}, {"value", Type::kText}, {"meaning", Type::kText}});
  const std::vector<Settings::Row> rows = settings.Rows();
  for (const Settings::Row& row : rows) sink.OnRow({row.name, row.value, row.meaning});
  return static_cast<int64_t>(rows.size());
}

// ---- DESCRIBE ----------------------------------------------------------------------------------

// Rows of a name and a value.
class PropertyRows {
 public:
  explicit PropertyRows(ResultSink& sink) : sink_(sink) {
    sink.OnColumns({{"property", Type::kText}, {"value", Type::kText}});
  }
  void Add(std::string name, std::string value) {
    sink_.OnRow({std::move(name), std::move(value)});
    ++rows_;
  }
  void Add(std::string name, int64_t value) { Add(std::move(name), std::to_string(value)); }
  int64_t rows() const { return rows_; }

 private:
  ResultSink& sink_;
  int64_t rows_ = 0;
};

std::string OnOneLine(std::string_view text) {
  std::string line;
  for (const char c : text) line += c == '\n' ? "\\n" : std::string(1, c);
  return line;
}

std::string ShownWords(const RoleWords& words) {
  return words == RoleWords() ? "" : OnOneLine(words.before) + "…" + OnOneLine(words.after);
}

int64_t DescribeModel(const ast::Name& name, Database::Rep& database, ResultSink& sink) {
  const auto definition = database.catalog.FindModel(name.text);
  if (!definition) {
    throw Error(ErrorCode::kUnknownName, "model \"" + name.text + "\" does not exist",
                DidYouMean(name.text, database.ModelNames()), name.range);
  }
  const std::shared_ptr<const OpenModel> model = database.Open(*definition, name.range, sink);
  const ModelConfig& config = model->config();
  PropertyRows rows(sink);
  rows.Add("name", definition->name);
  rows.Add("path", definition->path);
  rows.Add("architecture", config.architecture);
  rows.Add("parameters", model->definition().parameters);
  rows.Add("layers", config.layers);
  rows.Add("dim", config.dim);
  rows.Add("hidden", config.hidden);
  rows.Add("heads", config.heads);
  rows.Add("kv_heads", config.kv_heads);
  rows.Add("head_dim", config.head_dim);
  rows.Add("vocabulary", config.vocab);
  rows.Add("context", config.context_length);
  rows.Add("dtype", model->weight_dtype() == WeightDtype::kBf16 ? "bf16" : "f32");
  rows.Add("kv_dtype", std::string(KvDtypeName(model->kv_shape().dtype)));
  rows.Add("kv_bytes_per_token", model->kv_shape().BytesPerToken());
  const ChatTemplate& chat = model->chat_template();
  rows.Add("chat_template", chat.name());
  rows.Add("system_words", ShownWords(chat.words().system));
  rows.Add("user_words", ShownWords(chat.words().user));
  rows.Add("assistant_words", ShownWords(chat.words().assistant));
  rows.Add("answer_words", OnOneLine(chat.opening()));
  for (const std::string& note : model->definition().chat_notes) rows.Add("chat_note", note);
  rows.Add("digest", model->definition().content_digest);
  return rows.rows();
}

void DescribeParts(const std::vector<LaidOutPart>& parts, int depth, const OpenSchema& schema,
                   const KeyedStates& keyed, const StateCache& cache, int64_t& rows,
                   ResultSink& sink) {
  for (const LaidOutPart& part : parts) {
    const Coverage coverage = Cover(part, keyed, cache);
    std::string name(static_cast<size_t>(depth) * 2, ' ');
    if (!part.name.empty()) {
      name += part.name;
    } else if (!part.atoms.empty()) {
      name += schema.layout.atoms[static_cast<size_t>(part.atoms.front())].label;
    } else {
      name += part.kind == PartDefinition::Kind::kRole ? "(role)" : "(text)";
    }
    const std::string kind(part.kind == PartDefinition::Kind::kRole ? ChatRoleName(part.role)
                                                                    : KindName(part.kind));
    sink.OnRow({name, kind, int64_t{part.start}, int64_t{part.reserved}, int64_t{coverage.tokens},
                std::string(coverage.tier())});
    ++rows;
    DescribeParts(part.children, depth + 1, schema, keyed, cache, rows, sink);
  }
}

std::string Joined(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ", ") + name;
  return joined;
}

int64_t DescribeSchema(const ast::Name& name, Database::Rep& database, ResultSink& sink) {
  const auto schema = database.Open(name, sink);
  sink.OnColumns({{"part", Type::kText},
                  {"kind", Type::kText},
                  {"start", Type::kInteger},
                  {"length", Type::kInteger},
                  {"tokens", Type::kInteger},
                  {"tier", Type::kText}});
  int64_t rows = 0;
  const KeyedStates keyed(*schema);
  DescribeParts(schema->layout.parts, 0, *schema, keyed, database.cache, rows, sink);
  // A scaffold has the place from its first member to its last, and states of its own.
  for (size_t i = 0; i < schema->layout.scaffolds.size(); ++i) {
    const LaidOutScaffold& scaffold = schema->layout.scaffolds[i];
    if (scaffold.atoms.empty()) continue;  // members without texts of their own
    const Coverage coverage = Cover(keyed.states.scaffolds[i], keyed, database.cache);
    const int start = schema->layout.atoms[static_cast<size_t>(scaffold.atoms.front())].start;
    const int end = schema->layout.atoms[static_cast<size_t>(scaffold.atoms.back())].end();
    sink.OnRow({scaffold.name + " (" + Joined(scaffold.members) + ")", std::string("scaffold"),
                int64_t{start}, int64_t{end - start}, int64_t{coverage.tokens},
                std::string(coverage.tier())});
    ++rows;
  }
  return rows;
}

const PartDefinition* FindDefinition(const std::vector<PartDefinition>& parts,
                                     const std::string& around, const std::string& path) {
  for (const PartDefinition& part : parts) {
    std::string inside = around;
    if (part.kind == PartDefinition::Kind::kModule) {
      inside = around.empty() ? part.name : around + "." + part.name;
      if (inside == path) return &part;
    }
    if (const PartDefinition* found = FindDefinition(part.children, inside, path)) return found;
  }
  return nullptr;
}

int64_t DescribeModule(const std::vector<ast::Name>& path, Database::Rep& database,
                       ResultSink& sink) {
  if (path.size() < 2) {
    throw Error(ErrorCode::kInvalidArgument, "a module is named schema.module",
                "Write DESCRIBE MODULE schema." + QuoteName(path.front().text) + ".",
                path.front().range);
  }
  const auto schema = database.Open(path.front(), sink);
  const std::string module =
      ResolveModule({path.begin() + 1, path.end()}, ModulePaths(schema->definition.parts),
                    schema->definition.name);
  const LaidOutPart& part = *schema->layout.FindModule(module);
  const PartDefinition& definition = *FindDefinition(schema->definition.parts, "", module);
  const KeyedStates keyed(*schema);
  const Coverage coverage = Cover(part, keyed, database.cache);
  PropertyRows rows(sink);
  rows.Add("schema", schema->definition.name);
  rows.Add("module", module);
  rows.Add("model", schema->definition.model);
  rows.Add("tokens", coverage.tokens);
  rows.Add("start", part.start);
  rows.Add("length", part.reserved);
  rows.Add("tier", std::string(coverage.tier()));
  rows.Add("bytes", coverage.bytes);
  if (!part.atoms.empty()) {
    const auto atom = static_cast<size_t>(part.atoms.front());
    rows.Add("state", keyed.keys[atom].key.ToHex());
    if (const auto manifest = database.cache.Manifest(keyed.keys[atom].key)) {
      rows.Add("encoded", FormatTime(manifest->created_at));
    }
  }
  if (!definition.source_file.empty()) rows.Add("file", definition.source_file);
  if (definition.children.empty()) rows.Add("text", definition.text);
  return rows.rows();
}

}  // namespace

std::string RunShow(const ast::Show& statement, Database::Rep& database, const Settings& settings,
                    ResultSink& sink) {
  int64_t rows = 0;
  switch (statement.what) {
    case ast::Show::What::kModels:
      rows = ShowModels(database, sink);
      break;
    case ast::Show::What::kSchemas:
      rows = ShowSchemas(database, sink);
      break;
    case ast::Show::What::kModules:
      rows = ShowModules(statement, database, sink);
      break;
    case ast::Show::What::kCache:
      rows = ShowCache(database, sink);
      break;
    case ast::Show::What::kStats:
      rows = ShowStats(database, sink);
      break;
    case ast::Show::What::kSettings:
      rows = ShowSettings(settings, sink);
      break;
    case ast::Show::What::kChats:
      throw Error(ErrorCode::kUnsupported,
                  "SHOW CHATS is PromptQL, but has no meaning in this release yet");
  }
  return "SHOW " + std::to_string(rows);
}

std::string RunDescribe(const ast::Describe& statement, Database::Rep& database, ResultSink& sink) {
  int64_t rows = 0;
  switch (statement.what) {
    case ast::Describe::What::kModel:
      rows = DescribeModel(statement.path.front(), database, sink);
      break;
    case ast::Describe::What::kSchema:
      rows = DescribeSchema(statement.path.front(), database, sink);
      break;
    case ast::Describe::What::kModule:
      rows = DescribeModule(statement.path, database, sink);
      break;
  }
  return "DESCRIBE " + std::to_string(rows);
}

}  // namespace promptdb
