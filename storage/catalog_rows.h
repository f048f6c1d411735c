// Catalog definitions as JSON text, as they lie in Family::kCatalog. docs/storage-format.md lists
// the fields. Every row carries "version"; fields that are not known are ignored, and optional ones
// that are missing have their default.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_STORAGE_CATALOG_ROWS_H_
#define PROMPTDB_STORAGE_CATALOG_ROWS_H_

#include <string>
#include <string_view>

#include "storage/chat_definition.h"
#include "storage/model_accuracy.h"
#include "storage/schema_definition.h"

namespace promptdb {

// Parts nested deeper than this are refused, since walking them recurses.
inline constexpr int kMaxPartDepth = 500;

// Throw Error(kInvalidArgument) for text that is not UTF-8, or parts nested too deeply.
std::string EncodeModel(const ModelDefinition& model);
std::string EncodeSchema(const SchemaDefinition& schema);
std::string EncodeChat(const ChatDefinition& chat);
std::string EncodeAccuracy(const ModelAccuracy& accuracy);

// Throw Error(kCorrupt) that says what is wrong, or kUnsupported for a row of a newer version.
ModelDefinition DecodeModel(std::string_view row);
SchemaDefinition DecodeSchema(std::string_view row);
// Also when a segment attends to what does not stand before it.
ChatDefinition DecodeChat(std::string_view row);
ModelAccuracy DecodeAccuracy(std::string_view row);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_CATALOG_ROWS_H_
