#include "server/catalog_listing.h"

#include <algorithm>
#include <utility>

namespace promptdb {

std::string PostgresType(Column::Type type) {
  switch (type) {
    case Column::Type::kText:
      return "text";
    case Column::Type::kInteger:
      return "bigint";
    case Column::Type::kReal:
      return "double precision";
    case Column::Type::kBoolean:
      return "boolean";
  }
  return "text";
}

std::string_view InternalType(Column::Type type) {
  switch (type) {
    case Column::Type::kText:
      return "text";
    case Column::Type::kInteger:
      return "int8";
    case Column::Type::kReal:
      return "float8";
    case Column::Type::kBoolean:
      return "bool";
  }
  return "text";
}

std::vector<std::string> ResultNames(const Tokens& tokens) {
  std::vector<std::string> names;
  int depth = 0;
  std::string last;
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (tokens[i].Is("(")) ++depth;
    if (tokens[i].Is(")")) --depth;
    if (depth == 0 && (tokens[i].Is(",") || tokens[i].Is("from"))) {
      names.push_back(std::exchange(last, ""));
      if (tokens[i].Is("from")) break;
      continue;
    }
    const bool is_name =
        tokens[i].kind == LexemeKind::kWord || tokens[i].kind == LexemeKind::kQuotedName;
    if (depth == 0 && is_name) last = tokens[i].text;
  }
  return names;
}

bool HasAll(const std::vector<std::string>& names, std::initializer_list<std::string_view> wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  });
}

std::vector<std::string> SchemaNames(const CatalogView& view) {
  std::vector<std::string> names = view.prompt_schemas;
  names.emplace_back(kNamespace);
  std::sort(names.begin(), names.end());
  return names;
}

void SortBy(std::string_view property, std::vector<Properties>& all) {
  std::stable_sort(all.begin(), all.end(), [&](const Properties& a, const Properties& b) {
    return a.find(property)->second < b.find(property)->second;
  });
}

CatalogRows TextRows(const std::vector<std::string>& columns, std::vector<Row> rows) {
  CatalogRows answer;
  for (const std::string& column : columns) answer.columns.push_back({column, Column::Type::kText});
  answer.rows = std::move(rows);
  return answer;
}

CatalogRows Listed(const Tokens& tokens, const std::vector<Properties>& all) {
  const std::vector<std::string> names = ResultNames(tokens);
  std::vector<Row> rows;
  for (const Properties& properties : all) {
    Row row;
    for (const std::string& name : names) {
      const auto found = properties.find(name);
      row.push_back(found == properties.end() ? Value() : Value(found->second));
    }
    rows.push_back(std::move(row));
  }
  return TextRows(names, std::move(rows));
}

}  // namespace promptdb
