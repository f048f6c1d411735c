// Models, schemas, chats, users and their rights, measured accuracies and the machine's rates, kept
// as JSON rows in RocksDB. Every change is one durable, atomic write.
//
// Thread-safe; readers get copies.
#ifndef PROMPTDB_STORAGE_CATALOG_H_
#define PROMPTDB_STORAGE_CATALOG_H_

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/chat_definition.h"
#include "storage/machine_rates.h"
#include "storage/model_accuracy.h"
#include "storage/rocks.h"
#include "storage/schema_definition.h"
#include "storage/user_definition.h"

namespace promptdb {

class Catalog {
 public:
  // `rocks` is borrowed. Reads all rows; throws Error(kCorrupt) that names a row it can't read. The
  // machine's rates alone are then left out, since they can be measured again.
  explicit Catalog(Rocks* rocks);

  bool HasModel(std::string_view name) const;
  bool HasSchema(std::string_view name) const;
  std::optional<ModelDefinition> FindModel(std::string_view name) const;
  std::optional<SchemaDefinition> FindSchema(std::string_view name) const;
  std::optional<ChatDefinition> FindChat(std::string_view name) const;
  std::optional<ModelAccuracy> FindAccuracy(std::string_view model) const;
  std::vector<ModelDefinition> Models() const;    // by name
  std::vector<SchemaDefinition> Schemas() const;  // by name
  std::vector<ChatDefinition> Chats() const;      // by name
  std::vector<ModelAccuracy> Accuracies() const;  // by the model's name

  // What ANALYZE measured, on whatever machine that was.
  std::optional<MachineRates> Rates() const;

  // Adds or replaces.
  void PutRates(const MachineRates& rates);
  void PutModel(const ModelDefinition& model);
  void PutSchema(const SchemaDefinition& schema);
  // Replaces the schema `name` by one of another name, in one write, and in the chats that began
  // with it.
  void RenameSchema(std::string_view name, const SchemaDefinition& renamed);
  // Drops the model with its accuracy and, in the same write, the schemas and chats named.
  void DropModel(std::string_view name, const std::vector<std::string>& schemas,
                 const std::vector<std::string>& chats = {});
  void DropSchema(std::string_view name);

  // Adds or replaces. False, with nothing changed, where there is no model of that name.
  bool PutAccuracy(const ModelAccuracy& accuracy);

  // False, with nothing changed, where there is a chat of that name.
  bool AddChat(const ChatDefinition& chat);
  // False, with nothing changed, where there is none. The schema's name stays what it is: it may
  // have changed while the chat was continued.
  bool ReplaceChat(ChatDefinition chat);
  void DropChat(std::string_view name);

  // ---- Users and rights: catalog_users.cc ----
  //
  // As long as there are users, one of them is an admin who can log in: whatever would leave none
  // throws Error(kInvalidArgument), with nothing changed.

  bool HasUsers() const;
  std::optional<UserDefinition> FindUser(std::string_view name) const;
  std::optional<UserDefinition> FindUser(const Digest& id) const;
  // `digest`: as ApiKey has it.
  std::optional<UserDefinition> FindUserOfKey(std::string_view digest) const;
  std::vector<UserDefinition> Users() const;  // by name
  // False, with nothing changed, where there is a user of that name.
  bool AddUser(const UserDefinition& user);
  // False where there is no such user. Nobody else changes users meanwhile; what `change` throws
  // leaves things as they were. Throws Error(kDuplicateName) for a new name that is taken.
  bool ChangeUser(std::string_view name, const std::function<void(UserDefinition& user)>& change);
  // The user's rights and used quotas go too, and what the user owned has no owner any more. False
  // where there is no such user.
  bool DropUser(std::string_view name);

  // Who owns the object, and who may do what with it.
  ObjectAccess AccessTo(const ObjectName& object) const;
  std::vector<ObjectAccess> Accesses() const;  // that are not the default, by object
  // As ChangeUser(). False where there is no such object.
  bool ChangeAccess(const ObjectName& object,
                    const std::function<void(ObjectAccess& access)>& change);

  // `day`: since 1970. AddTokensUsed() does not wait for the disk.
  int64_t TokensUsed(const Digest& user, int64_t day) const;
  void AddTokensUsed(const Digest& user, int64_t day, int64_t tokens);

  // A row as it lies on disk.
  struct RowCheck {
    std::string key;
    int64_t bytes = 0;
    std::string damage;  // what is wrong with it, or ""
  };
  // Reads every row anew. Throws Error(kCorrupt) where RocksDB can't go on.
  std::vector<RowCheck> CheckRows() const;

  // Takes over every row of another database's catalog, in one write with `batch`. Throws
  // Error(kInvalidArgument), with nothing changed, where this catalog is not empty; as the
  // constructor does for a row of the other that can't be read.
  void Adopt(Rocks* source, Rocks::Batch batch);
  bool IsEmpty() const;

 private:
  void WriteChat(const ChatDefinition& chat);  // REQUIRES: mutex_ held
  bool HasNoRows() const;                      // REQUIRES: mutex_ held
  static void WriteAccess(const ObjectAccess& access, Rocks::Batch& batch);

  Rocks* rocks_;
  mutable std::mutex mutex_;
  std::map<std::string, ModelDefinition, std::less<>> models_;    // guarded by mutex_
  std::map<std::string, SchemaDefinition, std::less<>> schemas_;  // guarded by mutex_
  std::map<std::string, ChatDefinition, std::less<>> chats_;      // guarded by mutex_
  std::map<std::string, ModelAccuracy, std::less<>> accuracies_;  // by model, guarded by mutex_
  std::optional<MachineRates> rates_;                             // guarded by mutex_
  std::map<std::string, UserDefinition, std::less<>> users_;      // guarded by mutex_
  std::map<std::string, ObjectAccess, std::less<>> accesses_;  // by AccessKey(), guarded by mutex_
  std::map<std::string, TokenUsage, std::less<>> usages_;      // by user, guarded by mutex_
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_CATALOG_H_
