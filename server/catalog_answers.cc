#include "server/catalog_answers.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/text_place.h"
#include "executor/relational_operators.h"
#include "parser/parser.h"
#include "planner/prepared_query.h"
#include "planner/relational_binder.h"
#include "planner/system_catalog.h"
#include "server/catalog_listing.h"
#include "server/jdbc_answers.h"

namespace promptdb {

namespace {

using Type = Column::Type;

constexpr int64_t kNamespaceOid = 2200;
constexpr int64_t kFirstTableOid = 16384;

// ---- Virtual tables ----------------------------------------------------------------------------

constexpr SystemColumn kSchemata[] = {{"catalog_name", Type::kText, ""},
                                      {"schema_name", Type::kText, ""},
                                      {"schema_owner", Type::kText, ""}};
constexpr SystemColumn kInformationTables[] = {{"table_catalog", Type::kText, ""},
                                               {"table_schema", Type::kText, ""},
                                               {"table_name", Type::kText, ""},
                                               {"table_type", Type::kText, ""},
                                               {"is_insertable_into", Type::kText, ""}};
constexpr SystemColumn kInformationColumns[] = {{"table_catalog", Type::kText, ""},
                                                {"table_schema", Type::kText, ""},
                                                {"table_name", Type::kText, ""},
                                                {"column_name", Type::kText, ""},
                                                {"ordinal_position", Type::kInteger, ""},
                                                {"column_default", Type::kText, ""},
                                                {"is_nullable", Type::kText, ""},
                                                {"data_type", Type::kText, ""},
                                                {"udt_name", Type::kText, ""}};
constexpr SystemColumn kDatabases[] = {{"oid", Type::kInteger, ""},
                                       {"datname", Type::kText, ""},
                                       {"datallowconn", Type::kBoolean, ""},
                                       {"datistemplate", Type::kBoolean, ""}};
constexpr SystemColumn kNamespaces[] = {{"oid", Type::kInteger, ""}, {"nspname", Type::kText, ""}};
constexpr SystemColumn kClasses[] = {{"oid", Type::kInteger, ""},
                                     {"relname", Type::kText, ""},
                                     {"relnamespace", Type::kInteger, ""},
                                     {"relkind", Type::kText, ""}};
constexpr SystemColumn kPgTables[] = {{"schemaname", Type::kText, ""},
                                      {"tablename", Type::kText, ""},
                                      {"tableowner", Type::kText, ""}};
constexpr SystemColumn kRoles[] = {{"rolname", Type::kText, ""},
                                   {"rolsuper", Type::kBoolean, ""},
                                   {"rolcanlogin", Type::kBoolean, ""}};
constexpr SystemColumn kTypes[] = {{"oid", Type::kInteger, ""},
                                   {"typname", Type::kText, ""},
                                   {"typlen", Type::kInteger, ""},
                                   {"typtype", Type::kText, ""}};
constexpr SystemColumn kPgSettings[] = {{"name", Type::kText, ""}, {"setting", Type::kText, ""}};

// The engine's relational plans know tables by their names only; the identifiers are not used.
constexpr SystemTable::Id kNoId = SystemTable::Id::kTables;
constexpr SystemTable kVirtualTables[] = {
    {kNoId, "pc_information_schema_schemata", "", kSchemata},
    {kNoId, "pc_information_schema_tables", "", kInformationTables},
    {kNoId, "pc_information_schema_columns", "", kInformationColumns},
    {kNoId, "pc_pg_database", "", kDatabases},
    {kNoId, "pc_pg_namespace", "", kNamespaces},
    {kNoId, "pc_pg_class", "", kClasses},
    {kNoId, "pc_pg_tables", "", kPgTables},
    {kNoId, "pc_pg_roles", "", kRoles},
    {kNoId, "pc_pg_type", "", kTypes},
    {kNoId, "pc_pg_settings", "", kPgSettings},
};

std::vector<Row> VirtualRows(std::string_view table, const CatalogView& view) {
  std::vector<Row> rows;
  const auto each_table = [&](const std::function<void(int64_t, const SystemTable&)>& add) {
    int64_t id = kFirstTableOid;
    for (const SystemTable& known : SystemTables()) add(id++, known);
  };
  if (table == "pc_information_schema_schemata" || table == "pc_pg_namespace") {
    int64_t id = kNamespaceOid;
    std::vector<std::string> names = {Text(kNamespace)};
    names.insert(names.end(), view.prompt_schemas.begin(), view.prompt_schemas.end());
    for (const std::string& name : names) {
      if (table == "pc_pg_namespace") {
        rows.push_back({id++, name});
      } else {
        rows.push_back({view.database, name, view.user});
      }
    }
  } else if (table == "pc_information_schema_tables") {
    each_table([&](int64_t, const SystemTable& known) {
      rows.push_back(
          {view.database, Text(kNamespace), Text(known.name), Text("BASE TABLE"), Text("NO")});
    });
  } else if (table == "pc_information_schema_columns") {
    each_table([&](int64_t, const SystemTable& known) {
      int64_t position = 0;
      for (const SystemColumn& column : known.columns) {
        rows.push_back({view.database, Text(kNamespace), Text(known.name), Text(column.name),
                        ++position, Value(), Text("YES"), PostgresType(column.type),
                        Text(InternalType(column.type))});
      }
    });
  } else if (table == "pc_pg_database") {
    rows.push_back({int64_t{5}, view.database, true, false});
  } else if (table == "pc_pg_class") {
    each_table([&](int64_t id, const SystemTable& known) {
      rows.push_back({id, Text(known.name), kNamespaceOid, Text("r")});
    });
  } else if (table == "pc_pg_tables") {
    each_table([&](int64_t, const SystemTable& known) {
      rows.push_back({Text(kNamespace), Text(known.name), view.user});
    });
  } else if (table == "pc_pg_roles") {
    for (const CatalogView::Role& user : view.users) {
      rows.push_back({user.name, user.is_admin, user.can_log_in});
    }
  } else if (table == "pc_pg_type") {
    rows = {{int64_t{16}, Text("bool"), int64_t{1}, Text("b")},
            {int64_t{20}, Text("int8"), int64_t{8}, Text("b")},
            {int64_t{25}, Text("text"), int64_t{-1}, Text("b")},
            {int64_t{701}, Text("float8"), int64_t{8}, Text("b")}};
  } else if (table == "pc_pg_settings") {
    for (const auto& [name, setting] : view.parameters) rows.push_back({name, setting});
  }
  return rows;
}

class NoProgress : public ProgressListener {
 public:
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool IsCanceled() const override { return false; }
};

[[noreturn]] void Refuse(std::string_view what) {
  throw Error(ErrorCode::kUnsupported,
              "this query of PostgreSQL's catalog is not known here: " + std::string(what),
              "SELECT * FROM pc_tables lists PromptDB's own; SELECTs of one table of "
              "information_schema (tables, columns, schemata) are answered.");
}

// The table of the catalog that a FROM names, as one of kVirtualTables; where it stands.
struct CatalogTable {
  std::string shown;
  std::string name;
  size_t at = 0;   // index of the first token of the name
  size_t end = 0;  // and behind its last
};

std::optional<CatalogTable> FindCatalogTable(const Tokens& tokens) {
  int depth = 0;  // of parentheses
  // A query within the query is not what it is about, unless that is all that it is: FROM (SELECT
  // …).
  int own_depth = 0;
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (tokens[i].Is("(")) {
      const bool is_query = i + 1 < tokens.size() && tokens[i + 1].Is("select");
      if (is_query && depth == own_depth && tokens[i - 1].Is("from")) ++own_depth;
      ++depth;
    }
    if (tokens[i].Is(")")) --depth;
    if (depth > own_depth) continue;
    if (!tokens[i - 1].Is("from") && !tokens[i - 1].Is("join")) continue;
    const bool is_qualified = i + 2 < tokens.size() && tokens[i + 1].Is(".");
    if (is_qualified && (tokens[i].Is("pg_catalog") || tokens[i].Is("information_schema"))) {
      const std::string& name = tokens[i + 2].text;
      const bool is_pg = tokens[i].Is("pg_catalog");
      return CatalogTable{tokens[i].text + "." + name,
                          is_pg ? "pc_" + name : "pc_information_schema_" + name, i, i + 3};
    }
    if (tokens[i].kind == LexemeKind::kWord && tokens[i].text.starts_with("pg_")) {
      return CatalogTable{tokens[i].text, "pc_" + tokens[i].text, i, i + 1};
    }
  }
  return std::nullopt;
}

// The statement with the engine's name for the table, and without the alias that it may have.
std::string Rewritten(std::string_view statement, const Tokens& tokens, const CatalogTable& table) {
  static constexpr std::string_view kClauses[] = {"where", "group", "order", "limit", "offset"};
  size_t end = table.end;
  std::string alias;
  if (end < tokens.size() && tokens[end].Is("as")) ++end;
  if (end < tokens.size() && tokens[end].kind == LexemeKind::kWord &&
      std::find(std::begin(kClauses), std::end(kClauses), tokens[end].text) == std::end(kClauses)) {
    alias = tokens[end++].text;
  }
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i == table.at) {
      out += table.name + " ";
      i = end - 1;
      continue;
    }
    const bool is_prefix =
        i + 1 < tokens.size() && tokens[i + 1].Is(".") && !alias.empty() && tokens[i].Is(alias);
    if (is_prefix) {
      ++i;
      continue;
    }
    out += TextAt(statement, tokens[i].range);
    out += " ";
  }
  return out;
}

