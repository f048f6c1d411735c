#include "tokenizer/json_access.h"

#include "base/error.h"
#include "base/mapped_file.h"

namespace promptdb {

void ThrowCorrupt(const std::string& key, const std::string& why) {
  throw Error(ErrorCode::kCorrupt, key + ": " + why);
}

void ThrowUnsupported(const std::string& key, const std::string& what) {
  throw Error(ErrorCode::kUnsupported, key + ": unsupported " + what);
}

Json ParseJsonFile(const std::filesystem::path& path) {
  const MappedFile file(path);
  return ParseJson(file.text(), path.filename().string());
}

Json ParseJson(std::string_view text, const std::string& file_name) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    ThrowCorrupt(file_name, "not JSON at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    ThrowCorrupt(file_name, "not JSON (a number out of range)");
  }
}

std::string JoinKey(const std::string& key, const std::string& name) {
  return key.empty() ? name : key + "." + name;
}

std::string JoinKey(const std::string& key, size_t index) {
  return key + "[" + std::to_string(index) + "]";
}

const Json* FindMember(const Json& object, const std::string& key, const char* name) {
  AsObject(object, key);
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json& GetMember(const Json& object, const std::string& key, const char* name) {
  const Json* const member = FindMember(object, key, name);
  if (member == nullptr) ThrowCorrupt(JoinKey(key, name), "missing");
  return *member;
}

const std::string& AsString(const Json& value, const std::string& key) {
  if (!value.is_string()) ThrowCorrupt(key, std::string("not a string but ") + value.type_name());
  return value.get_ref<const std::string&>();
}

const Json& AsArray(const Json& value, const std::string& key) {
  if (!value.is_array()) ThrowCorrupt(key, std::string("not an array but ") + value.type_name());
  return value;
}

const Json& AsObject(const Json& value, const std::string& key) {
  if (!value.is_object()) {
    ThrowCorrupt(key.empty() ? "the file" : key,
                 std::string("not an object but ") + value.type_name());
  }
  return value;
}

int64_t AsCount(const Json& value, const std::string& key, int64_t max) {
  if (!value.is_number_integer()) {
    ThrowCorrupt(key, std::string("not an integer but ") + value.type_name());
  }
  // A huge unsigned number would turn negative.
  if (value.is_number_unsigned() ? value.get<uint64_t>() > static_cast<uint64_t>(max)
                                 : value.get<int64_t>() < 0 || value.get<int64_t>() > max) {
    ThrowCorrupt(key, "out of range: " + value.dump());
  }
  return value.get<int64_t>();
}

const std::string& GetString(const Json& object, const std::string& key, const char* name) {
  return AsString(GetMember(object, key, name), JoinKey(key, name));
}

std::optional<std::string> FindString(const Json& object, const std::string& key,
                                      const char* name) {
  const Json* const member = FindMember(object, key, name);
  if (member == nullptr) return std::nullopt;
  return AsString(*member, JoinKey(key, name));
}

bool GetBool(const Json& object, const std::string& key, const char* name, bool otherwise) {
  const Json* const member = FindMember(object, key, name);
  if (member == nullptr) return otherwise;
  if (!member->is_boolean()) {
    ThrowCorrupt(JoinKey(key, name), std::string("not a boolean but ") + member->type_name());
  }
  return member->get<bool>();
}

const std::string& GetType(const Json& component, const std::string& key, int nesting) {
  if (nesting > kMaxNesting) ThrowCorrupt(key, "nested too deeply");
  return GetString(component, key, "type");
}

}  // namespace promptdb
