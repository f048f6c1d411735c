// What a connection answers by itself: transactions, its own parameters, constants, the catalog.
#include <algorithm>
#include <ctime>

#include "executor/result.h"
#include "server/pg_connection.h"
#include "server/sqlstate.h"

namespace promptdb {

namespace {

using Kind = ClientStatement::Kind;

Column::Type TypeOf(const Value& value) {
  if (std::holds_alternative<bool>(value)) return Column::Type::kBoolean;
  if (std::holds_alternative<int64_t>(value)) return Column::Type::kInteger;
  if (std::holds_alternative<double>(value)) return Column::Type::kReal;
  return Column::Type::kText;
}

}  // namespace

void PgConnection::Classify(Prepared& prepared) const {
  // The statements that are the clients' own are short.
  prepared.tokens = TokensOf(std::string_view(prepared.text).substr(0, kLongText));
  prepared.client = ReadClientStatement(prepared.tokens, ShownParameters());
  // Queries that were prepared by PREPARE are the session's.
  if (prepared.client && prepared.client->kind == Kind::kDeallocate &&
      prepared.client->name != "all" && !prepared_.contains(prepared.client->name)) {
    prepared.client.reset();
  }
  prepared.is_catalog = !prepared.client && IsCatalogQuery(prepared.tokens);
}

ClientParameters PgConnection::ShownParameters() const {
  ClientParameters shown = parameters_;
  for (auto& [name, value] : ShownOptions(server_.options)) {
    // The client's own value counts where both have one: statement_timeout.
    shown.emplace(name, std::move(value));
  }
  return shown;
}

std::string PgConnection::ShownParameter(const std::string& name) const {
  return ShownParameters().at(name);
}

void PgConnection::SetParameter(const std::string& name, const std::string& value) {
  const auto found = parameters_.find(name);
  if (found == parameters_.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                "parameter \"" + name + "\" is the server's, and can't be changed by a connection",
                "It stands in pcserver's config file or on its command line.");
  }
  if (found->second == value) return;
  found->second = CheckedClientValue(name, value);
  if (!entry_) return;  // the startup message: all are told of later
  if (const auto reported = ReportedName(name)) {
    WriteParameterStatus(*reported, found->second, out_);
  }
  if (name == "application_name") entry_->SetApplication(found->second);
}

PgConnection::ClientOutcome PgConnection::RunClientStatement(const ClientStatement& statement) {
  switch (statement.kind) {
    case Kind::kSet:
      SetParameter(statement.name, statement.value);
      return {std::nullopt, "SET"};
    case Kind::kSetTransaction:
      return {std::nullopt, "SET"};
    case Kind::kReset:
      for (const auto& [name, first] : first_parameters_) {
        if (statement.name == "all" || statement.name == name) SetParameter(name, first);
      }
      return {std::nullopt, "RESET"};
    case Kind::kShow: {
      CatalogRows rows;
      if (statement.name == "all") {
        rows.columns = {{"name", Column::Type::kText}, {"setting", Column::Type::kText}};
        for (const auto& [name, value] : ShownParameters()) rows.rows.push_back({name, value});
      } else {
        rows.columns = {{statement.name, Column::Type::kText}};
        rows.rows = {{ShownParameter(statement.name)}};
      }
      return {std::move(rows), "SHOW"};
    }
    case Kind::kDiscard:
      for (const auto& [name, first] : first_parameters_) SetParameter(name, first);
      ClosePortals();
      prepared_.clear();
      // A session of its own for what comes; a run that still has the old one ends with it.
      session_ = std::make_shared<Session>(server_.database, session_user_);
      return {std::nullopt, "DISCARD ALL"};
    case Kind::kDeallocate:
      if (statement.name == "all") {
        prepared_.clear();
        return {std::nullopt, "DEALLOCATE ALL"};
      }
      if (prepared_.erase(statement.name) == 0) {
        throw Failure{{"ERROR", std::string(sqlstate::kInvalidStatementName),
                       "prepared statement \"" + statement.name + "\" does not exist", "", 0}};
      }
      return {std::nullopt, "DEALLOCATE"};
    case Kind::kConstants: {
      CatalogRows rows = Constants(statement.items, false);
      return {std::move(rows), "SELECT 1"};
    }
    case Kind::kSavepoint:
      throw Error(ErrorCode::kUnsupported, "there are no savepoints",
                  "Each statement takes effect by itself.");
    case Kind::kBegin:
    case Kind::kCommit:
    case Kind::kRollback:
      break;
  }
  return RunTransaction(statement.kind);
}

