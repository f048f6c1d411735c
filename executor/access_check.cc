// Which right each kind of statement takes: the whole list, in one place.
#include <algorithm>
#include <variant>

#include "executor/access.h"
#include "executor/settings.h"
#include "planner/urgency_options.h"

namespace promptdb {

namespace {

bool ReadsFile(const ast::Part& part) {
  return part.file || std::any_of(part.children.begin(), part.children.end(), ReadsFile);
}

// Whoever may name files of the server can read what the server can.
constexpr std::string_view kFiles = "a path of a file on the server";

class RightsCheck {
 public:
  RightsCheck(const Access& access, const Catalog& catalog) : access_(access), catalog_(catalog) {}

  // ---- Definitions ----

  void operator()(const ast::CreateModel& node) const {
    access_.DemandAdmin(kFiles, node.path.range);
  }
  void operator()(const ast::DropModel& node) const {
    if (node.if_exists && !catalog_.HasModel(node.name.text)) return;
    access_.DemandModel(Privilege::kAdmin, node.name);
  }
  void operator()(const ast::CreateSchema& node) const {
    const bool exists = catalog_.HasSchema(node.name.text);
    if (exists && node.or_replace) {
      access_.DemandSchema(Privilege::kAdmin, node.name);
    } else {
      access_.DemandCreate(node.name.range);
    }
    access_.DemandModel(Privilege::kUsage, node.model);
    for (const ast::Part& part : node.parts) DemandNoFile(part);
  }
  void operator()(const ast::AlterSchema& node) const {
    access_.DemandSchema(Privilege::kAdmin, node.name);
    if (const auto* part = std::get_if<ast::Part>(&node.action)) DemandNoFile(*part);
  }
  void operator()(const ast::DropSchema& node) const {
    if (node.if_exists && !catalog_.HasSchema(node.name.text)) return;
    access_.DemandSchema(Privilege::kAdmin, node.name);
  }
  void operator()(const ast::ImportSchema& node) const {
    access_.DemandAdmin(kFiles, node.path.range);
  }
  void operator()(const ast::ExportSchema& node) const {
    access_.DemandAdmin(kFiles, node.path.range);
  }
  void operator()(const ast::ImportStates& node) const {
    access_.DemandAdmin(kFiles, node.path.range);
  }
  void operator()(const ast::ExportStates& node) const {
    access_.DemandAdmin(kFiles, node.path.range);
  }

  // ---- Queries ----

  // Where the schema is known: a prompt in PML names its own.
  void operator()(const ast::Select&) const {}
  void operator()(const ast::Explain&) const {}
  // Lists what may be seen.
  void operator()(const ast::SystemSelect&) const {}
  void operator()(const ast::Show& node) const {
    if (node.from_schema) access_.DemandSchema(Privilege::kUsage, *node.from_schema);
  }
  void operator()(const ast::Describe& node) const {
    if (node.what == ast::Describe::What::kModel) {
      access_.DemandModel(Privilege::kUsage, node.path.front());
    } else {
      access_.DemandSchema(Privilege::kUsage, node.path.front());
    }
  }
  // What it was prepared from is checked when it is executed.
  void operator()(const ast::Prepare&) const {}
  void operator()(const ast::Execute&) const {}
  void operator()(const ast::Deallocate&) const {}

  // ---- Chats ----

  void operator()(const ast::BeginChat& node) const {
    access_.DemandSchema(Privilege::kUsage, node.schema);
  }
  void operator()(const ast::ContinueChat& node) const { DemandChatToUse(node.name); }
  void operator()(const ast::ForkChat& node) const { DemandChatToUse(node.from); }
  void operator()(const ast::EndChat& node) const { access_.DemandChat(node.name); }

  // ---- The cache ----

  void operator()(const ast::Warm& node) const {
    access_.DemandSchema(Privilege::kUsage, node.schema);
  }
  void operator()(const ast::Pin& node) const {
    access_.DemandSchema(Privilege::kAdmin, node.schema);
  }
  void operator()(const ast::Evict& node) const {
    access_.DemandSchema(Privilege::kAdmin, node.schema);
  }
  void operator()(const ast::AlterModule& node) const {
    access_.DemandSchema(Privilege::kAdmin, node.path.front());
  }

