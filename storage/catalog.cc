#include "storage/catalog.h"

#include "base/error.h"
#include "storage/catalog_keys.h"
#include "storage/catalog_rows.h"
#include "storage/user_rows.h"

namespace promptdb {

namespace {

const std::string& NameOf(const ModelDefinition& model) { return model.name; }
const std::string& NameOf(const SchemaDefinition& schema) { return schema.name; }
const std::string& NameOf(const ChatDefinition& chat) { return chat.name; }
const std::string& NameOf(const ModelAccuracy& accuracy) { return accuracy.model; }
const std::string& NameOf(const UserDefinition& user) { return user.name; }
std::string NameOf(const ObjectAccess& access) { return AccessKey(access.object); }
std::string NameOf(const TokenUsage& usage) { return usage.user.ToHex(); }

// Reads all rows of one kind. A row that can't be read stops the opening: unlike states,
// definitions are not to be had again by computing.
template <typename Definition>
void LoadRows(const Rocks& rocks, std::string_view prefix,
              Definition (*decode)(std::string_view row),
              std::map<std::string, Definition, std::less<>>& out) {
  rocks.Scan(Family::kCatalog, prefix, [&](std::string_view key, std::string_view row) {
    try {
      Definition definition = decode(row);
      const std::string name = NameOf(definition);
      if (RowKey(prefix, name) != key) {
        throw Error(ErrorCode::kCorrupt, "it names itself \"" + name + "\"");
      }
      out[name] = std::move(definition);
    } catch (const Error& error) {
      throw Error(error.code(),
                  "catalog row \"" + std::string(key) + "\" can't be read: " + error.message(),
                  error.code() == ErrorCode::kUnsupported
                      ? "Use the newer release, or name another database folder."
                      : "Restore the database folder from a copy, or start with an empty one.");
    }
    return true;
  });
}

// Throws Error where the row can't be read. Rows of kinds that are not known are left alone.
void CheckRow(std::string_view key, std::string_view row) {
  const auto check = [&](std::string_view prefix, const auto& definition) {
    if (RowKey(prefix, NameOf(definition)) != key) {
      throw Error(ErrorCode::kCorrupt, "it names itself \"" + NameOf(definition) + "\"");
    }
  };
  if (key.starts_with(kModelPrefix)) check(kModelPrefix, DecodeModel(row));
  if (key.starts_with(kSchemaPrefix)) check(kSchemaPrefix, DecodeSchema(row));
  if (key.starts_with(kChatPrefix)) check(kChatPrefix, DecodeChat(row));
  if (key.starts_with(kAccuracyPrefix)) check(kAccuracyPrefix, DecodeAccuracy(row));
  if (key.starts_with(kUserPrefix)) check(kUserPrefix, DecodeUser(row));
  if (key.starts_with(kAccessPrefix)) check(kAccessPrefix, DecodeAccess(row));
  if (key.starts_with(kUsagePrefix)) check(kUsagePrefix, DecodeUsage(row));
}

template <typename Definition>
std::optional<Definition> Find(const std::map<std::string, Definition, std::less<>>& rows,
                               std::string_view name) {
  const auto found = rows.find(name);
  if (found == rows.end()) return std::nullopt;
  return found->second;
}

template <typename Definition>
std::vector<Definition> Values(const std::map<std::string, Definition, std::less<>>& rows) {
  std::vector<Definition> values;
  values.reserve(rows.size());
  for (const auto& [name, definition] : rows) values.push_back(definition);
  return values;
}

}  // namespace

Catalog::Catalog(Rocks* rocks) : rocks_(rocks) {
  LoadRows(*rocks, kModelPrefix, DecodeModel, models_);
  LoadRows(*rocks, kSchemaPrefix, DecodeSchema, schemas_);
  LoadRows(*rocks, kChatPrefix, DecodeChat, chats_);
  LoadRows(*rocks, kAccuracyPrefix, DecodeAccuracy, accuracies_);
  LoadRows(*rocks, kUserPrefix, DecodeUser, users_);
  LoadRows(*rocks, kAccessPrefix, DecodeAccess, accesses_);
  LoadRows(*rocks, kUsagePrefix, DecodeUsage, usages_);
  if (const auto row = rocks->Get(Family::kCatalog, kRatesKey)) {
    try {
      rates_ = DecodeRates(*row);
    } catch (const Error&) {
      // As if they had never been measured.
    }
  }
}

bool Catalog::HasModel(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return models_.contains(name);
}

bool Catalog::HasSchema(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return schemas_.contains(name);
}

std::optional<ModelDefinition> Catalog::FindModel(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return Find(models_, name);
}

std::optional<SchemaDefinition> Catalog::FindSchema(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return Find(schemas_, name);
}

std::optional<ChatDefinition> Catalog::FindChat(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return Find(chats_, name);
}

std::optional<ModelAccuracy> Catalog::FindAccuracy(std::string_view model) const {
  const std::scoped_lock lock(mutex_);
  return Find(accuracies_, model);
}

std::vector<ModelDefinition> Catalog::Models() const {
  const std::scoped_lock lock(mutex_);
  return Values(models_);
}

std::vector<SchemaDefinition> Catalog::Schemas() const {
  const std::scoped_lock lock(mutex_);
  return Values(schemas_);
}

std::vector<ChatDefinition> Catalog::Chats() const {
  const std::scoped_lock lock(mutex_);
  return Values(chats_);
}

std::vector<ModelAccuracy> Catalog::Accuracies() const {
  const std::scoped_lock lock(mutex_);
  return Values(accuracies_);
}

std::optional<MachineRates> Catalog::Rates() const {
  const std::scoped_lock lock(mutex_);
  return rates_;
}

// Changes hold the mutex while they write, so that memory and disk see them in one order. The write
// comes first: when it fails, memory has not changed.

void Catalog::PutRates(const MachineRates& rates) {
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, kRatesKey, EncodeRates(rates));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  rates_ = rates;
}

