#include "server/jdbc_answers.h"

#include "planner/like_pattern.h"
#include "planner/system_catalog.h"
#include "server/wire.h"

namespace promptdb {

namespace {

// Whether `value` is like every pattern of "column LIKE 'pattern'".
bool Passes(const Tokens& tokens, std::string_view column, std::string_view value) {
  for (size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (!tokens[i].Is(column) || !tokens[i + 1].Is("like")) continue;
    const bool is_text = tokens[i + 2].kind == LexemeKind::kText;
    if (is_text && !LikePattern(tokens[i + 2].text).Matches(value)) return false;
  }
  return true;
}

// getTables with kinds has conditions like (false OR (c.relkind = 'r' AND n.nspname !~ '^pg_' …)),
// and temporary and system tables have (n.nspname ~ …) behind them, in parentheses or without "!".
bool WantsTables(const Tokens& tokens) {
  bool has_kinds = false;
  for (size_t i = 2; i + 5 < tokens.size(); ++i) {
    if (tokens[i].kind != LexemeKind::kText || !tokens[i - 1].Is("=") ||
        !tokens[i - 2].Is("relkind")) {
      continue;
    }
    has_kinds = true;
    // AND n . nspname !~
    if (tokens[i].text == "r" && tokens[i + 1].Is("and") && tokens[i + 4].Is("nspname") &&
        !tokens[i + 5].Is("~")) {
      return true;
    }
  }
  return !has_kinds;
}

CatalogRows Tables(const Tokens& tokens) {
  if (!WantsTables(tokens) || !Passes(tokens, "nspname", kNamespace)) return Listed(tokens, {});
  std::vector<Properties> found;
  for (const SystemTable& table : SystemTables()) {
    if (!Passes(tokens, "relname", table.name)) continue;
    found.push_back({{"table_schem", Text(kNamespace)},
                     {"table_name", Text(table.name)},
                     {"table_type", "TABLE"},
                     {"remarks", Text(table.meaning)},
                     {"type_cat", ""},
                     {"type_schem", ""},
                     {"type_name", ""},
                     {"self_referencing_col_name", ""},
                     {"ref_generation", ""}});
  }
  SortBy("table_name", found);
  return Listed(tokens, found);
}

CatalogRows Schemas(const Tokens& tokens, const CatalogView& view) {
  std::vector<Properties> found;
  for (const std::string& name : SchemaNames(view)) {
    if (Passes(tokens, "nspname", name)) found.push_back({{"table_schem", name}});
  }
  return Listed(tokens, found);
}

// `inner`: the query in parentheses, whose results are those of the whole.
CatalogRows Columns(const Tokens& tokens, const Tokens& inner) {
  if (!Passes(tokens, "nspname", kNamespace)) return Listed(inner, {});
  std::vector<Properties> found;
  for (const SystemTable& table : SystemTables()) {
    if (!Passes(tokens, "relname", table.name)) continue;
    int64_t number = 0;
    for (const SystemColumn& column : table.columns) {
      ++number;
      if (!Passes(tokens, "attname", column.name)) continue;
      found.push_back({{"nspname", Text(kNamespace)},
                       {"relname", Text(table.name)},
                       {"attname", Text(column.name)},
                       {"atttypid", std::to_string(OidOf(column.type))},
                       {"attnotnull", "f"},
                       {"atttypmod", "-1"},
                       {"attlen", "-1"},
                       {"typtypmod", "-1"},
                       {"attnum", std::to_string(number)},
                       {"description", Text(column.meaning)},
                       {"typbasetype", "0"},
                       {"typtype", "b"}});
    }
  }
  SortBy("relname", found);
  return Listed(inner, found);
}

CatalogRows Types(const Tokens& tokens) {
  std::vector<Properties> found;
  for (const Column::Type type :
       {Column::Type::kBoolean, Column::Type::kInteger, Column::Type::kText, Column::Type::kReal}) {
    found.push_back({{"typname", Text(InternalType(type))},
                     {"oid", std::to_string(OidOf(type))},
                     {"is_array", "f"},
                     {"typtype", "b"}});
  }
  return Listed(tokens, found);
}

}  // namespace

std::optional<CatalogRows> AnswerJdbc(const Tokens& tokens, const CatalogView& view) {
  const std::vector<std::string> names = ResultNames(tokens);
  if (HasAll(names, {"table_schem", "table_name", "table_type"})) return Tables(tokens);
  if (HasAll(names, {"table_schem", "table_catalog"})) return Schemas(tokens, view);
  // Primary keys, indexes and foreign keys.
  if (HasAll(names, {"table_schem", "table_name"}) || HasAll(names, {"pktable_schem"})) {
    return TextRows(names, {});
  }
  if (HasAll(names, {"typname", "oid"})) return Types(tokens);
  // SELECT * FROM (SELECT …
  constexpr size_t kInner = 4;
  if (tokens.size() > kInner && tokens[1].Is("*") && tokens[3].Is("(")) {
    const Tokens inner(tokens.begin() + kInner, tokens.end());
    if (HasAll(ResultNames(inner), {"nspname", "relname", "attname", "atttypid"})) {
      return Columns(tokens, inner);
    }
  }
  return std::nullopt;
}

}  // namespace promptdb
