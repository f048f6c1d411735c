// CREATE, ALTER and DROP USER, GRANT and REVOKE.
#include <algorithm>
#include <ctime>

#include "auth/scram.h"
#include "auth/secrets.h"
#include "base/nearest_name.h"
#include "executor/chat_states.h"
#include "executor/statements.h"
#include "parser/parser.h"
#include "planner/options.h"
#include "storage/user_rows.h"

namespace promptdb {

namespace {

using Type = Column::Type;

constexpr std::string_view kPublicName = "public";
constexpr std::string_view kKeyPrefix = "pdb-";
constexpr size_t kKeyBytes = 32;
constexpr int64_t kMostLimit = int64_t{1} << 50;

// What the catalog keeps of a password. A client that has made the verifier itself, as psql's
// \password does, never lets the password out of its machine.
std::string VerifierOf(const ast::Text& password) {
  if (password.text.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "the password is empty",
                "Leave PASSWORD out for a user who has keys alone.", password.range);
  }
  if (ScramVerifier::Parse(password.text)) return password.text;
  return MakeScramVerifier(password.text).Format();
}

// admin, disabled, tokens_per_day, state_bytes.
void ApplyOptions(const std::vector<ast::Option>& options, std::string_view place,
                  UserDefinition& user) {
  const OptionReader reader(options, place, {"admin", "disabled", "tokens_per_day", "state_bytes"});
  if (const auto is_admin = reader.Boolean("admin")) user.is_admin = *is_admin;
  if (const auto is_disabled = reader.Boolean("disabled")) user.is_disabled = *is_disabled;
  if (const auto tokens = reader.Integer("tokens_per_day", 0, kMostLimit)) {
    user.tokens_per_day = *tokens;
  }
  if (const auto bytes = reader.Bytes("state_bytes")) user.state_bytes = *bytes;
}

void CheckName(const ast::Name& name) {
  if (name.text != kPublicName && !name.text.empty()) return;
  throw Error(ErrorCode::kInvalidArgument, "no user can be called \"" + name.text + "\"",
              "PUBLIC stands for all users.", name.range);
}

[[noreturn]] void FailUnknown(const ast::Name& name, const Catalog& catalog) {
  std::vector<std::string> names;
  for (const UserDefinition& user : catalog.Users()) names.push_back(user.name);
  throw UnknownName("user", name.text, name.range, names, "SHOW USERS lists what there is.");
}

[[noreturn]] void FailExists(const ast::Name& name) {
  throw Error(ErrorCode::kDuplicateName, "user \"" + name.text + "\" exists already",
              "ALTER USER " + QuoteName(name.text) + " changes it.", name.range);
}

std::string NewKey() { return std::string(kKeyPrefix) + HexOf(RandomBytes(kKeyBytes)); }

// The key, which nobody can be told again.
std::string AddKey(const ast::Name& name, UserDefinition& user) {
  for (const ApiKey& key : user.keys) {
    if (key.name != name.text) continue;
    throw Error(ErrorCode::kDuplicateName,
                "user \"" + user.name + "\" has a key \"" + name.text + "\" already",
                "DROP KEY " + QuoteName(name.text) + " comes first.", name.range);
  }
  std::string key = NewKey();
  user.keys.push_back({name.text, HexOf(Sha256(key)), std::time(nullptr)});
  return key;
}

void DropKey(const ast::Name& name, UserDefinition& user) {
  const auto dropped =
      std::erase_if(user.keys, [&](const ApiKey& key) { return key.name == name.text; });
  if (dropped > 0) return;
  std::vector<std::string> names;
  for (const ApiKey& key : user.keys) names.push_back(key.name);
  throw Error(ErrorCode::kUnknownName,
              "user \"" + user.name + "\" has no key \"" + name.text + "\"",
              DidYouMean(name.text, names), name.range);
}

// ---- Rights ------------------------------------------------------------------------------------

ObjectName ObjectOf(const ast::Grant& statement) {
  switch (statement.on) {
    case ast::Grant::On::kDatabase:
      return {ObjectName::Kind::kDatabase, ""};
    case ast::Grant::On::kModel:
      return {ObjectName::Kind::kModel, statement.object.text};
    case ast::Grant::On::kSchema:
      return {ObjectName::Kind::kSchema, statement.object.text};
    case ast::Grant::On::kNothing:
      break;
  }
  throw Error(ErrorCode::kUnsupported, "there are no roles to grant",
              "Write ON DATABASE, ON MODEL name or ON SCHEMA name after the rights.",
              statement.privileges.front().range);
}

std::vector<Privilege> PrivilegesOn(ObjectName::Kind kind) {
  if (kind == ObjectName::Kind::kDatabase) return {Privilege::kUsage, Privilege::kCreate};
  return {Privilege::kUsage, Privilege::kAdmin};
}

std::set<Privilege> PrivilegesOf(const ast::Grant& statement, ObjectName::Kind kind) {
  const std::vector<Privilege> known = PrivilegesOn(kind);
  std::set<Privilege> privileges;
  for (const ast::Name& name : statement.privileges) {
    if (name.text == "all") {
      privileges.insert(known.begin(), known.end());
      continue;
    }
    const auto found = std::find_if(known.begin(), known.end(), [&](Privilege privilege) {
      return PrivilegeName(privilege) == name.text;
    });
    if (found == known.end()) {
      const bool is_database = kind == ObjectName::Kind::kDatabase;
      throw Error(ErrorCode::kInvalidArgument,
                  "\"" + name.text + "\" is no right on a " + std::string(ObjectKindName(kind)),
                  is_database ? "USAGE and CREATE are, and ALL of them. "
                                "ALTER USER … SET (admin = on) makes an admin."
                              : "USAGE and ADMIN are, and ALL of them.",
                  name.range);
    }
    privileges.insert(*found);
  }
  return privileges;
}

std::vector<Digest> GranteesOf(const ast::Grant& statement, const Catalog& catalog) {
  std::vector<Digest> grantees;
  for (const ast::Name& name : statement.users) {
    if (name.text == kPublicName) {
      grantees.push_back(kPublic);
    } else if (const auto user = catalog.FindUser(name.text)) {
      grantees.push_back(user->id);
    } else {
      FailUnknown(name, catalog);
    }
  }
  return grantees;
}

}  // namespace

