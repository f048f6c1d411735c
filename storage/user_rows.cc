#include "storage/user_rows.h"

#include <algorithm>
#include <array>

#include "storage/json_rows.h"

namespace promptdb {

namespace {

using Json = nlohmann::json;

// By enumerator; the names on disk never change.
constexpr std::array<std::string_view, 3> kPrivilegeNames = {"usage", "create", "admin"};
constexpr std::array<std::string_view, 3> kKindNames = {"database", "model", "schema"};

template <typename Enum, size_t kCount>
Enum Named(const std::array<std::string_view, kCount>& names, const std::string& name) {
  const auto known = std::find(names.begin(), names.end(), name);
  if (known == names.end()) CorruptRow("unknown word: " + name);
  return static_cast<Enum>(known - names.begin());
}

Digest DigestAt(const Json& json, const char* field) {
  return Digest::FromHex(json.at(field).get<std::string>());
}

UserDefinition UserFrom(const Json& json) {
  UserDefinition user;
  user.id = DigestAt(json, "id");
  if (user.id == kPublic) CorruptRow("a user without an id");
  user.name = json.at("name").get<std::string>();
  user.verifier = json.value("verifier", "");
  user.is_admin = json.value("admin", false);
  user.is_disabled = json.value("disabled", false);
  user.tokens_per_day = json.value("tokens_per_day", int64_t{0});
  user.state_bytes = json.value("state_bytes", int64_t{0});
  for (const Json& key : json.value("keys", Json::array())) {
    user.keys.push_back({key.at("name").get<std::string>(), key.at("digest").get<std::string>(),
                         key.value("created_at", int64_t{0})});
  }
  user.created_at = json.value("created_at", int64_t{0});
  return user;
}

ObjectAccess AccessFrom(const Json& json) {
  ObjectAccess access;
  access.object.kind = Named<ObjectName::Kind>(kKindNames, json.at("object").get<std::string>());
  access.object.name = json.value("name", "");
  if (json.contains("owner")) access.owner = DigestAt(json, "owner");
  for (const Json& grant : json.value("grants", Json::array())) {
    std::set<Privilege> privileges;
    for (const Json& word : grant.at("privileges")) {
      privileges.insert(Named<Privilege>(kPrivilegeNames, word.get<std::string>()));
    }
    if (!privileges.empty()) access.grants[DigestAt(grant, "user")] = std::move(privileges);
  }
  return access;
}

TokenUsage UsageFrom(const Json& json) {
  return {DigestAt(json, "user"), json.at("day").get<int64_t>(), json.at("tokens").get<int64_t>()};
}

}  // namespace

std::string_view PrivilegeName(Privilege privilege) {
  return kPrivilegeNames[static_cast<size_t>(privilege)];
}

std::string_view ObjectKindName(ObjectName::Kind kind) {
  return kKindNames[static_cast<size_t>(kind)];
}

std::string EncodeUser(const UserDefinition& user) {
  Json json = {{"version", kRowVersion},
               {"id", user.id.ToHex()},
               {"name", user.name},
               {"created_at", user.created_at}};
  if (!user.verifier.empty()) json["verifier"] = user.verifier;
  if (user.is_admin) json["admin"] = true;
  if (user.is_disabled) json["disabled"] = true;
  if (user.tokens_per_day > 0) json["tokens_per_day"] = user.tokens_per_day;
  if (user.state_bytes > 0) json["state_bytes"] = user.state_bytes;
  for (const ApiKey& key : user.keys) {
    json["keys"].push_back(
        {{"name", key.name}, {"digest", key.digest}, {"created_at", key.created_at}});
  }
  return json.dump();
}

std::string EncodeAccess(const ObjectAccess& access) {
  Json json = {{"version", kRowVersion},
               {"object", ObjectKindName(access.object.kind)},
               {"name", access.object.name}};
  if (access.owner != kPublic) json["owner"] = access.owner.ToHex();
  for (const auto& [user, privileges] : access.grants) {
    Json words = Json::array();
    for (const Privilege privilege : privileges) words.push_back(PrivilegeName(privilege));
    json["grants"].push_back({{"user", user.ToHex()}, {"privileges", std::move(words)}});
  }
  return json.dump();
}

std::string EncodeUsage(const TokenUsage& usage) {
  return Json{{"version", kRowVersion},
              {"user", usage.user.ToHex()},
              {"day", usage.day},
              {"tokens", usage.tokens}}
      .dump();
}

UserDefinition DecodeUser(std::string_view row) { return DecodeRow(row, UserFrom); }
ObjectAccess DecodeAccess(std::string_view row) { return DecodeRow(row, AccessFrom); }
TokenUsage DecodeUsage(std::string_view row) { return DecodeRow(row, UsageFrom); }

}  // namespace promptdb
