#include "executor/session.h"

#include <algorithm>
#include <map>

#include "base/nearest_name.h"
#include "executor/database.h"
#include "executor/settings.h"
#include "executor/statement_columns.h"
#include "executor/statements.h"
#include "executor/threads.h"
#include "parser/parser.h"
#include "planner/module_path.h"
#include "planner/prepared_query.h"
#include "planner/system_catalog.h"

namespace promptdb {

namespace {

// Passes everything on to the user's sink, adds the session's own wish to stop and the end of the
// statement's time, and counts tokens.
class StatementSink : public RelayingSink {
 public:
  StatementSink(ResultSink& sink, const std::atomic<bool>& canceled)
      : RelayingSink(sink), canceled_(canceled) {}

  void SetUrgency(const Urgency& urgency) { urgency_ = urgency; }
  bool IsCanceled() const override { return IsCanceledByUser() || urgency_.has_passed(); }
  bool IsCanceledByUser() const { return canceled_.load() || RelayingSink::IsCanceled(); }
  // The time is over, and the user had not stopped the statement before.
  bool IsLate() const { return !IsCanceledByUser() && urgency_.has_passed(); }
  void OnTokensComputed(int64_t tokens) override {
    tokens_ += tokens;
    RelayingSink::OnTokensComputed(tokens);
  }

  int64_t tokens() const { return tokens_; }

 private:
  int64_t tokens_ = 0;
  const std::atomic<bool>& canceled_;
  Urgency urgency_;
};

Error LateError() {
  return Error(ErrorCode::kCanceled, "the deadline of the statement has passed",
               "SET deadline, or WITH (deadline = '…'), gives it more time.");
}

// Counts what a statement has computed to its user, when it ends: well, badly or by a stop.
class TokenCharge {
 public:
  // All borrowed.
  TokenCharge(const StatementSink& sink, const std::optional<Digest>& user, Catalog& catalog)
      : sink_(sink), user_(user), catalog_(catalog) {}
  ~TokenCharge() {
    if (!user_ || sink_.tokens() == 0) return;
    try {
      catalog_.AddTokensUsed(*user_, Today(), sink_.tokens());
    } catch (const Error&) {
      // The disk can't be written. That takes no answer away from anybody.
    }
  }
  TokenCharge(const TokenCharge&) = delete;
  TokenCharge& operator=(const TokenCharge&) = delete;

 private:
  const StatementSink& sink_;
  const std::optional<Digest>& user_;
  Catalog& catalog_;
};

std::optional<Digest> IdOf(const std::string& user, const Catalog& catalog) {
  if (user.empty()) return std::nullopt;
  const std::optional<UserDefinition> found = catalog.FindUser(user);
  if (!found) throw Error(ErrorCode::kDenied, "user \"" + user + "\" does not exist");
  return found->id;
}

// What an error points at that can blame nothing smaller than the statement.
SourceRange FirstWord(std::string_view text, SourceRange statement) {
  const size_t end = text.find_first_of(" \t\r\n;(", static_cast<size_t>(statement.begin));
  return {statement.begin, static_cast<int>(std::min(end, static_cast<size_t>(statement.end)))};
}

}  // namespace

struct Session::Rep {
  Rep(Database* database, const std::string& user)
      : database(database->rep()),
        user_id(IdOf(user, this->database.catalog)),
        settings(&this->database.pool, &this->database.device_pool, &this->database.cache,
                 &this->database.rocks, &this->database.query_memory,
                 this->database.default_budgets) {}

  // Checks the user's rights, and runs it.
  std::string Run(const ast::StatementNode& statement, const Access& access, ResultSink& sink);
  // As Run(), with whatever it throws turned into an Error with a place.
  void RunOne(std::string_view text, SourceRange range, const ast::StatementNode& node,
              const std::optional<Urgency>& urgency, ResultSink& sink);
  Urgency UrgencyNow(const ast::StatementNode& node) const;
  // The user owns what the user has just created.
  void Own(const ObjectName& object);
  // Throws Error(kUnknownName) at the name.
  const ast::Prepare& Prepared(const ast::Name& name) const;

  Database::Rep& database;
  const std::optional<Digest> user_id;  // stays when the user is renamed
  Settings settings;
  std::map<std::string, ast::Prepare> prepared;  // by name; they live as long as the session
  std::atomic<bool> canceled = false;
};

const ast::Prepare& Session::Rep::Prepared(const ast::Name& name) const {
  const auto found = prepared.find(name.text);
  if (found != prepared.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, query] : prepared) names.push_back(known);
  std::string hint = DidYouMean(name.text, names);
  if (hint.empty()) hint = "PREPARE " + name.text + " AS SELECT …; comes first, in this session.";
  throw Error(ErrorCode::kUnknownName, "there is no prepared query \"" + name.text + "\"", hint,
              name.range);
}

void Session::Rep::Own(const ObjectName& object) {
  if (!user_id) return;
  database.catalog.ChangeAccess(object, [&](ObjectAccess& access) { access.owner = *user_id; });
}