void Catalog::PutModel(const ModelDefinition& model) {
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, RowKey(kModelPrefix, model.name), EncodeModel(model));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  models_[model.name] = model;
}

void Catalog::PutSchema(const SchemaDefinition& schema) {
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, RowKey(kSchemaPrefix, schema.name), EncodeSchema(schema));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  schemas_[schema.name] = schema;
}

void Catalog::RenameSchema(std::string_view name, const SchemaDefinition& renamed) {
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kSchemaPrefix, name));
  batch.Put(Family::kCatalog, RowKey(kSchemaPrefix, renamed.name), EncodeSchema(renamed));
  const std::scoped_lock lock(mutex_);
  std::vector<ChatDefinition> chats;
  for (const auto& [chat_name, chat] : chats_) {
    if (chat.schema != name) continue;
    chats.push_back(chat);
    chats.back().schema = renamed.name;
    batch.Put(Family::kCatalog, RowKey(kChatPrefix, chat_name), EncodeChat(chats.back()));
  }
  const ObjectName before{ObjectName::Kind::kSchema, std::string(name)};
  std::optional<ObjectAccess> access;
  if (const auto found = accesses_.find(AccessKey(before)); found != accesses_.end()) {
    access = found->second;
    access->object.name = renamed.name;
    batch.Delete(Family::kCatalog, RowKey(kAccessPrefix, AccessKey(before)));
    WriteAccess(*access, batch);
  }
  rocks_->Write(std::move(batch));
  if (const auto found = schemas_.find(name); found != schemas_.end()) schemas_.erase(found);
  schemas_[renamed.name] = renamed;
  if (access) {
    accesses_.erase(AccessKey(before));
    accesses_.insert_or_assign(AccessKey(access->object), *access);
  }
  for (ChatDefinition& chat : chats) chats_[chat.name] = std::move(chat);
}

