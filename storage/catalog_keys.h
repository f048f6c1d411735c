// The keys of the catalog's rows. They never change: docs/storage-format.md lists them.
#ifndef PROMPTDB_STORAGE_CATALOG_KEYS_H_
#define PROMPTDB_STORAGE_CATALOG_KEYS_H_

#include <string>
#include <string_view>

#include "storage/user_rows.h"

namespace promptdb {

inline constexpr std::string_view kModelPrefix = "model/";
inline constexpr std::string_view kSchemaPrefix = "schema/";
inline constexpr std::string_view kChatPrefix = "chat/";
inline constexpr std::string_view kAccuracyPrefix = "accuracy/";
inline constexpr std::string_view kUserPrefix = "user/";
inline constexpr std::string_view kAccessPrefix = "access/";
inline constexpr std::string_view kUsagePrefix = "usage/";
inline constexpr std::string_view kRatesKey = "machine";

inline std::string RowKey(std::string_view prefix, std::string_view name) {
  return std::string(prefix) + std::string(name);
}

// Behind kAccessPrefix: "schema/cities", "database/".
inline std::string AccessKey(const ObjectName& object) {
  return std::string(ObjectKindName(object.kind)) + "/" + object.name;
}

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_CATALOG_KEYS_H_