std::string Session::Rep::Run(const ast::StatementNode& statement, const Access& access,
                              ResultSink& sink) {
  struct Visitor {
    Rep& session;
    const Access& access;
    ResultSink& sink;

    std::string operator()(const ast::CreateModel& node) {
      const bool is_new = !session.database.catalog.HasModel(node.name.text);
      std::string tag = RunCreateModel(node, session.database, sink);
      if (is_new) session.Own({ObjectName::Kind::kModel, node.name.text});
      return tag;
    }
    std::string operator()(const ast::DropModel& node) {
      return RunDropModel(node, session.database, sink);
    }
    std::string operator()(const ast::CreateSchema& node) {
      const bool is_new = !session.database.catalog.HasSchema(node.name.text);
      std::string tag = RunCreateSchema(node, session.database, sink);
      if (is_new) session.Own({ObjectName::Kind::kSchema, node.name.text});
      return tag;
    }
    std::string operator()(const ast::AlterSchema& node) {
      return RunAlterSchema(node, session.database, sink);
    }
    std::string operator()(const ast::DropSchema& node) {
      return RunDropSchema(node, session.database, sink);
    }
    std::string operator()(const ast::ImportSchema& node) {
      return RunImportSchema(node, session.database, sink);
    }
    std::string operator()(const ast::ExportSchema& node) {
      return RunExportSchema(node, session.database, sink);
    }
    std::string operator()(const ast::ImportStates& node) {
      return RunImportStates(node, session.database, sink);
    }
    std::string operator()(const ast::ExportStates& node) {
      return RunExportStates(node, session.database, sink);
    }
    std::string operator()(const ast::Select& node) {
      return RunSelect(node, session.database, session.settings, access, sink);
    }
    std::string operator()(const ast::Explain& node) {
      return RunExplain(node, session.database, session.settings, access, sink);
    }
    std::string operator()(const ast::Warm& node) { return RunWarm(node, session.database, sink); }
    std::string operator()(const ast::Pin& node) { return RunPin(node, session.database, sink); }
    std::string operator()(const ast::Evict& node) {
      return RunEvict(node, session.database, sink);
    }
    std::string operator()(const ast::AlterModule& node) {
      return RunAlterModule(node, session.database, sink);
    }
    std::string operator()(const ast::Show& node) {
      return RunShow(node, session.database, session.settings, access, sink);
    }
    std::string operator()(const ast::Describe& node) {
      return RunDescribe(node, session.database, sink);
    }
    std::string operator()(const ast::AnalyzeModel& node) {
      return RunAnalyzeModel(node, session.database, sink);
    }
    std::string operator()(const ast::Analyze&) { return RunAnalyze(session.database, sink); }
    std::string operator()(const ast::Set& node) {
      session.settings.Set(node.name, node.value);
      return "SET";
    }
    std::string operator()(const ast::Reset& node) {
      session.settings.Reset(node.name);
      return "RESET";
    }
    std::string operator()(const ast::SystemSelect& node) {
      return RunSystemSelect(node, session.database, session.settings, access, sink);
    }
    std::string operator()(const ast::Prepare& node) {
      if (!session.prepared.emplace(node.name.text, node).second) {
        throw Error(ErrorCode::kDuplicateName,
                    "a prepared query \"" + node.name.text + "\" exists already",
                    "DEALLOCATE " + node.name.text + "; comes first.", node.name.range);
      }
      return "PREPARE";
    }
    std::string operator()(const ast::Execute& node) {
      return session.Run(WithValues(session.Prepared(node.name), node), access, sink);
    }
    std::string operator()(const ast::Deallocate& node) {
      session.Prepared(node.name);
      session.prepared.erase(node.name.text);
      return "DEALLOCATE";
    }
    std::string operator()(const ast::BeginChat& node) {
      return RunBeginChat(node, session.database, session.settings, access, sink);
    }
    std::string operator()(const ast::ContinueChat& node) {
      return RunContinueChat(node, session.database, session.settings, sink);
    }
    std::string operator()(const ast::ForkChat& node) {
      return RunForkChat(node, session.database);
    }
    std::string operator()(const ast::EndChat& node) { return RunEndChat(node, session.database); }
    std::string operator()(const ast::CheckDatabase&) {
      return RunCheckDatabase(session.database, sink);
    }
    std::string operator()(const ast::Vacuum&) { return RunVacuum(session.database, sink); }
    std::string operator()(const ast::Backup& node) {
      return RunBackup(node, session.database, sink);
    }
    std::string operator()(const ast::Restore& node) {
      return RunRestore(node, session.database, sink);
    }
    std::string operator()(const ast::CreateUser& node) {
      return RunCreateUser(node, session.database, sink);
    }
    std::string operator()(const ast::AlterUser& node) {
      return RunAlterUser(node, session.database, sink);
    }
    std::string operator()(const ast::DropUser& node) {
      return RunDropUser(node, session.database, sink);
    }
    std::string operator()(const ast::Grant& node) { return RunGrant(node, session.database); }
  };
  CheckRights(statement, access, database.catalog);
  if (IsMetered(statement)) CheckTokenQuota(access, database.catalog);
  return std::visit(Visitor{*this, access, sink}, statement);
}

