// The text of a JSON schema, read strictly: a key given twice, nesting without end or a text of any
// size would otherwise pass in silence.
#ifndef PROMPTDB_CONSTRAINT_JSON_SCHEMA_TEXT_H_
#define PROMPTDB_CONSTRAINT_JSON_SCHEMA_TEXT_H_

#include <nlohmann/json.hpp>
#include <string_view>

namespace promptdb {

// Objects keep the order of their keys. Throws Error that names the line and column in `text`.
nlohmann::ordered_json ParseSchemaText(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_JSON_SCHEMA_TEXT_H_
