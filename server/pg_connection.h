// A client that speaks PostgreSQL's protocol.
//
// A connection owns its socket. One coroutine reads messages into an inbox, so that a client that
// goes away, or cancels, is noticed while a statement runs; the other takes them one by one and
// answers. Statements run on the worker pool; a connection has one there at a time.
//
// Not thread-safe: everything here is the I/O thread's. Its state ends with Serve().
#ifndef PROMPTDB_SERVER_PG_CONNECTION_H_
#define PROMPTDB_SERVER_PG_CONNECTION_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/scram.h"
#include "parser/parser.h"
#include "server/catalog_answers.h"
#include "server/client_statement.h"
#include "server/server_state.h"
#include "server/statement_run.h"
#include "server/transport.h"
#include "server/wire.h"

namespace promptdb {

class PgConnection : public std::enable_shared_from_this<PgConnection> {
 public:
  // `server` is borrowed.
  PgConnection(ServerState& server, tcp::socket socket);
  ~PgConnection();

  // Serves the client to its end. Throws nothing.
  static asio::awaitable<void> Serve(std::shared_ptr<PgConnection> self);

 private:
  // A longer text is parsed on a worker.
  static constexpr size_t kLongText = 64 << 10;

  struct Message {
    char type = 0;  // 0: the client broke the protocol, as `body` says
    std::string body;
  };

  // What the client is told, and what ends the statement; thrown.
  struct Failure {
    Report report;
  };
  // The connection is to end, and there is nothing more to say.
  struct Over {};

  // A statement of Parse, or of one of a simple query's.
  struct Prepared {
    std::string text;
    std::vector<ClientToken> tokens;
    std::optional<ClientStatement> client;         // a statement that is the client's own
    bool is_catalog = false;                       // a query of PostgreSQL's catalog
    std::optional<ParameterizedStatement> parsed;  // PromptQL; nothing at all for an empty text
    std::vector<int32_t> types;                    // of the parameters; 0: left open

    bool is_empty() const { return tokens.empty(); }
  };

  struct Portal {
    std::shared_ptr<const Prepared> prepared;
    std::vector<ast::Literal> values;
    std::vector<WireFormat> formats;
    std::shared_ptr<StatementRun> run;  // null until it is executed
    std::optional<CatalogRows> rows;    // of what needs no worker, once executed
    std::string tag;                    // of that
    size_t next_row = 0;
    bool is_done = false;
  };

  // Where pumping a run stopped.
  enum class Stop { kDone, kSuspended };

  // ---- pg_startup.cc ----
  // False where the connection was for something else than statements, or is over.
  asio::awaitable<bool> StartUp();
  asio::awaitable<std::string> ReadStartupPacket();
  asio::awaitable<void> OfferTls();
  void ReadStartupParameters(std::string_view packet);
  asio::awaitable<void> Authenticate();
  // Who is let in where nobody is asked for a password: why not, or "".
  std::string AdmitWithoutPassword();
  // nullopt for a user who may not log in.
  std::optional<ScramVerifier> FindVerifier() const;
  asio::awaitable<std::string> ReadPassword();
  void Welcome();

  // ---- pg_connection.cc ----
  asio::awaitable<void> Run();
  asio::awaitable<void> ReadMessages();
  asio::awaitable<bool> ReadMore();  // false at the end
  asio::awaitable<bool> ReadAtLeast(size_t bytes);
  asio::awaitable<std::optional<Message>> NextMessage();
  asio::awaitable<void> Handle(const Message& message);
  asio::awaitable<void> Flush();
  // Sends a FATAL and throws Over.
  asio::awaitable<void> End(std::string_view state, std::string message);
  void ShutDown(bool at_once);
  void MarkGone();

  asio::awaitable<void> SimpleQuery(std::string_view body);
  asio::awaitable<void> RunPiece(std::string_view query, SourceRange range);
  // Throws Failure where nothing may run now.
  void CheckTransaction(const Prepared& prepared) const;
  void Fail(const Failure& failure);
  void ReadyForQuery();
  Failure FailureOf(const Error& error, std::string_view text, int offset,
                    StatementRun::CancelReason reason) const;