Session::Session(Database* database, const std::string& user)
    : rep_(std::make_unique<Rep>(database, user)) {}
Session::~Session() = default;

void Session::Rep::RunOne(std::string_view text, SourceRange range, const ast::StatementNode& node,
                          const std::optional<Urgency>& urgency, ResultSink& sink) {
  StatementSink cancelable(sink, canceled);
  canceled.store(false);
  const SourceRange place = FirstWord(text, range);
  try {
    // Read here in any case: a mistake in it is the statement's.
    const Urgency own = UrgencyNow(node);
    const Urgency& wanted = urgency ? *urgency : own;
    settings.SetUrgency(wanted);
    cancelable.SetUrgency(wanted);
    if (cancelable.IsLate()) throw LateError();
    std::string tag;
    {
      const TokenCharge charge(cancelable, user_id, database.catalog);
      tag = Run(node, Access(database.catalog, user_id), cancelable);
    }
    cancelable.OnDone(tag);
  } catch (const std::exception&) {
    const Error error = CurrentError();
    if (error.code() == ErrorCode::kCanceled && cancelable.IsLate()) throw LateError().At(place);
    throw error.At(place);
  }
}

Urgency Session::Rep::UrgencyNow(const ast::StatementNode& node) const {
  const auto now = Urgency::Clock::now();
  const auto of = [&](const ast::StatementNode& statement) {
    Urgency urgency = promptdb::UrgencyOf(statement, settings.urgency_defaults(), now);
    // A statement that asks for more than it may is refused, but only when it runs; it must not go
    // before others until then. And an admin may have become none since SET.
    if (urgency.priority > 0 && !Access(database.catalog, user_id).is_admin()) {
      urgency.priority = 0;
    }
    return urgency;
  };
  if (const auto* execute = std::get_if<ast::Execute>(&node)) {
    return of(WithValues(Prepared(execute->name), *execute));
  }
  return of(node);
}

Urgency Session::UrgencyOfOthers() const { return rep_->UrgencyNow(ast::CheckDatabase{}); }

Urgency Session::UrgencyOf(const ast::StatementNode& statement) const {
  return rep_->UrgencyNow(statement);
}

void Session::Execute(std::string_view text, ResultSink& sink,
                      const std::optional<Urgency>& urgency) {
  for (const ast::Statement& statement : Parse(text)) {
    rep_->RunOne(text, statement.range, statement.node, urgency, sink);
  }
}

void Session::Run(std::string_view text, const ParameterizedStatement& statement,
                  const std::vector<ast::Literal>& values, ResultSink& sink,
                  const std::optional<Urgency>& urgency) {
  const SourceRange range = statement.statement.range;
  if (values.size() != static_cast<size_t>(statement.parameters)) {
    throw Error(ErrorCode::kInvalidArgument,
                "the statement takes " + std::to_string(statement.parameters) +
                    (statement.parameters == 1 ? " value" : " values") + ", not " +
                    std::to_string(values.size()),
                "", FirstWord(text, range));
  }
  ast::StatementNode filled;
  try {
    filled = WithValues(statement.statement.node, values);
  } catch (const Error& error) {
    throw error.At(FirstWord(text, range));
  }
  rep_->RunOne(text, range, filled, urgency, sink);
}

std::vector<Column> Session::ColumnsOf(const ast::StatementNode& statement) const {
  if (const auto* execute = std::get_if<ast::Execute>(&statement)) {
    const ast::Query& query = rep_->Prepared(execute->name).query;
    return std::visit([](const auto& node) { return StatementColumns(node); }, query);
  }
  return StatementColumns(statement);
}

void Session::Cancel() { rep_->canceled.store(true); }

Session::Names Session::CatalogNames() const {
  const Access access(rep_->database.catalog, rep_->user_id);
  Names names;
  for (std::string& model : rep_->database.ModelNames()) {
    if (access.MaySee({ObjectName::Kind::kModel, model})) names.models.push_back(std::move(model));
  }
  for (const SchemaDefinition& schema : rep_->database.catalog.Schemas()) {
    if (!access.MayQuerySchema(schema.name)) continue;
    names.schemas.push_back(schema.name);
    for (const std::string& path : ModulePaths(schema.parts)) {
      names.modules.push_back(schema.name + "." + path);
    }
  }
  names.settings = Settings::Names();
  for (const SystemTable& table : SystemTables()) {
    names.tables.emplace_back(table.name);
    for (const SystemColumn& column : table.columns) {
      names.columns.push_back(names.tables.back() + "." + std::string(column.name));
    }
  }
  for (const ChatDefinition& chat : rep_->database.catalog.Chats()) {
    if (access.MaySee(chat)) names.chats.push_back(chat.name);
  }
  for (const UserDefinition& user : rep_->database.catalog.Users()) {
    if (access.MaySee(user)) names.users.push_back(user.name);
  }
  return names;
}

}  // namespace promptdb
