// Users, rights and used quotas as JSON text, as they lie in Family::kCatalog beside the rows of
// catalog_rows.h, and with the same rules. docs/storage-format.md lists the fields.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_STORAGE_USER_ROWS_H_
#define PROMPTDB_STORAGE_USER_ROWS_H_

#include <string>
#include <string_view>

#include "storage/user_definition.h"

namespace promptdb {

std::string EncodeUser(const UserDefinition& user);
std::string EncodeAccess(const ObjectAccess& access);
std::string EncodeUsage(const TokenUsage& usage);

// Throw Error(kCorrupt) that says what is wrong, or kUnsupported for a row of a newer version.
UserDefinition DecodeUser(std::string_view row);
ObjectAccess DecodeAccess(std::string_view row);
TokenUsage DecodeUsage(std::string_view row);

// "usage", "create", "admin"; "database", "model", "schema".
std::string_view PrivilegeName(Privilege privilege);
std::string_view ObjectKindName(ObjectName::Kind kind);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_USER_ROWS_H_
