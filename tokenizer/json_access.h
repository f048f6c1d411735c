// Checked reading of the JSON files of a checkpoint: a missing key or a wrong type is an
// Error(kCorrupt) that names the key.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TOKENIZER_JSON_ACCESS_H_
#define PROMPTDB_TOKENIZER_JSON_ACCESS_H_

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace promptdb {

using Json = nlohmann::json;

// `key` always is the path to a value from the top of its file: "model.vocab".
[[noreturn]] void ThrowCorrupt(const std::string& key, const std::string& why);
[[noreturn]] void ThrowUnsupported(const std::string& key, const std::string& what);

// Throws Error(kIo) when the file can't be read, Error(kCorrupt) when it isn't JSON.
Json ParseJsonFile(const std::filesystem::path& path);
Json ParseJson(std::string_view text, const std::string& file_name);

std::string JoinKey(const std::string& key, const std::string& name);
std::string JoinKey(const std::string& key, size_t index);

// The member `name` of the object at `key`; nullptr where it is absent or null.
const Json* FindMember(const Json& object, const std::string& key, const char* name);
const Json& GetMember(const Json& object, const std::string& key, const char* name);

const std::string& AsString(const Json& value, const std::string& key);
const Json& AsArray(const Json& value, const std::string& key);
const Json& AsObject(const Json& value, const std::string& key);
// An integer from 0 to `max`.
int64_t AsCount(const Json& value, const std::string& key, int64_t max);

const std::string& GetString(const Json& object, const std::string& key, const char* name);
std::optional<std::string> FindString(const Json& object, const std::string& key, const char* name);
bool GetBool(const Json& object, const std::string& key, const char* name, bool otherwise);

// The "type" of a component of tokenizer.json, and a guard against files that nest them without
// end.
constexpr int kMaxNesting = 16;
const std::string& GetType(const Json& component, const std::string& key, int nesting);

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_JSON_ACCESS_H_
