// Rows that answer a query of PostgreSQL's catalog by the names of its results: what the answers to
// psql and to JDBC have in common.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_SERVER_CATALOG_LISTING_H_
#define PROMPTDB_SERVER_CATALOG_LISTING_H_

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/catalog_answers.h"

namespace promptdb {

using Tokens = std::vector<ClientToken>;
using Properties = std::map<std::string, std::string, std::less<>>;

// The schema of the system tables.
inline constexpr std::string_view kNamespace = "promptdb";

inline std::string Text(std::string_view text) { return std::string(text); }

// A type's name as people write it, and as PostgreSQL's catalog has it.
std::string PostgresType(Column::Type type);
std::string_view InternalType(Column::Type type);

// The names of a SELECT list's results: what follows AS, or the last word.
std::vector<std::string> ResultNames(const Tokens& tokens);

bool HasAll(const std::vector<std::string>& names, std::initializer_list<std::string_view> wanted);

// The schemas that a client sees, in order: those of prompts, and that of the system tables.
std::vector<std::string> SchemaNames(const CatalogView& view);

// REQUIRES: every one has the property.
void SortBy(std::string_view property, std::vector<Properties>& all);

// With columns of text.
CatalogRows TextRows(const std::vector<std::string>& columns, std::vector<Row> rows);

// A row for each, with what its properties say of the results that the query names; others are
// NULL.
CatalogRows Listed(const Tokens& tokens, const std::vector<Properties>& all);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_CATALOG_LISTING_H_
