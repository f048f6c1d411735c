#include "executor/access.h"

#include <algorithm>
#include <ctime>

#include "base/nearest_name.h"
#include "executor/result.h"
#include "parser/parser.h"
#include "storage/user_rows.h"

namespace promptdb {

namespace {

using Kind = ObjectName::Kind;

constexpr int64_t kSecondsOfDay = 24 * 60 * 60;

std::string UpperCase(std::string_view word) {
  std::string upper(word);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return upper;
}

std::string GrantHint(Privilege privilege, const ObjectName& object, const std::string& user) {
  std::string on = UpperCase(ObjectKindName(object.kind));
  if (!object.name.empty()) on += " " + QuoteName(object.name);
  return "Its owner or an admin can GRANT " + UpperCase(PrivilegeName(privilege)) + " ON " + on +
         " TO " + QuoteName(user) + ";";
}

}  // namespace

Access::Access(const Catalog& catalog, const std::optional<Digest>& user) : catalog_(catalog) {
  if (!user) return;
  user_ = catalog.FindUser(*user);
  if (!user_) throw Error(ErrorCode::kDenied, "the user of this session was dropped");
  if (user_->is_disabled) {
    throw Error(ErrorCode::kDenied, "user \"" + user_->name + "\" is disabled");
  }
}

bool Access::Has(Privilege privilege, const ObjectAccess& access) const {
  for (const Digest& grantee : {user_->id, kPublic}) {
    const auto found = access.grants.find(grantee);
    if (found != access.grants.end() && found->second.contains(privilege)) return true;
  }
  return false;
}

bool Access::May(Privilege privilege, const ObjectName& object) const {
  if (is_admin()) return true;
  const ObjectAccess access = catalog_.AccessTo(object);
  if (access.owner == user_->id || Has(Privilege::kAdmin, access) || Has(privilege, access)) {
    return true;
  }
  return privilege == Privilege::kUsage && object.kind != Kind::kDatabase &&
         Has(privilege, catalog_.AccessTo({Kind::kDatabase, ""}));
}

bool Access::MayQueryModel(const std::string& name) const {
  return May(Privilege::kUsage, {Kind::kModel, name});
}

bool Access::MayQuerySchema(const std::string& name) const {
  return May(Privilege::kUsage, {Kind::kSchema, name});
}

bool Access::MaySee(const ObjectName& object) const {
  if (May(Privilege::kUsage, object)) return true;
  if (object.kind != Kind::kModel) return false;
  if (!models_of_schemas_) {
    models_of_schemas_.emplace();
    for (const SchemaDefinition& schema : catalog_.Schemas()) {
      if (MayQuerySchema(schema.name)) models_of_schemas_->insert(schema.model);
    }
  }
  return models_of_schemas_->contains(object.name);
}

void Access::Demand(Privilege privilege, const ObjectName& object, const ast::Name& name) const {
  if (May(privilege, object)) return;
  throw Error(ErrorCode::kDenied,
              "no " + UpperCase(PrivilegeName(privilege)) + " right on " +
                  std::string(ObjectKindName(object.kind)) + " \"" + object.name + "\"",
              GrantHint(privilege, object, user_->name), name.range);
}

void Access::DemandModel(Privilege privilege, const ast::Name& name) const {
  if (is_admin()) return;
  const ObjectName object{Kind::kModel, name.text};
  if (catalog_.HasModel(name.text)) return Demand(privilege, object, name);
  std::vector<std::string> seen;
  for (const ModelDefinition& model : catalog_.Models()) {
    if (MaySee({Kind::kModel, model.name})) seen.push_back(model.name);
  }
  throw UnknownName("model", name.text, name.range, seen);
}

void Access::DemandSchema(Privilege privilege, const ast::Name& name) const {
  if (is_admin()) return;
  const ObjectName object{Kind::kSchema, name.text};
  if (catalog_.HasSchema(name.text)) return Demand(privilege, object, name);
  std::vector<std::string> seen;
  for (const SchemaDefinition& schema : catalog_.Schemas()) {
    if (MayQuerySchema(schema.name)) seen.push_back(schema.name);
  }
  throw UnknownName("schema", name.text, name.range, seen);
}

void Access::DemandChat(const ast::Name& name) const {
  if (is_admin()) return;
  const auto chat = catalog_.FindChat(name.text);
  if (chat && MaySee(*chat)) return;
  std::vector<std::string> own;  // for the hint
  for (const ChatDefinition& other : catalog_.Chats()) {
    if (MaySee(other)) own.push_back(other.name);
  }
  // That somebody else has a chat of that name is nobody's business.
  throw UnknownName("chat", name.text, name.range, own, "SHOW CHATS lists what there is.");
}

void Access::DemandCreate(SourceRange place) const {
  const ObjectName database{Kind::kDatabase, ""};
  if (May(Privilege::kCreate, database)) return;
  throw Error(ErrorCode::kDenied, "no CREATE right on the database",
              GrantHint(Privilege::kCreate, database, user_->name), place);
}

void Access::DemandAdmin(std::string_view what, std::optional<SourceRange> place) const {
  if (is_admin()) return;
  throw Error(ErrorCode::kDenied, std::string(what) + " is for admins",
              "An admin is made by ALTER USER " + QuoteName(user_->name) + " SET (admin = on);",
              place);
}

StateOwner OwnerOfStates(const Digest& user, const SchemaDefinition& schema) {
  StateOwner owner;
  owner.user = user;
  if (schema.is_shared) {
    owner.salt = Hasher().Add("states of schema").Add(schema.name).Finish();
  } else if (user != kPublic) {
    owner.salt = Hasher().Add("states of user").Add(user).Finish();
  }
  return owner;
}

int64_t Today() { return std::time(nullptr) / kSecondsOfDay; }

void CheckTokenQuota(const Access& access, const Catalog& catalog) {
  const UserDefinition* user = access.user();
  if (user == nullptr || user->tokens_per_day == 0) return;
  const int64_t day = Today();
  const int64_t used = catalog.TokensUsed(user->id, day);
  if (used < user->tokens_per_day) return;
  throw Error(ErrorCode::kQuota,
              "user \"" + user->name + "\" has used " + std::to_string(used) +
                  " tokens today, and may use " + std::to_string(user->tokens_per_day),
              "A new day begins at " + FormatTime((day + 1) * kSecondsOfDay) +
                  " UTC; an admin can ALTER USER " + QuoteName(user->name) +
                  " SET (tokens_per_day = …);");
}

}  // namespace promptdb
