#include "model/json_file.h"

#include <set>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/quoted_name.h"

namespace promptdb {

using nlohmann::json;

json ParseJsonObject(std::string_view text, const std::filesystem::path& path) {
  constexpr int kDeepest = 64;
  std::set<std::string> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kDeepest) {
      throw Error(ErrorCode::kCorrupt, "the JSON is nested too deeply: " + path.string());
    }
    if (event == json::parse_event_t::key && depth == 1 &&
        !keys.insert(parsed.get_ref<const std::string&>()).second) {
      throw Error(ErrorCode::kCorrupt, "the key " +
                                           QuotedName(parsed.get_ref<const std::string&>()) +
                                           " stands there twice: " + path.string());
    }
    return true;
  };
  json object;
  try {
    object = json::parse(text, check);
  } catch (const json::exception& error) {
    const auto* at = dynamic_cast<const json::parse_error*>(&error);
    throw Error(ErrorCode::kCorrupt,
                "the JSON is not valid" +
                    (at == nullptr ? std::string() : " at byte " + std::to_string(at->byte)) +
                    ": " + path.string());
  }
  if (!object.is_object()) {
    throw Error(ErrorCode::kCorrupt, "the JSON is not an object: " + path.string());
  }
  return object;
}

json ReadJsonObject(const std::filesystem::path& path) {
  constexpr size_t kLargestFile = size_t{64} << 20;
  const MappedFile file(path);
  if (file.bytes().size() > kLargestFile) {
    throw Error(ErrorCode::kCorrupt, "the JSON file is larger than 64 MiB: " + path.string());
  }
  return ParseJsonObject(file.text(), path);
}

}  // namespace promptdb