std::optional<CatalogRows> RunVirtual(std::string_view statement, const Tokens& tokens,
                                      const CatalogTable& table,
                                      const std::vector<ast::Literal>* values,
                                      const CatalogView& view) {
  const bool is_known = std::any_of(std::begin(kVirtualTables), std::end(kVirtualTables),
                                    [&](const auto& known) { return known.name == table.name; });
  if (!is_known) return std::nullopt;
  try {
    const auto parsed = ParseParameterized(Rewritten(statement, tokens, table));
    if (!parsed) return std::nullopt;
    ast::StatementNode node =
        values == nullptr ? parsed->statement.node : WithValues(parsed->statement.node, *values);
    auto* query = std::get_if<ast::SystemSelect>(&node);
    if (query == nullptr) return std::nullopt;
    // What has no values yet stands in WHERE, which has no part in the columns.
    if (values == nullptr) query->where.reset();
    const RelationalPlan plan = BindSystemSelect(*query, kVirtualTables);
    const NoProgress progress;
    const auto scan = [&](const TableScanNode& node) {
      return VirtualRows(node.table->name, view);
    };
    return CatalogRows{plan.root->columns, RunRelationalPlan(plan, scan, nullptr, progress)};
  } catch (const Error&) {
    // It has more than one table, or an expression; its places are not those of the statement.
    return std::nullopt;
  }
}

