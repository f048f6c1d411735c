// What the user behind a statement may do.
//
// Nothing is allowed that was not granted. Admins, and whoever has the database's files open, may
// do everything; an owner, and whoever has ADMIN on an object, everything with that; USAGE, granted
// on an object or on the whole database, is to query; CREATE, on the database, to create schemas.
//
// A value, made for each statement, so that a change counts from the next one on. Not thread-safe.
#ifndef PROMPTDB_EXECUTOR_ACCESS_H_
#define PROMPTDB_EXECUTOR_ACCESS_H_

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "parser/ast.h"
#include "planner/prompt_binder.h"
#include "storage/catalog.h"

namespace promptdb {

class Access {
 public:
  // `catalog` is borrowed. `user`: nullopt for whoever has the files. Throws Error(kDenied) for a
  // user who was dropped or disabled.
  Access(const Catalog& catalog, const std::optional<Digest>& user);

  bool is_admin() const { return !user_ || user_->is_admin; }
  // Null for whoever has the files.
  const UserDefinition* user() const { return user_ ? &*user_ : nullptr; }
  Digest id() const { return user_ ? user_->id : kPublic; }

  bool May(Privilege privilege, const ObjectName& object) const;
  bool MayQueryModel(const std::string& name) const;
  bool MayQuerySchema(const std::string& name) const;
  // To have it listed: whoever has any right to it, and to a model also who may query a schema
  // that uses it.
  bool MaySee(const ObjectName& object) const;
  bool MaySee(const ChatDefinition& chat) const { return is_admin() || chat.owner == id(); }
  bool MaySee(const UserDefinition& user) const { return is_admin() || user.id == id(); }

  // Each throws Error(kDenied) at the name, or kUnknownName where there is no such object.
  void DemandModel(Privilege privilege, const ast::Name& name) const;
  void DemandSchema(Privilege privilege, const ast::Name& name) const;
  void DemandChat(const ast::Name& name) const;
  void DemandCreate(SourceRange place) const;
  // `what`: "BACKUP", "reading files of the server".
  void DemandAdmin(std::string_view what, std::optional<SourceRange> place = std::nullopt) const;

 private:
  bool Has(Privilege privilege, const ObjectAccess& access) const;
  void Demand(Privilege privilege, const ObjectName& object, const ast::Name& name) const;

  const Catalog& catalog_;
  std::optional<UserDefinition> user_;
  // Of schemas that may be queried; once it was asked for.
  mutable std::optional<std::set<std::string>> models_of_schemas_;
};

// Whose states a prompt of the user's over the schema takes and leaves. `user`: kPublic for whoever
// has the files.
StateOwner OwnerOfStates(const Digest& user, const SchemaDefinition& schema);

// Days since 1970 in UTC: what quotas of tokens are counted by.
int64_t Today();

// Throws Error(kQuota) where the user has used up today's tokens.
void CheckTokenQuota(const Access& access, const Catalog& catalog);

// Throws Error where the user may not run the statement, before anything of it is done. Queries are
// checked where their schema is known (query_statements.cc), and lists show what one may see
// (system_tables.cc).
void CheckRights(const ast::StatementNode& statement, const Access& access, const Catalog& catalog);

// Whether the statement has the model compute, so that it counts against a quota of tokens.
bool IsMetered(const ast::StatementNode& statement);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ACCESS_H_
