#include <algorithm>

#include "executor/accuracy_rows.h"
#include "executor/schema_coverage.h"
#include "executor/statements.h"
#include "executor/system_tables.h"
#include "parser/parser.h"
#include "planner/module_path.h"
#include "planner/planner.h"

namespace promptdb {

namespace {

using Type = Column::Type;

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

// ---- SHOW --------------------------------------------------------------------------------------

// What a SHOW lists: columns of a system table, and what it calls them if not by their names.
struct ShownColumn {
  std::string_view column;
  std::string_view shown = column;
};

struct ShowForm {
  SystemTable::Id table;
  std::vector<ShownColumn> columns;
};

ShowForm FormOf(ast::Show::What what) {
  using Id = SystemTable::Id;
  switch (what) {
    case ast::Show::What::kModels:
      return {Id::kModels,
              {{"name"},
               {"architecture"},
               {"parameters"},
               {"context"},
               {"dtype"},
               {"kv_dtype"},
               {"path"}}};
    case ast::Show::What::kSchemas:
      return {Id::kSchemas, {{"name"}, {"model"}, {"modules"}, {"created"}}};
    case ast::Show::What::kModules:
      return {Id::kModules,
              {{"schema"}, {"module"}, {"tokens"}, {"start"}, {"length"}, {"tier"}, {"bytes"}}};
    case ast::Show::What::kCache:
      return {Id::kStates,
              {{"label", "state"},
               {"tokens"},
               {"start"},
               {"dtype", "kv_dtype"},
               {"tier"},
               {"bytes"},
               {"cpu_bytes"},
               {"gpu_bytes"},
               {"encode_ms"},
               {"created"}}};
    case ast::Show::What::kStats:
      return {Id::kStats, {{"name"}, {"value"}}};
    case ast::Show::What::kSettings:
      return {Id::kSettings, {{"name"}, {"value"}, {"meaning"}}};
    case ast::Show::What::kChats:
      return {Id::kChats,
              {{"name"},
               {"schema"},
               {"model"},
               {"turns"},
               {"tokens"},
               {"cached_bytes"},
               {"created"},
               {"last_used"}}};
    case ast::Show::What::kConnections:
      return {Id::kConnections,
              {{"id"},
               {"user"},
               {"client"},
               {"application"},
               {"protocol"},
               {"tls"},
               {"state"},
               {"statement"},
               {"since"}}};
    case ast::Show::What::kUsers:
      return {Id::kUsers,
              {{"name"},
               {"admin"},
               {"disabled"},
               {"password"},
               {"keys"},
               {"tokens_per_day"},
               {"tokens_today"},
               {"state_bytes"},
               {"stored_bytes"}}};
    case ast::Show::What::kGrants:
      return {Id::kGrants, {{"object"}, {"name"}, {"user"}, {"privilege"}}};
    case ast::Show::What::kKeys:
      return {Id::kKeys, {{"user"}, {"name"}, {"created"}}};
  }
  return {};
}

Column ColumnOf(const SystemTable& table, const ShownColumn& shown) {
  const auto place = static_cast<size_t>(table.FindColumn(shown.column));
  return {std::string(shown.shown), table.columns[place].type};
}

// ---- DESCRIBE ----------------------------------------------------------------------------------

std::vector<Column> PropertyColumns() {
  return {{"property", Type::kText}, {"value", Type::kText}};
}

std::vector<Column> PartColumns() {
  return {{"part", Type::kText},      {"kind", Type::kText},      {"start", Type::kInteger},
          {"length", Type::kInteger}, {"tokens", Type::kInteger}, {"tier", Type::kText}};
}

// Rows of a name and a value.
class PropertyRows {
 public:
  explicit PropertyRows(ResultSink& sink) : sink_(sink) { sink.OnColumns(PropertyColumns()); }
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

void AddAccuracy(const ModelAccuracy& accuracy, const OpenModel& model, PropertyRows& rows) {
  const std::string when = FormatTime(accuracy.measured_at);
  if (accuracy.fingerprint != model.fingerprint()) {
    rows.Add("accuracy", "was measured before the model changed, " + when + "; ANALYZE MODEL " +
                             QuoteName(accuracy.model) + " measures it again");
    return;
  }
  const int64_t questions = accuracy.rows.empty() ? 0 : accuracy.rows.front().questions;
  rows.Add("accuracy", accuracy.source + " (" + std::to_string(questions) + "), " + when);
  for (const AccuracyRow& row : accuracy.rows) {
    rows.Add("accuracy_" + row.mode, AccuracySummary(row));
  }
}

int64_t DescribeModel(const ast::Name& name, Database::Rep& database, ResultSink& sink) {
  const ModelDefinition definition = database.FindModel(name);
  const std::shared_ptr<const OpenModel> model = database.Open(definition, name.range, sink);
  const ModelConfig& config = model->config();
  PropertyRows rows(sink);
  rows.Add("name", definition.name);
  rows.Add("path", definition.path);
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
  if (config.sliding_window > 0) rows.Add("sliding_window", config.sliding_window);
  rows.Add("dtype", std::string(model->dtype_in_memory()));
  rows.Add("kv_dtype", std::string(KvDtypeName(model->kv_shape().dtype)));
  rows.Add("kv_bytes_per_token", model->kv_shape().BytesPerToken());
  rows.Add("device", definition.device);
  const ChatTemplate& chat = model->chat_template();
  rows.Add("chat_template", chat.name());
  rows.Add("system_words", ShownWords(chat.words().system));
  rows.Add("user_words", ShownWords(chat.words().user));
  rows.Add("assistant_words", ShownWords(chat.words().assistant));
  rows.Add("answer_words", OnOneLine(chat.opening()));
  for (const std::string& note : model->definition().chat_notes) rows.Add("chat_note", note);
  rows.Add("digest", model->definition().content_digest);
  if (const auto accuracy = database.catalog.FindAccuracy(definition.name)) {
    AddAccuracy(*accuracy, *model, rows);
  }
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
  sink.OnColumns(PartColumns());
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
  const std::vector<NamedModule> modules = ListModules(schema->definition.parts);
  const PartDefinition& definition =
      *std::find_if(modules.begin(), modules.end(), [&](const NamedModule& candidate) {
         return candidate.path == module;
       })->part;
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

std::vector<Column> ShowColumns(const ast::Show& statement) {
  const ShowForm form = FormOf(statement.what);
  std::vector<Column> columns;
  for (const ShownColumn& shown : form.columns) {
    columns.push_back(ColumnOf(SystemTableOf(form.table), shown));
  }
  return columns;
}

std::vector<Column> DescribeColumns(const ast::Describe& statement) {
  return statement.what == ast::Describe::What::kSchema ? PartColumns() : PropertyColumns();
}

std::string RunShow(const ast::Show& statement, Database::Rep& database, const Settings& settings,
                    const Access& access, ResultSink& sink) {
  const ShowForm form = FormOf(statement.what);
  const SystemTable& table = SystemTableOf(form.table);
  std::vector<size_t> places;
  for (const ShownColumn& shown : form.columns) {
    places.push_back(static_cast<size_t>(table.FindColumn(shown.column)));
  }
  const SystemTableSource source{database, settings, access, sink};
  const std::vector<Row> rows = statement.from_schema
                                    ? ModuleRowsOf(*statement.from_schema, source)
                                    : SystemTableRows(form.table, std::nullopt, source);
  sink.OnColumns(ShowColumns(statement));
  for (const Row& row : rows) {
    Row shown;
    shown.reserve(places.size());
    for (const size_t place : places) shown.push_back(row[place]);
    sink.OnRow(shown);
  }
  return "SHOW " + std::to_string(rows.size());
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