  // Starts `work` on the pool, when what ran there before has ended.
  using Work = ServerState::Work;
  asio::awaitable<std::shared_ptr<StatementRun>> Start(const Prepared& prepared,
                                                       const std::vector<ast::Literal>& values,
                                                       Work work);
  // REQUIRES: nothing uses the session.
  Urgency UrgencyOf(const Prepared& prepared, const std::vector<ast::Literal>& values) const;
  // Sends what comes out of the run. `max_rows`: 0 is all. Throws Failure with the run's error.
  asio::awaitable<Stop> Pump(std::shared_ptr<StatementRun> run, const std::string& text, int offset,
                             int max_rows, bool describes, const std::vector<WireFormat>& formats);
  void SendNotice(std::string_view severity, std::string_view state, const std::string& message);
  asio::awaitable<void> AwaitRunningEnd();

  // ---- pg_extended.cc ----
  asio::awaitable<void> HandleParse(std::string_view body);
  void HandleBind(std::string_view body);
  void HandleDescribe(std::string_view body);
  asio::awaitable<void> HandleExecute(std::string_view body);
  void HandleClose(std::string_view body);
  asio::awaitable<std::shared_ptr<Prepared>> Prepare(std::string text, std::vector<int32_t> types);
  const std::shared_ptr<Prepared>& PreparedNamed(std::string_view name);
  Portal& PortalNamed(std::string_view name);
  std::vector<Column> ColumnsOf(const Prepared& prepared);
  void ClosePortal(std::string_view name);
  void ClosePortals();

  // ---- pg_client_statements.cc ----
  // Runs a statement that is the client's own. Rows, if any, and the tag.
  struct ClientOutcome {
    std::optional<CatalogRows> rows;
    std::string tag;
  };
  // Sorts a statement by who answers it.
  void Classify(Prepared& prepared) const;
  ClientOutcome RunClientStatement(const ClientStatement& statement);
  ClientOutcome RunTransaction(ClientStatement::Kind kind);
  ClientOutcome RunCatalogQuery(const Prepared& prepared, const std::vector<ast::Literal>* values);
  CatalogRows Constants(const std::vector<ClientStatement::Item>& items, bool describe_only);
  Value ConstantOf(const ClientStatement::Item& item, bool describe_only);
  void SetParameter(const std::string& name, const std::string& value);
  std::string ShownParameter(const std::string& name) const;
  ClientParameters ShownParameters() const;
  CatalogView View() const;

  ServerState& server_;
  Transport transport_;
  std::string in_;     // read, not yet taken
  MessageWriter out_;  // not yet sent

  std::deque<Message> inbox_;
  size_t inbox_bytes_ = 0;
  Signal inbox_signal_;   // a message, or the end
  Signal space_signal_;   // the inbox has room
  Signal run_signal_;     // a run has something
  bool is_gone_ = false;  // nobody is there any more
  bool is_shutting_down_ = false;

  std::string user_;          // as the client says
  std::string session_user_;  // who statements run for; empty without users, when nobody is asked
  std::string database_;
  ClientParameters parameters_ = DefaultClientParameters();
  ClientParameters first_parameters_;  // what RESET goes back to
  std::optional<ConnectionRegistry::Entry> entry_;

  // Shared with the run that uses it, which may outlive the connection by a token.
  std::shared_ptr<Session> session_;
  std::shared_ptr<StatementRun> running_;  // the run that has the session now, or had it last
  asio::steady_timer statement_timer_;

  char transaction_ = 'I';  // as ReadyForQuery tells: I idle, T in a transaction, E in a failed one
  bool changed_in_transaction_ = false;
  bool skips_to_sync_ = false;
  std::map<std::string, std::shared_ptr<Prepared>, std::less<>> prepared_;
  std::map<std::string, Portal, std::less<>> portals_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_PG_CONNECTION_H_
