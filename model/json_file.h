// JSON from a file that nobody has vouched for.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_MODEL_JSON_FILE_H_
#define PROMPTDB_MODEL_JSON_FILE_H_

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace promptdb {

// Parses one JSON object. Throws Error(kCorrupt) that names `path` on a syntax error, on text that
// is not UTF-8, on a key that stands twice in the outermost object, and on anything but an object.
nlohmann::json ParseJsonObject(std::string_view text, const std::filesystem::path& path);

// The same of a whole file, which may have at most 64 MiB.
nlohmann::json ReadJsonObject(const std::filesystem::path& path);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_JSON_FILE_H_