std::vector<Column> AlterUserColumns(const ast::AlterUser& statement) {
  if (!std::holds_alternative<ast::AlterUser::AddKey>(statement.action)) return {};
  return {{"user", Type::kText}, {"name", Type::kText}, {"key", Type::kText}};
}

std::string RunCreateUser(const ast::CreateUser& statement, Database::Rep& database,
                          ResultSink& sink) {
  CheckName(statement.name);
  if (database.catalog.FindUser(statement.name.text)) {
    if (!statement.if_not_exists) FailExists(statement.name);
    sink.OnNotice("user \"" + statement.name.text + "\" exists already and is kept");
    return "CREATE USER";
  }
  UserDefinition user;
  user.id = Digest::FromBytes(RandomBytes(16));
  user.name = statement.name.text;
  user.created_at = std::time(nullptr);
  ApplyOptions(statement.options, "CREATE USER", user);
  if (statement.password) user.verifier = VerifierOf(*statement.password);
  try {
    if (!database.catalog.AddUser(user)) FailExists(statement.name);
  } catch (const Error& error) {
    throw error.At(statement.name.range);
  }
  database.cache.SetOwnerBudget(user.id, user.state_bytes);
  return "CREATE USER";
}

std::string RunAlterUser(const ast::AlterUser& statement, Database::Rep& database,
                         ResultSink& sink) {
  // Outside of the catalog's lock, since it takes milliseconds.
  std::string verifier;
  if (const auto* set = std::get_if<ast::AlterUser::SetPassword>(&statement.action)) {
    verifier = VerifierOf(set->password);
  }
  if (const auto* rename = std::get_if<ast::AlterUser::Rename>(&statement.action)) {
    CheckName(rename->name);
  }
  std::string key;
  UserDefinition after;
  const auto change = [&](UserDefinition& user) {
    if (!verifier.empty()) user.verifier = verifier;
    if (const auto* set = std::get_if<ast::AlterUser::SetOptions>(&statement.action)) {
      ApplyOptions(set->options, "ALTER USER", user);
    } else if (const auto* rename = std::get_if<ast::AlterUser::Rename>(&statement.action)) {
      user.name = rename->name.text;
    } else if (const auto* add = std::get_if<ast::AlterUser::AddKey>(&statement.action)) {
      key = AddKey(add->name, user);
    } else if (const auto* drop = std::get_if<ast::AlterUser::DropKey>(&statement.action)) {
      DropKey(drop->name, user);
    }
    after = user;
  };
  try {
    if (!database.catalog.ChangeUser(statement.name.text, change)) {
      FailUnknown(statement.name, database.catalog);
    }
  } catch (const Error& error) {
    throw error.At(statement.name.range);
  }
  database.cache.SetOwnerBudget(after.id, after.state_bytes);
  if (!key.empty()) {
    sink.OnColumns(AlterUserColumns(statement));
    sink.OnRow({after.name, std::get<ast::AlterUser::AddKey>(statement.action).name.text, key});
    sink.OnNotice("the key is shown this once: only its digest is kept");
  }
  return "ALTER USER";
}

