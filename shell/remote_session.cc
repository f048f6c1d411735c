#include "shell/remote_session.h"

#include <libpq-fe.h>
#include <poll.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <vector>

#include "parser/scanner.h"
#include "server/sqlstate.h"
#include "server/wire.h"
#include "shell/collected_rows.h"

namespace promptdb {

namespace {

constexpr char kDefaultPort[] = "5433";
// How often a statement that runs asks whether the user wants it to stop.
constexpr int kPollMilliseconds = 50;

// Keywords and values for libpq.
struct Target {
  std::string host;
  std::string port = kDefaultPort;
  std::string whole;  // libpq's own form, instead of both
};

Target ReadTarget(const std::string& text) {
  Target target;
  if (text.find("://") != std::string::npos || text.find('=') != std::string::npos) {
    target.whole = text;
    return target;
  }
  // [::1]:5433
  const size_t bracket = text.starts_with('[') ? text.find(']') : std::string::npos;
  const size_t colon = text.find(':', bracket == std::string::npos ? 0 : bracket);
  target.host = bracket == std::string::npos ? text.substr(0, colon) : text.substr(1, bracket - 1);
  if (colon != std::string::npos) target.port = text.substr(colon + 1);
  if (target.host.empty() || target.port.empty() ||
      target.port.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(ErrorCode::kInvalidArgument, "--connect takes host:port, not \"" + text + "\"");
  }
  return target;
}

std::string Trimmed(const char* message) {
  std::string text = message == nullptr ? "" : message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

std::string FieldOf(const PGresult* result, int code) {
  const char* field = PQresultErrorField(result, code);
  return field == nullptr ? "" : field;
}

// The server tells where an error begins; it goes to the end of the word there.
SourceRange PlaceOf(std::string_view text, int character) {
  const int begin = BytePosition(text, character);
  const SourceRange word = Scanner(text.substr(static_cast<size_t>(begin))).Next().range;
  return word.begin == 0 && word.end > 0 ? SourceRange{begin, begin + word.end}
                                         : SourceRange{begin, begin + 1};
}

Column::Type TypeOf(Oid type) {
  switch (static_cast<int32_t>(type)) {
    case oid::kInt8:
      return Column::Type::kInteger;
    case oid::kFloat8:
      return Column::Type::kReal;
    case oid::kBool:
      return Column::Type::kBoolean;
    default:
      return Column::Type::kText;
  }
}

Value ValueOf(const PGresult* result, int row, int column, Column::Type type) {
  if (PQgetisnull(result, row, column) == 1) return {};
  const std::string text(PQgetvalue(result, row, column),
                         static_cast<size_t>(PQgetlength(result, row, column)));
  const char* const end = text.data() + text.size();
  if (type == Column::Type::kBoolean) return text == "t";
  if (int64_t whole = 0; type == Column::Type::kInteger &&
                         std::from_chars(text.data(), end, whole).ec == std::errc()) {
    return whole;
  }
  if (double real = 0; type == Column::Type::kReal) {
    std::from_chars(text.data(), end, real);
    return real;
  }
  return text;
}

}  // namespace

struct RemoteSession::Rep {
  explicit Rep(const std::string& text) : target(ReadTarget(text)) { Connect(); }
  ~Rep() { Disconnect(); }

  void Connect() {
    std::vector<const char*> keywords, values;
    const auto add = [&](const char* keyword, const char* value) {
      keywords.push_back(keyword);
      values.push_back(value);
    };
    if (!target.whole.empty()) {
      add("dbname", target.whole.c_str());
    } else {
      add("host", target.host.c_str());
      add("port", target.port.c_str());
      add("dbname", "promptdb");
    }
    add("fallback_application_name", "pcsh");
    add("client_encoding", "UTF8");
    add(nullptr, nullptr);
    connection = PQconnectdbParams(keywords.data(), values.data(), 1);
    if (PQstatus(connection) != CONNECTION_OK) {
      const std::string message = Trimmed(PQerrorMessage(connection));
      const bool needs_password = PQconnectionNeedsPassword(connection) == 1;
      Disconnect();
      throw Error(ErrorCode::kIo, "cannot connect: " + message,
                  needs_password ? "Put the password into PGPASSWORD or ~/.pgpass." : "");
    }
    cancel = PQgetCancel(connection);
    PQsetNoticeReceiver(
        connection,
        [](void* self, const PGresult* notice) { static_cast<Rep*>(self)->OnNotice(notice); },
        this);
    PGresult* const set = PQexec(connection, "SET promptdb.messages = on");
    const bool is_ours = PQresultStatus(set) == PGRES_COMMAND_OK;
    PQclear(set);
    // PostgreSQL itself takes any name with a dot, so the version has the last word.
    const char* version = PQparameterStatus(connection, "server_version");
    if (!is_ours || version == nullptr || std::strstr(version, "PromptDB") == nullptr) {
      Disconnect();
      throw Error(ErrorCode::kIo, "what listens there is no server of PromptDB");
    }
  }

  void Disconnect() {
    PQfreeCancel(cancel);
    cancel = nullptr;
    PQfinish(connection);
    connection = nullptr;
  }