// ---- psql --------------------------------------------------------------------------------------

// psql writes its patterns as regular expressions. One that takes too long matches nothing.
bool Matches(const std::string& pattern, const std::string& text) {
  int error = 0;
  size_t place = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error,
                    &place, nullptr),
      pcre2_code_free);
  if (code == nullptr) return false;
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), 10000);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  return pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                     data.get(), context.get()) >= 0;
}

// Of the conditions "column OPERATOR(pg_catalog.~) 'pattern'": the pattern of `column`.
std::optional<std::string> PatternOf(const Tokens& tokens, std::string_view column) {
  for (size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (!tokens[i].Is("operator") || i < 1 || !tokens[i - 1].Is(column)) continue;
    for (size_t k = i + 1; k < tokens.size() && k < i + 10; ++k) {
      if (tokens[k].kind == LexemeKind::kText) return tokens[k].text;
    }
  }
  return std::nullopt;
}

// The text that "column = 'text'" asks for.
std::optional<std::string> EqualTo(const Tokens& tokens, std::string_view column) {
  for (size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (tokens[i].Is(column) && tokens[i + 1].Is("=") && tokens[i + 2].kind == LexemeKind::kText) {
      return tokens[i + 2].text;
    }
  }
  return std::nullopt;
}

// Whether the tables are among the kinds that c.relkind IN ('…') asks for.
bool WantsTables(const Tokens& tokens) {
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (!tokens[i].Is("relkind") || !tokens[i + 1].Is("in")) continue;
    for (size_t k = i + 2; k < tokens.size() && !tokens[k].Is(")"); ++k) {
      if (tokens[k].kind == LexemeKind::kText && tokens[k].text == "r") return true;
    }
    return false;
  }
  return true;
}

