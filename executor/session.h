// The engine as its users see it: a Database that is open in a folder, and Sessions that run
// statements on it.
#ifndef PROMPTDB_EXECUTOR_SESSION_H_
#define PROMPTDB_EXECUTOR_SESSION_H_

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/urgency.h"
#include "executor/result.h"
#include "parser/ast.h"
#include "parser/parser.h"

namespace promptdb {

// A client's connection, as a server tells of it in pc_connections.
struct ConnectionInfo {
  int64_t id = 0;
  std::string user;
  std::string client;       // address:port
  std::string application;  // what the client calls itself
  std::string protocol;     // "postgresql" or "http"
  bool is_encrypted = false;
  std::string state;      // "idle", "waiting" or "active"
  std::string statement;  // its first words; empty when idle
  int64_t since = 0;      // Unix time of the last change of state
};

// A user as a server needs it to let somebody in.
struct LoginUser {
  std::string name;
  std::string verifier;  // SCRAM-SHA-256$…; empty: there is no password
  bool is_admin = false;
  bool is_disabled = false;
};

// Thread-safe. Holds the catalog, the cache of attention states, and the models that are loaded.
class Database {
 public:
  // Opens or creates. Throws Error (kBusy when another process has it open).
  explicit Database(const std::filesystem::path& folder);
  ~Database();

  const std::filesystem::path& folder() const;

  // Users of the catalog; see CREATE USER.
  bool HasUsers() const;
  std::optional<LoginUser> FindUser(std::string_view name) const;
  std::optional<LoginUser> FindUserOfKey(std::string_view api_key) const;

  // What pc_connections lists; called by any thread. A server gives it before the first statement
  // runs, and must not end before the last.
  using ConnectionSource = std::function<std::vector<ConnectionInfo>()>;
  void SetConnectionSource(ConnectionSource source);

  // The memory that running queries may take for themselves, and have reserved, in bytes.
  struct QueryLoad {
    int64_t budget = 0;
    int64_t reserved = 0;
    int64_t waiting = 0;  // queries that wait for some
  };
  QueryLoad query_load() const;

  struct Rep;
  Rep& rep() { return *rep_; }

 private:
  std::unique_ptr<Rep> rep_;
};

// Runs statements one after another. Not thread-safe, but for Cancel().
class Session {
 public:
  // `database` is borrowed. `user`: on whose behalf statements run; empty for whoever has the
  // database's files, who may do everything. Throws Error(kDenied) where there is no such user.
  explicit Session(Database* database, const std::string& user = "");
  ~Session();

  // Parses and runs every statement of `text`, telling `sink` of each. Stops at the first Error,
  // which it throws; its range is in `text`. `urgency`: of all of them, as UrgencyOf() gave it when
  // they came; without, each comes when it is its turn.
  void Execute(std::string_view text, ResultSink& sink,
               const std::optional<Urgency>& urgency = std::nullopt);

  // Runs one statement, with a value for each of its parameters. `text`: what it was parsed from,
  // which an Error's range is in.
  void Run(std::string_view text, const ParameterizedStatement& statement,
           const std::vector<ast::Literal>& values, ResultSink& sink,
           const std::optional<Urgency>& urgency = std::nullopt);

  // How urgent a statement is that comes now, for whoever has it wait before it runs. Throws Error
  // at the value to blame.
  Urgency UrgencyOf(const ast::StatementNode& statement) const;
  Urgency UrgencyOfOthers() const;  // that say nothing of it

  // The columns of a statement's rows, known without running it; empty where it has none. Throws
  // the errors of a name that does not exist.
  std::vector<Column> ColumnsOf(const ast::StatementNode& statement) const;

  // Asks the running statement to stop: it ends with Error(kCanceled) within a token. May be called
  // from a signal handler or another thread. Forgotten if no statement is running.
  void Cancel();

  // Names for completion, of what the user may see: models, schemas, modules as "schema.module",
  // chats, settings, system tables, and their columns as "pc_table.column".
  struct Names {
    std::vector<std::string> models;
    std::vector<std::string> schemas;
    std::vector<std::string> modules;
    std::vector<std::string> settings;
    std::vector<std::string> tables;
    std::vector<std::string> columns;
    std::vector<std::string> chats;
    std::vector<std::string> users;
  };
  Names CatalogNames() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SESSION_H_