  void OnNotice(const PGresult* notice) const {
    if (sink == nullptr) return;
    const std::string state = FieldOf(notice, PG_DIAG_SQLSTATE);
    const std::string message = FieldOf(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (state == sqlstate::kPiece) {
      sink->OnTextPiece(message);
    } else if (state == sqlstate::kProgress) {
      // done total unit, a line break, the stage.
      int64_t done = 0, total = 0;
      const size_t line = std::min(message.find('\n'), message.size());
      const char* const end = message.data() + line;
      const auto first = std::from_chars(message.data(), end, done);
      if (first.ptr == end) return;
      const auto second = std::from_chars(first.ptr + 1, end, total);
      const std::string unit(std::min(second.ptr + 1, end), end);
      sink->OnProgress(line < message.size() ? message.substr(line + 1) : "", done, total, unit);
    } else {
      sink->OnNotice(message);
    }
  }

  // Waits for more from the server, and asks it to stop when the user wants that.
  void Await() {
    pollfd waiting{PQsocket(connection), POLLIN, 0};
    const int ready = poll(&waiting, 1, kPollMilliseconds);
    if (ready <= 0 || sink->IsCanceled()) {
      if (sink->IsCanceled() && !has_asked_to_stop) Stop();
      if (ready <= 0) return;
    }
    if (PQconsumeInput(connection) == 0) FailConnection();
  }

  void Stop() {
    char error[256];
    has_asked_to_stop = true;
    if (cancel != nullptr) PQcancel(cancel, error, sizeof error);
  }

  [[noreturn]] void FailConnection() {
    const std::string message = Trimmed(PQerrorMessage(connection));
    Disconnect();
    throw Error(ErrorCode::kIo, "the connection to the server is lost: " + message,
                "The next statement connects again; settings and PREPAREd queries are gone.");
  }

  void Rows(const PGresult* result) {
    if (columns.empty()) {
      for (int i = 0; i < PQnfields(result); ++i) {
        columns.push_back({PQfname(result, i), TypeOf(PQftype(result, i))});
      }
      sink->OnColumns(columns);
    }
    for (int row = 0; row < PQntuples(result); ++row) {
      std::vector<Value> values;
      for (size_t i = 0; i < columns.size(); ++i) {
        values.push_back(ValueOf(result, row, static_cast<int>(i), columns[i].type));
      }
      sink->OnRow(values);
    }
  }

  // The error that the result tells of, if it does.
  std::optional<Error> Take(PGresult* result, std::string_view text) {
    switch (PQresultStatus(result)) {
      case PGRES_SINGLE_TUPLE:
        Rows(result);
        return std::nullopt;
      case PGRES_TUPLES_OK:
        Rows(result);
        sink->OnDone(PQcmdStatus(result));
        columns.clear();
        return std::nullopt;
      case PGRES_COMMAND_OK:
        sink->OnDone(PQcmdStatus(result));
        return std::nullopt;
      case PGRES_EMPTY_QUERY:
        return std::nullopt;
      default:
        break;
    }
    std::string message = FieldOf(result, PG_DIAG_MESSAGE_PRIMARY);
    if (message.empty()) message = Trimmed(PQresultErrorMessage(result));
    std::optional<SourceRange> place;
    const std::string position = FieldOf(result, PG_DIAG_STATEMENT_POSITION);
    if (!position.empty()) place = PlaceOf(text, std::atoi(position.c_str()));
    return Error(ErrorCodeOf(FieldOf(result, PG_DIAG_SQLSTATE)), message,
                 FieldOf(result, PG_DIAG_MESSAGE_HINT), place);
  }

  const Target target;
  PGconn* connection = nullptr;
  PGcancel* cancel = nullptr;
  ResultSink* sink = nullptr;  // of the statement that runs
  std::vector<Column> columns;
  bool has_asked_to_stop = false;
};

// Whatever ends a statement, its sink is not used after it.
class RemoteSession::SinkHold {
 public:
  explicit SinkHold(Rep& rep) : rep_(rep) {}
  ~SinkHold() { rep_.sink = nullptr; }
  SinkHold(const SinkHold&) = delete;
  SinkHold& operator=(const SinkHold&) = delete;

 private:
  Rep& rep_;
};

RemoteSession::RemoteSession(const std::string& target) : rep_(std::make_unique<Rep>(target)) {}
RemoteSession::~RemoteSession() = default;

void RemoteSession::Execute(std::string_view text, ResultSink& sink) {
  if (rep_->connection == nullptr) rep_->Connect();
  rep_->sink = &sink;
  rep_->columns.clear();
  rep_->has_asked_to_stop = false;
  const SinkHold hold(*rep_);
  if (PQsendQuery(rep_->connection, std::string(text).c_str()) == 0) rep_->FailConnection();
  PQsetSingleRowMode(rep_->connection);
  std::optional<Error> failure;
  while (true) {
    while (PQisBusy(rep_->connection) == 1) rep_->Await();
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(rep_->connection),
                                                               PQclear);
    if (result == nullptr) break;
    std::optional<Error> error = rep_->Take(result.get(), text);
    if (error && !failure) failure = std::move(error);
  }
  if (PQstatus(rep_->connection) != CONNECTION_OK) rep_->FailConnection();
  if (failure) throw *std::move(failure);
}

void RemoteSession::Cancel() { rep_->Stop(); }

Session::Names RemoteSession::CatalogNames() {
  Session::Names names;
  QuietSink silence;
  const auto read = [&](const std::string& query, std::vector<std::string>& into) {
    CollectedRows rows(&silence, false);
    Execute(query, rows);
    for (const Row& row : rows.rows()) {
      std::string name;
      for (const Value& value : row) {
        name += (name.empty() ? "" : ".") + std::get<std::string>(value);
      }
      into.push_back(std::move(name));
    }
  };
  read("SELECT name FROM pc_models", names.models);
  read("SELECT name FROM pc_schemas", names.schemas);
  read("SELECT schema, module FROM pc_modules", names.modules);
  read("SELECT name FROM pc_settings", names.settings);
  read("SELECT name FROM pc_tables", names.tables);
  read("SELECT table, name FROM pc_columns", names.columns);
  read("SELECT name FROM pc_chats", names.chats);
  return names;
}

}  // namespace promptdb
