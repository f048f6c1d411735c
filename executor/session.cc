#include "executor/session.h"

#include <algorithm>

#include "executor/database.h"
#include "executor/settings.h"
#include "executor/statements.h"
#include "executor/threads.h"
#include "parser/parser.h"
#include "planner/module_path.h"
#include "planner/system_catalog.h"

namespace promptdb {

namespace {

// Passes everything on to the user's sink, and adds the session's own wish to stop.
class CancelableSink : public ResultSink {
 public:
  CancelableSink(ResultSink& sink, const std::atomic<bool>& canceled)
      : sink_(sink), canceled_(canceled) {}

  void OnColumns(const std::vector<Column>& columns) override { sink_.OnColumns(columns); }
  void OnRow(const std::vector<Value>& row) override { sink_.OnRow(row); }
  void OnTextPiece(std::string_view piece) override { sink_.OnTextPiece(piece); }
  void OnNotice(std::string_view notice) override { sink_.OnNotice(notice); }
  void OnDone(std::string_view tag) override { sink_.OnDone(tag); }
  void OnProgress(std::string_view stage, int64_t done, int64_t total,
                  std::string_view unit) override {
    sink_.OnProgress(stage, done, total, unit);
  }
  bool IsCanceled() const override { return canceled_.load() || sink_.IsCanceled(); }

 private:
  ResultSink& sink_;
  const std::atomic<bool>& canceled_;
};

// What an error points at that can blame nothing smaller than the statement.
SourceRange FirstWord(std::string_view text, SourceRange statement) {
  const size_t end = text.find_first_of(" \t\r\n;(", static_cast<size_t>(statement.begin));
  return {statement.begin, static_cast<int>(std::min(end, static_cast<size_t>(statement.end)))};
}

}  // namespace

struct Session::Rep {
  explicit Rep(Database* database) : database(database->rep()), settings(&this->database.pool) {}

  std::string Run(const ast::Statement& statement, ResultSink& sink);

  Database::Rep& database;
  Settings settings;
  std::atomic<bool> canceled = false;
};

std::string Session::Rep::Run(const ast::Statement& statement, ResultSink& sink) {
  struct Visitor {
    Rep& session;
    ResultSink& sink;

    std::string operator()(const ast::CreateModel& node) {
      return RunCreateModel(node, session.database, sink);
    }
    std::string operator()(const ast::DropModel& node) {
      return RunDropModel(node, session.database, sink);
    }
    std::string operator()(const ast::CreateSchema& node) {
      return RunCreateSchema(node, session.database, sink);
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
    std::string operator()(const ast::Select& node) {
      return RunSelect(node, session.database, session.settings, sink);
    }
    std::string operator()(const ast::Explain& node) {
      return RunExplain(node, session.database, session.settings, sink);
    }
    std::string operator()(const ast::Warm& node) { return RunWarm(node, session.database, sink); }
    std::string operator()(const ast::Show& node) {
      return RunShow(node, session.database, session.settings, sink);
    }
    std::string operator()(const ast::Describe& node) {
      return RunDescribe(node, session.database, sink);
    }
    std::string operator()(const ast::Set& node) {
      session.settings.Set(node.name, node.value);
      return "SET";
    }
    std::string operator()(const ast::Reset& node) {
      session.settings.Reset(node.name);
      return "RESET";
    }
    std::string operator()(const ast::SystemSelect& node) {
      return RunSystemSelect(node, session.database, session.settings, sink);
    }
    std::string operator()(const ast::Prepare&) { return Refuse("PREPARE"); }
    std::string operator()(const ast::Execute&) { return Refuse("EXECUTE"); }
    std::string operator()(const ast::Deallocate&) { return Refuse("DEALLOCATE"); }
    std::string operator()(const ast::BeginChat&) { return Refuse("BEGIN CHAT"); }
    std::string operator()(const ast::ContinueChat&) { return Refuse("CONTINUE"); }
    std::string operator()(const ast::ForkChat&) { return Refuse("FORK"); }
    std::string operator()(const ast::EndChat&) { return Refuse("END CHAT"); }
    std::string operator()(const ast::Unsupported& node) { return Refuse(node.statement); }

    [[noreturn]] std::string Refuse(const std::string& what) {
      throw Error(ErrorCode::kUnsupported,
                  what + " is PromptQL, but has no meaning in this release yet");
    }
  };
  return std::visit(Visitor{*this, sink}, statement.node);
}

Session::Session(Database* database) : rep_(std::make_unique<Rep>(database)) {}
Session::~Session() = default;

void Session::Execute(std::string_view text, ResultSink& sink) {
  CancelableSink cancelable(sink, rep_->canceled);
  for (const ast::Statement& statement : Parse(text)) {
    rep_->canceled.store(false);
    const SourceRange place = FirstWord(text, statement.range);
    try {
      cancelable.OnDone(rep_->Run(statement, cancelable));
    } catch (const Error& error) {
      throw error.At(place);
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::kResource, "out of memory",
                  "SET cpu_cache to less, or use a smaller model.", place);
    } catch (const std::exception& error) {
      throw Error(ErrorCode::kInternal, error.what(), "Please report this.", place);
    }
  }
}

void Session::Cancel() { rep_->canceled.store(true); }

Session::Names Session::CatalogNames() const {
  Names names;
  names.models = rep_->database.ModelNames();
  for (const SchemaDefinition& schema : rep_->database.catalog.Schemas()) {
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
  return names;
}

}  // namespace promptdb
