// What PostgreSQL's catalog would say of PromptDB: enough for psql's \d, \dt, \dn, \l and \du, and
// for drivers that look around.
//
// Two ways. Simple SELECTs (one table, no joins or expressions) of information_schema.tables,
// columns, schemata and of a few tables of pg_catalog are run as queries of virtual tables. The
// joins that psql 15 sends are recognised by their shape, and answered from the same rows. Any
// other query of the catalog is refused by name; nothing is made up.
//
// The system tables (pc_models, …) are the tables of the schema "promptdb"; prompt schemas are
// listed as schemas.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_SERVER_CATALOG_ANSWERS_H_
#define PROMPTDB_SERVER_CATALOG_ANSWERS_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/value.h"
#include "parser/ast.h"
#include "server/client_statement.h"

namespace promptdb {

// What the answers are made of.
struct CatalogView {
  std::string database;
  std::string user;
  struct Role {
    std::string name;
    bool is_admin = false;
    bool can_log_in = false;
  };
  std::vector<Role> users;  // that the current one may see
  std::vector<std::string> prompt_schemas;
  ClientParameters parameters;
};

struct CatalogRows {
  std::vector<Column> columns;
  std::vector<Row> rows;
};

// Whether it is a query of PostgreSQL's catalog, known or not.
bool IsCatalogQuery(const std::vector<ClientToken>& tokens);

// `values`: of its parameters; nullptr: only the columns are asked for. Throws Error for a query
// that we don't know. REQUIRES: IsCatalogQuery(tokens).
CatalogRows AnswerCatalogQuery(std::string_view statement, const std::vector<ClientToken>& tokens,
                               const std::vector<ast::Literal>* values, const CatalogView& view);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_CATALOG_ANSWERS_H_