CatalogRows ListTables(const Tokens& tokens, const CatalogView& view) {
  const std::optional<std::string> name = PatternOf(tokens, "relname");
  const std::optional<std::string> space = PatternOf(tokens, "nspname");
  if (!WantsTables(tokens) || (space && !Matches(*space, Text(kNamespace)))) {
    return Listed(tokens, {});
  }
  std::vector<Properties> found;
  int64_t id = kFirstTableOid;
  for (const SystemTable& table : SystemTables()) {
    const std::string oid = std::to_string(id++);
    if (name && !Matches(*name, Text(table.name))) continue;
    found.push_back({{"Schema", Text(kNamespace)},
                     {"Name", Text(table.name)},
                     {"Type", "table"},
                     {"Owner", view.user},
                     {"Persistence", "permanent"},
                     {"Description", Text(table.meaning)},
                     {"oid", oid},
                     {"nspname", Text(kNamespace)},
                     {"relname", Text(table.name)}});
  }
  SortBy("relname", found);
  return Listed(tokens, found);
}

const SystemTable* TableOfOid(const std::optional<std::string>& oid) {
  int64_t id = kFirstTableOid;
  for (const SystemTable& table : SystemTables()) {
    if (oid == std::to_string(id++)) return &table;
  }
  return nullptr;
}

CatalogRows DescribeColumns(const Tokens& tokens) {
  const std::vector<std::string> names = ResultNames(tokens);
  std::vector<Row> rows;
  if (const SystemTable* table = TableOfOid(EqualTo(tokens, "attrelid"))) {
    for (const SystemColumn& column : table->columns) {
      Row row(names.size());
      const auto set = [&](size_t at, const std::string& value) {
        if (at < row.size()) row[at] = value;
      };
      // attname, format_type, default, attnotnull, attcollation, attidentity, attgenerated.
      set(0, Text(column.name));
      set(1, PostgresType(column.type));
      set(3, "f");
      set(5, "");
      set(6, "");
      for (size_t i = 7; i < names.size(); ++i) {
        if (names[i] == "attstorage") set(i, column.type == Type::kText ? "x" : "p");
        if (names[i] == "attcompression") set(i, "");
        if (names[i] == "col_description") set(i, Text(column.meaning));
      }
      rows.push_back(std::move(row));
    }
  }
  return TextRows(names, std::move(rows));
}

CatalogRows DescribeTable(const Tokens& tokens) {
  const std::vector<std::string> names = ResultNames(tokens);
  std::vector<Row> rows;
  if (TableOfOid(EqualTo(tokens, "oid")) != nullptr) {
    static const Properties kFacts = {{"relchecks", "0"},
                                      {"relkind", "r"},
                                      {"relhasindex", "f"},
                                      {"relhasrules", "f"},
                                      {"relhastriggers", "f"},
                                      {"relrowsecurity", "f"},
                                      {"relforcerowsecurity", "f"},
                                      {"relhasoids", "f"},
                                      {"relispartition", "f"},
                                      {"reltablespace", "0"},
                                      {"relpersistence", "p"},
                                      {"relreplident", "n"},
                                      {"amname", "heap"}};
    Row row;
    for (const std::string& name : names) {
      const auto found = kFacts.find(name);
      row.emplace_back(found == kFacts.end() ? std::string() : found->second);
    }
    rows.push_back(std::move(row));
  }
  return TextRows(names, std::move(rows));
}

std::vector<Properties> Databases(const CatalogView& view) {
  return {{{"Name", view.database},
           {"Owner", view.user},
           {"Encoding", "UTF8"},
           {"Collate", "C.UTF-8"},
           {"Ctype", "C.UTF-8"},
           {"Locale Provider", "libc"}}};
}