std::string RunDropUser(const ast::DropUser& statement, Database::Rep& database, ResultSink& sink) {
  const std::optional<UserDefinition> user = database.catalog.FindUser(statement.name.text);
  if (!user) {
    if (!statement.if_exists) FailUnknown(statement.name, database.catalog);
    sink.OnNotice("user \"" + statement.name.text + "\" does not exist");
    return "DROP USER";
  }
  std::vector<std::string> owned;
  for (const ObjectAccess& access : database.catalog.Accesses()) {
    if (access.owner != user->id) continue;
    owned.push_back(std::string(ObjectKindName(access.object.kind)) + " \"" + access.object.name +
                    "\"");
  }
  const std::vector<ChatDefinition> chats = ChatsWhere(
      database.catalog, [&](const ChatDefinition& chat) { return chat.owner == user->id; });
  std::vector<ChatHold> holds;
  for (const ChatDefinition& chat : chats) {
    holds.push_back(database.HoldChat(chat.name, statement.name.range));
  }
  try {
    if (!database.catalog.DropUser(user->name)) FailUnknown(statement.name, database.catalog);
  } catch (const Error& error) {
    throw error.At(statement.name.range);
  }
  for (const ChatDefinition& chat : chats) {
    database.catalog.DropChat(chat.name);
    CollectStatesOf(chat, database.catalog, database.cache);
  }
  database.cache.EraseOwned(user->id);
  for (const ChatDefinition& chat : chats) sink.OnNotice("chat \"" + chat.name + "\" is ended too");
  for (const std::string& object : owned) {
    sink.OnNotice(object + " has no owner any more; admins may change it");
  }
  return "DROP USER";
}

std::string RunGrant(const ast::Grant& statement, Database::Rep& database) {
  const ObjectName object = ObjectOf(statement);
  const std::set<Privilege> privileges = PrivilegesOf(statement, object.kind);
  const std::vector<Digest> grantees = GranteesOf(statement, database.catalog);
  if (object.kind == ObjectName::Kind::kModel) database.FindModel(statement.object);
  if (object.kind == ObjectName::Kind::kSchema) database.FindSchema(statement.object);
  database.catalog.ChangeAccess(object, [&](ObjectAccess& access) {
    for (const Digest& grantee : grantees) {
      std::set<Privilege>& held = access.grants[grantee];
      for (const Privilege privilege : privileges) {
        if (statement.is_grant) {
          held.insert(privilege);
        } else {
          held.erase(privilege);
        }
      }
    }
  });
  return statement.is_grant ? "GRANT" : "REVOKE";
}

}  // namespace promptdb
