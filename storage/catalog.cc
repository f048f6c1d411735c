#include "storage/catalog.h"

#include "base/error.h"
#include "storage/catalog_rows.h"

namespace promptdb {

namespace {

constexpr std::string_view kModelPrefix = "model/";
constexpr std::string_view kSchemaPrefix = "schema/";

std::string RowKey(std::string_view prefix, std::string_view name) {
  return std::string(prefix) + std::string(name);
}

// Reads all rows of one kind. A row that can't be read stops the opening: unlike states,
// definitions are not to be had again by computing.
template <typename Definition>
void LoadRows(const Rocks& rocks, std::string_view prefix,
              Definition (*decode)(std::string_view row),
              std::map<std::string, Definition, std::less<>>& out) {
  rocks.Scan(Family::kCatalog, prefix, [&](std::string_view key, std::string_view row) {
    try {
      Definition definition = decode(row);
      if (RowKey(prefix, definition.name) != key) {
        throw Error(ErrorCode::kCorrupt, "it names itself \"" + definition.name + "\"");
      }
      out[definition.name] = std::move(definition);
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
  for (const auto& [name, definition] : rows) values.push_back(definition);
  return values;
}

}  // namespace

Catalog::Catalog(Rocks* rocks) : rocks_(rocks) {
  LoadRows(*rocks, kModelPrefix, DecodeModel, models_);
  LoadRows(*rocks, kSchemaPrefix, DecodeSchema, schemas_);
}

std::optional<ModelDefinition> Catalog::FindModel(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return Find(models_, name);
}

std::optional<SchemaDefinition> Catalog::FindSchema(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return Find(schemas_, name);
}

std::vector<ModelDefinition> Catalog::Models() const {
  const std::scoped_lock lock(mutex_);
  return Values(models_);
}

std::vector<SchemaDefinition> Catalog::Schemas() const {
  const std::scoped_lock lock(mutex_);
  return Values(schemas_);
}

// Changes hold the mutex while they write, so that memory and disk see them in one order. The write
// comes first: when it fails, memory has not changed.

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
  rocks_->Write(std::move(batch));
  if (const auto found = schemas_.find(name); found != schemas_.end()) schemas_.erase(found);
  schemas_[renamed.name] = renamed;
}

void Catalog::DropModel(std::string_view name, const std::vector<std::string>& schemas) {
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kModelPrefix, name));
  for (const std::string& schema : schemas) {
    batch.Delete(Family::kCatalog, RowKey(kSchemaPrefix, schema));
  }
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  if (const auto found = models_.find(name); found != models_.end()) models_.erase(found);
  for (const std::string& schema : schemas) schemas_.erase(schema);
}

void Catalog::DropSchema(std::string_view name) {
  Rocks::Batch batch;
  batch.Delete(Family::kCatalog, RowKey(kSchemaPrefix, name));
  const std::scoped_lock lock(mutex_);
  rocks_->Write(std::move(batch));
  if (const auto found = schemas_.find(name); found != schemas_.end()) schemas_.erase(found);
}

}  // namespace promptdb