std::vector<Properties> Schemas(const Tokens& tokens, const CatalogView& view) {
  const std::optional<std::string> pattern = PatternOf(tokens, "nspname");
  std::vector<Properties> found;
  for (const std::string& name : SchemaNames(view)) {
    if (pattern && !Matches(*pattern, name)) continue;
    found.push_back({{"Name", name},
                     {"Owner", view.user},
                     {"Description", name == kNamespace ? "system tables" : "a prompt schema"}});
  }
  return found;
}

std::vector<Properties> Roles(const Tokens& tokens, const CatalogView& view) {
  const std::optional<std::string> pattern = PatternOf(tokens, "rolname");
  std::vector<Properties> found;
  for (const CatalogView::Role& user : view.users) {
    if (pattern && !Matches(*pattern, user.name)) continue;
    found.push_back({{"rolname", user.name},
                     {"rolsuper", user.is_admin ? "t" : "f"},
                     {"rolinherit", "t"},
                     {"rolcreaterole", user.is_admin ? "t" : "f"},
                     {"rolcreatedb", "f"},
                     {"rolcanlogin", user.can_log_in ? "t" : "f"},
                     {"rolconnlimit", "-1"},
                     {"memberof", "{}"},
                     {"rolreplication", "f"},
                     {"rolbypassrls", "f"}});
  }
  return found;
}

// What psql asks of tables that PromptDB has no rows for: policies, extended statistics,
// publications, inheritance, foreign keys.
bool IsEmptyHere(const Tokens& tokens, std::string_view table) {
  static constexpr std::string_view kEmpty[] = {
      "pc_pg_policy",   "pc_pg_statistic_ext", "pc_pg_publication",
      "pc_pg_inherits", "pc_pg_constraint",    "pc_pg_trigger",
      "pc_pg_index",    "pc_pg_extension",     "pc_pg_event_trigger"};
  if (std::find(std::begin(kEmpty), std::end(kEmpty), table) != std::end(kEmpty)) return true;
  // Children and parents: FROM pg_class c, pg_inherits i.
  return std::any_of(tokens.begin(), tokens.end(),
                     [](const ClientToken& token) { return token.Is("pg_inherits"); });
}

std::optional<CatalogRows> AnswerPsql(const Tokens& tokens, const CatalogTable& table,
                                      const CatalogView& view) {
  const std::vector<std::string> names = ResultNames(tokens);
  if (IsEmptyHere(tokens, table.name)) return TextRows(names, {});
  if (table.name == "pc_pg_class") {
    if (HasAll(names, {"Schema", "Name"}) || HasAll(names, {"relname", "nspname"})) {
      return ListTables(tokens, view);
    }
    if (HasAll(names, {"relchecks"})) return DescribeTable(tokens);
  }
  if (table.name == "pc_pg_attribute" && HasAll(names, {"attname"})) {
    return DescribeColumns(tokens);
  }
  if (table.name == "pc_pg_database" && HasAll(names, {"Name"})) {
    return Listed(tokens, Databases(view));
  }
  if (table.name == "pc_pg_namespace" && HasAll(names, {"Name"})) {
    return Listed(tokens, Schemas(tokens, view));
  }
  if (table.name == "pc_pg_roles" && HasAll(names, {"rolname"})) {
    return Listed(tokens, Roles(tokens, view));
  }
  return std::nullopt;
}

}  // namespace

bool IsCatalogQuery(const Tokens& tokens) {
  return !tokens.empty() && tokens[0].Is("select") && FindCatalogTable(tokens).has_value();
}

CatalogRows AnswerCatalogQuery(std::string_view statement, const Tokens& tokens,
                               const std::vector<ast::Literal>* values, const CatalogView& view) {
  const CatalogTable table = FindCatalogTable(tokens).value();
  std::optional<CatalogRows> answer = RunVirtual(statement, tokens, table, values, view);
  if (!answer) answer = AnswerPsql(tokens, table, view);
  if (!answer) answer = AnswerJdbc(tokens, view);
  if (!answer) Refuse(table.shown);
  return *std::move(answer);
}

}  // namespace promptdb