void Catalog::DropModel(std::string_view name, const std::vector<std::string>& schemas,
                        const std::vector<std::string>& chats) {
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kModelPrefix, name));
  batch.Delete(Family::kCatalog, RowKey(kAccuracyPrefix, name));
  std::vector<std::string> rights = {AccessKey({ObjectName::Kind::kModel, std::string(name)})};
  for (const std::string& schema : schemas) {
    batch.Delete(Family::kCatalog, RowKey(kSchemaPrefix, schema));
    rights.push_back(AccessKey({ObjectName::Kind::kSchema, schema}));
  }
  for (const std::string& key : rights) batch.Delete(Family::kCatalog, RowKey(kAccessPrefix, key));
  for (const std::string& chat : chats) batch.Delete(Family::kCatalog, RowKey(kChatPrefix, chat));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  if (const auto found = models_.find(name); found != models_.end()) models_.erase(found);
  if (const auto found = accuracies_.find(name); found != accuracies_.end()) {
    accuracies_.erase(found);
  }
  for (const std::string& schema : schemas) schemas_.erase(schema);
  for (const std::string& chat : chats) chats_.erase(chat);
  for (const std::string& key : rights) accesses_.erase(key);
}

void Catalog::DropSchema(std::string_view name) {
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kSchemaPrefix, name));
  const std::string rights = AccessKey({ObjectName::Kind::kSchema, std::string(name)});
  batch.Delete(Family::kCatalog, RowKey(kAccessPrefix, rights));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  if (const auto found = schemas_.find(name); found != schemas_.end()) schemas_.erase(found);
  accesses_.erase(rights);
}

bool Catalog::PutAccuracy(const ModelAccuracy& accuracy) {
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, RowKey(kAccuracyPrefix, accuracy.model), EncodeAccuracy(accuracy));
  const std::scoped_lock lock(mutex_);
  if (!models_.contains(accuracy.model)) return false;
  rocks_->Write(std::move(batch));
  accuracies_[accuracy.model] = accuracy;
  return true;
}

bool Catalog::AddChat(const ChatDefinition& chat) {
  const std::scoped_lock lock(mutex_);
  if (chats_.contains(chat.name)) return false;
  WriteChat(chat);
  return true;
}

bool Catalog::ReplaceChat(ChatDefinition chat) {
  const std::scoped_lock lock(mutex_);
  const auto found = chats_.find(chat.name);
  if (found == chats_.end()) return false;
  chat.schema = found->second.schema;
  WriteChat(chat);
  return true;
}

void Catalog::WriteChat(const ChatDefinition& chat) {
  Rocks::Batch batch;
  batch.Put(Family::kCatalog, RowKey(kChatPrefix, chat.name), EncodeChat(chat));
  rocks_->Write(std::move(batch));
  chats_[chat.name] = chat;
}

void Catalog::DropChat(std::string_view name) {
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kChatPrefix, name));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  if (const auto found = chats_.find(name); found != chats_.end()) chats_.erase(found);
}

std::vector<Catalog::RowCheck> Catalog::CheckRows() const {
  std::vector<RowCheck> checks;
  rocks_->Scan(Family::kCatalog, "", [&](std::string_view key, std::string_view row) {
    checks.push_back({std::string(key), static_cast<int64_t>(row.size()), ""});
    try {
      CheckRow(key, row);
    } catch (const Error& error) {
      checks.back().damage = error.message();
    }
    return true;
  });
  return checks;
}

bool Catalog::HasNoRows() const {
  return models_.empty() && schemas_.empty() && chats_.empty() && accuracies_.empty() &&
         users_.empty();
}

bool Catalog::IsEmpty() const {
  const std::scoped_lock lock(mutex_);
  return HasNoRows();
}

void Catalog::Adopt(Rocks* source, Rocks::Batch batch) {
  Catalog adopted(source);
  source->Scan(Family::kCatalog, "", [&](std::string_view key, std::string_view row) {
    batch.Put(Family::kCatalog, key, row);
    return true;
  });
  const std::scoped_lock lock(mutex_);
  if (!HasNoRows()) {
    throw Error(ErrorCode::kInvalidArgument, "the database has models, schemas or users already");
  }
  rocks_->Write(std::move(batch));
  models_ = std::move(adopted.models_);
  schemas_ = std::move(adopted.schemas_);
  chats_ = std::move(adopted.chats_);
  accuracies_ = std::move(adopted.accuracies_);
  users_ = std::move(adopted.users_);
  accesses_ = std::move(adopted.accesses_);
  usages_ = std::move(adopted.usages_);
}

}  // namespace promptdb