PgConnection::ClientOutcome PgConnection::RunTransaction(Kind kind) {
  if (kind == Kind::kBegin) {
    if (transaction_ != 'I') {
      SendNotice("WARNING", "25001", "there is already a transaction in progress");
    } else {
      transaction_ = 'T';
      changed_in_transaction_ = false;
    }
    return {std::nullopt, "BEGIN"};
  }
  if (transaction_ == 'I') {
    SendNotice("WARNING", sqlstate::kNoActiveTransaction, "there is no transaction in progress");
    return {std::nullopt, kind == Kind::kCommit ? "COMMIT" : "ROLLBACK"};
  }
  const bool commits = kind == Kind::kCommit && transaction_ == 'T';
  if (!commits && changed_in_transaction_) {
    SendNotice("WARNING", sqlstate::kWarning,
               "nothing was rolled back: each statement takes effect by itself");
  }
  transaction_ = 'I';
  ClosePortals();
  return {std::nullopt, commits ? "COMMIT" : "ROLLBACK"};
}

CatalogView PgConnection::View() const {
  CatalogView view;
  view.database = database_;
  view.user = user_;
  Session::Names names = session_->CatalogNames();
  view.prompt_schemas = std::move(names.schemas);
  for (const std::string& name : names.users) {
    const std::optional<LoginUser> user = server_.database->FindUser(name);
    if (user) view.users.push_back({name, user->is_admin, !user->is_disabled});
  }
  if (view.users.empty()) view.users.push_back({user_, true, true});
  view.parameters = ShownParameters();
  return view;
}

PgConnection::ClientOutcome PgConnection::RunCatalogQuery(const Prepared& prepared,
                                                          const std::vector<ast::Literal>* values) {
  CatalogRows rows = AnswerCatalogQuery(prepared.text, prepared.tokens, values, View());
  std::string tag = "SELECT " + std::to_string(rows.rows.size());
  return {std::move(rows), std::move(tag)};
}

CatalogRows PgConnection::Constants(const std::vector<ClientStatement::Item>& items,
                                    bool describe_only) {
  CatalogRows rows;
  rows.rows.emplace_back();
  for (const ClientStatement::Item& item : items) {
    Value value = item.function.empty() ? item.value : ConstantOf(item, describe_only);
    rows.columns.push_back({item.column, TypeOf(value)});
    rows.rows[0].push_back(std::move(value));
  }
  return rows;
}

Value PgConnection::ConstantOf(const ClientStatement::Item& item, bool describe_only) {
  const std::string& name = item.function;
  const auto text_argument = [&](size_t index) -> const std::string* {
    return index < item.arguments.size() ? std::get_if<std::string>(&item.arguments[index])
                                         : nullptr;
  };
  if (name == "version") {
    return "PostgreSQL 15.0 (PromptDB " PROMPTDB_VERSION "), which is PromptDB, not PostgreSQL";
  }
  if (name == "current_database" || name == "current_catalog") return database_;
  if (name == "current_schema") return std::string("promptdb");
  if (name == "current_user" || name == "session_user" || name == "user") return user_;
  if (name == "pg_backend_pid") return int64_t{entry_->id()};
  if (name == "pg_is_in_recovery") return false;
  if (name == "now" || name == "current_timestamp") return FormatTime(std::time(nullptr)) + "+00";
  if (name == "current_setting" || name == "set_config") {
    const std::string* parameter = text_argument(0);
    const std::string* value = text_argument(1);
    const ClientParameters shown = ShownParameters();
    if (parameter != nullptr && shown.contains(*parameter)) {
      if (name == "set_config" && value != nullptr && !describe_only) {
        SetParameter(*parameter, *value);
      }
      return ShownParameter(*parameter);
    }
    throw Error(ErrorCode::kUnknownName,
                "unrecognized configuration parameter" +
                    (parameter == nullptr ? std::string() : " \"" + *parameter + "\""));
  }
  throw Failure{{"ERROR", "42883", "function " + name + " does not exist",
                 "SELECT without FROM knows constants, version(), current_database(), "
                 "current_schema(), current_user, current_setting('…') and pg_backend_pid().",
                 0}};
}

}  // namespace promptdb
