// What the PostgreSQL driver for Java asks of the catalog for java.sql.DatabaseMetaData: getTables,
// getColumns, getSchemas, getTypeInfo, and keys and indexes, of which there are none. Known by
// their results, since the driver's versions write them in many ways.
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_SERVER_JDBC_ANSWERS_H_
#define PROMPTDB_SERVER_JDBC_ANSWERS_H_

#include <optional>

#include "server/catalog_listing.h"

namespace promptdb {

// nullopt for any other query. Throws Error for a LIKE pattern that is none.
std::optional<CatalogRows> AnswerJdbc(const Tokens& tokens, const CatalogView& view);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_JDBC_ANSWERS_H_
