#include "constraint/json_schema_text.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text_place.h"

namespace promptdb {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLongestSchema = 1 << 20;
constexpr int kDeepestSchema = 64;

}  // namespace

Json ParseSchemaText(std::string_view text) {
  if (text.size() > kLongestSchema) {
    throw Error(ErrorCode::kTooLong, "the JSON schema must be at most " +
                                         std::to_string(kLongestSchema) + " bytes, not " +
                                         std::to_string(text.size()));
  }
  std::vector<std::set<std::string>> keys;  // of the objects around the place
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepestSchema) {
      throw Error(ErrorCode::kInvalidArgument, "the JSON schema is nested more than " +
                                                   std::to_string(kDeepestSchema) + " deep");
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(value.get_ref<const std::string&>()).second) {
      throw Error(ErrorCode::kInvalidArgument, "the JSON schema has the key \"" +
                                                   value.get_ref<const std::string&>() +
                                                   "\" twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    const size_t at = error.byte > 0 ? error.byte - 1 : 0;
    const char* cause =
        at >= text.size() ? "the JSON schema ends too early" : "the JSON schema is not valid JSON";
    throw Error(ErrorCode::kInvalidArgument,
                std::string(cause) + " (" + LineAndColumn(text, at) + " of the schema" + ")");
  } catch (const Json::exception&) {
    throw Error(ErrorCode::kInvalidArgument, "the JSON schema has a number that is out of range");
  }
}

}  // namespace promptdb