  // ---- The whole database ----

  void operator()(const ast::AnalyzeModel&) const { access_.DemandAdmin("ANALYZE MODEL"); }
  void operator()(const ast::Analyze&) const { access_.DemandAdmin("ANALYZE"); }
  void operator()(const ast::CheckDatabase&) const { access_.DemandAdmin("CHECK DATABASE"); }
  void operator()(const ast::Vacuum&) const { access_.DemandAdmin("VACUUM"); }
  void operator()(const ast::Backup& node) const { access_.DemandAdmin("BACKUP", node.path.range); }
  void operator()(const ast::Restore& node) const {
    access_.DemandAdmin("RESTORE", node.path.range);
  }
  void operator()(const ast::Set& node) const { DemandSetting(node.name); }
  void operator()(const ast::Reset& node) const { DemandSetting(node.name); }

  // ---- Users ----

  void operator()(const ast::CreateUser& node) const {
    access_.DemandAdmin("CREATE USER", node.name.range);
  }
  void operator()(const ast::DropUser& node) const {
    access_.DemandAdmin("DROP USER", node.name.range);
  }
  // Users have their own password and keys.
  void operator()(const ast::AlterUser& node) const {
    const bool is_own = access_.user() != nullptr && access_.user()->name == node.name.text &&
                        (std::holds_alternative<ast::AlterUser::SetPassword>(node.action) ||
                         std::holds_alternative<ast::AlterUser::AddKey>(node.action) ||
                         std::holds_alternative<ast::AlterUser::DropKey>(node.action));
    if (!is_own) access_.DemandAdmin("ALTER USER", node.name.range);
  }
  void operator()(const ast::Grant& node) const {
    switch (node.on) {
      case ast::Grant::On::kModel:
        return access_.DemandModel(Privilege::kAdmin, node.object);
      case ast::Grant::On::kSchema:
        return access_.DemandSchema(Privilege::kAdmin, node.object);
      default:
        return access_.DemandAdmin(node.is_grant ? "GRANT ON DATABASE" : "REVOKE ON DATABASE");
    }
  }

 private:
  void DemandNoFile(const ast::Part& part) const {
    if (ReadsFile(part)) access_.DemandAdmin(kFiles, part.range);
  }
  void DemandChatToUse(const ast::Name& name) const {
    access_.DemandChat(name);
    // What was granted when it began may have been revoked since.
    const auto chat = catalog_.FindChat(name.text);
    if (chat) access_.DemandSchema(Privilege::kUsage, {chat->schema, name.range});
  }
  void DemandSetting(const ast::Name& name) const {
    if (Settings::IsOfDatabase(name.text)) {
      access_.DemandAdmin("SET " + name.text + ", which is the whole database's,", name.range);
    }
  }

  const Access& access_;
  const Catalog& catalog_;
};

}  // namespace

void CheckRights(const ast::StatementNode& statement, const Access& access,
                 const Catalog& catalog) {
  if (access.is_admin()) return;
  std::visit(RightsCheck(access, catalog), statement);
  // Others wait for whoever goes before them.
  const ast::Literal* priority = NamedPriority(statement);
  if (priority != nullptr && LiteralPriority(*priority) > 0) {
    access.DemandAdmin("a priority above normal", priority->range);
  }
}

bool IsMetered(const ast::StatementNode& statement) {
  if (const auto* select = std::get_if<ast::Select>(&statement)) {
    return select->kind != ast::Select::Kind::kTokens;
  }
  if (const auto* explain = std::get_if<ast::Explain>(&statement)) return explain->analyze;
  if (const auto* pin = std::get_if<ast::Pin>(&statement)) return pin->is_pinned;
  return std::holds_alternative<ast::ContinueChat>(statement) ||
         std::holds_alternative<ast::Warm>(statement);
}

}  // namespace promptdb
