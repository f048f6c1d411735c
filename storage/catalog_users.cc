// The catalog's users, rights and used quotas.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "storage/catalog.h"
#include "storage/catalog_keys.h"
#include "storage/user_rows.h"

namespace promptdb {

namespace {

// Nobody could change a user over the network any more, and who had no right would stay without.
void CheckAdminRemains(const std::map<std::string, UserDefinition, std::less<>>& users) {
  const bool has_admin = std::any_of(users.begin(), users.end(), [](const auto& entry) {
    return entry.second.is_working_admin();
  });
  if (users.empty() || has_admin) return;
  throw Error(ErrorCode::kInvalidArgument, "no user who may log in would be an admin",
              "CREATE USER name PASSWORD '…' WITH (admin = on); comes first.");
}

}  // namespace

bool Catalog::HasUsers() const {
  const std::scoped_lock lock(mutex_);
  return !users_.empty();
}

std::optional<UserDefinition> Catalog::FindUser(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = users_.find(name);
  if (found == users_.end()) return std::nullopt;
  return found->second;
}

std::optional<UserDefinition> Catalog::FindUser(const Digest& id) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [name, user] : users_) {
    if (user.id == id) return user;
  }
  return std::nullopt;
}

std::optional<UserDefinition> Catalog::FindUserOfKey(std::string_view digest) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [name, user] : users_) {
    for (const ApiKey& key : user.keys) {
      if (key.digest == digest) return user;
    }
  }
  return std::nullopt;
}

std::vector<UserDefinition> Catalog::Users() const {
  const std::scoped_lock lock(mutex_);
  std::vector<UserDefinition> users;
  for (const auto& [name, user] : users_) users.push_back(user);
  return users;
}

bool Catalog::AddUser(const UserDefinition& user) {
  const std::scoped_lock lock(mutex_);
  auto users = users_;
  if (!users.emplace(user.name, user).second) return false;
  CheckAdminRemains(users);
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, RowKey(kUserPrefix, user.name), EncodeUser(user));
  rocks_->Write(std::move(batch));
  users_ = std::move(users);
  return true;
}

bool Catalog::ChangeUser(std::string_view name,
                         const std::function<void(UserDefinition& user)>& change) {
  const std::scoped_lock lock(mutex_);
  auto users = users_;
  const auto found = users.find(name);
  if (found == users.end()) return false;
  UserDefinition changed = found->second;
  change(changed);
  Check(changed.id == found->second.id, "a user stays the same");
  users.erase(found);
  if (users.contains(changed.name)) {
    throw Error(ErrorCode::kDuplicateName, "user \"" + changed.name + "\" exists already");
  }
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kUserPrefix, name));
  batch.Put(Family::kCatalog, RowKey(kUserPrefix, changed.name), EncodeUser(changed));
  users.emplace(changed.name, changed);
  CheckAdminRemains(users);
  rocks_->Write(std::move(batch));
  users_ = std::move(users);
  return true;
}

bool Catalog::DropUser(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  auto users = users_;
  const auto found = users.find(name);
  if (found == users.end()) return false;
  const Digest id = found->second.id;
  users.erase(found);
  CheckAdminRemains(users);
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kUserPrefix, name));
  batch.Delete(Family::kCatalog, RowKey(kUsagePrefix, id.ToHex()));
  auto accesses = accesses_;
  for (auto& [key, access] : accesses) {
    if (access.owner == id) access.owner = kPublic;
    access.grants.erase(id);
    if (access != accesses_.at(key)) WriteAccess(access, batch);
  }
  std::erase_if(accesses, [](const auto& entry) { return entry.second.is_default(); });
  rocks_->Write(std::move(batch));
  users_ = std::move(users);
  accesses_ = std::move(accesses);
  usages_.erase(id.ToHex());
  return true;
}

// ---- Rights ------------------------------------------------------------------------------------

ObjectAccess Catalog::AccessTo(const ObjectName& object) const {
  const std::scoped_lock lock(mutex_);
  const auto found = accesses_.find(AccessKey(object));
  return found == accesses_.end() ? ObjectAccess{object, {}, {}} : found->second;
}

std::vector<ObjectAccess> Catalog::Accesses() const {
  const std::scoped_lock lock(mutex_);
  std::vector<ObjectAccess> accesses;
  for (const auto& [key, access] : accesses_) accesses.push_back(access);
  return accesses;
}

bool Catalog::ChangeAccess(const ObjectName& object,
                           const std::function<void(ObjectAccess& access)>& change) {
  const std::scoped_lock lock(mutex_);
  if (object.kind == ObjectName::Kind::kModel && !models_.contains(object.name)) return false;
  if (object.kind == ObjectName::Kind::kSchema && !schemas_.contains(object.name)) return false;
  const std::string key = AccessKey(object);
  const auto found = accesses_.find(key);
  ObjectAccess access = found == accesses_.end() ? ObjectAccess{object, {}, {}} : found->second;
  change(access);
  std::erase_if(access.grants, [](const auto& grant) { return grant.second.empty(); });
  Rocks::Batch batch;
  WriteAccess(access, batch);
  rocks_->Write(std::move(batch));
  if (access.is_default()) {
    accesses_.erase(key);
  } else {
    accesses_.insert_or_assign(key, std::move(access));
  }
  return true;
}

void Catalog::WriteAccess(const ObjectAccess& access, Rocks::Batch& batch) {
  const std::string key = RowKey(kAccessPrefix, AccessKey(access.object));
  if (access.is_default()) {
    batch.Delete(Family::kCatalog, key);
  } else {
    batch.Put(Family::kCatalog, key, EncodeAccess(access));
  }
}

// ---- Used quotas -------------------------------------------------------------------------------

int64_t Catalog::TokensUsed(const Digest& user, int64_t day) const {
  const std::scoped_lock lock(mutex_);
  const auto found = usages_.find(user.ToHex());
  return found == usages_.end() || found->second.day != day ? 0 : found->second.tokens;
}

void Catalog::AddTokensUsed(const Digest& user, int64_t day, int64_t tokens) {
  const std::string key = user.ToHex();
  const std::scoped_lock lock(mutex_);
  const bool is_there = std::any_of(users_.begin(), users_.end(),
                                    [&](const auto& entry) { return entry.second.id == user; });
  if (!is_there) return;  // dropped meanwhile
  TokenUsage usage{user, day, tokens};
  if (const auto found = usages_.find(key); found != usages_.end() && found->second.day == day) {
    usage.tokens += found->second.tokens;
  }
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, RowKey(kUsagePrefix, key), EncodeUsage(usage));
  // A crash of the machine may forget the last statements' tokens; nobody waits for the disk.
  rocks_->Write(std::move(batch), /*sync=*/false);
  usages_.insert_or_assign(key, usage);
}

}  // namespace promptdb
