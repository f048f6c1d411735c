// What all connections of a server share.
//
// `options` and `tls` belong to the I/O thread; the rest is thread-safe.
#ifndef PROMPTDB_SERVER_SERVER_STATE_H_
#define PROMPTDB_SERVER_SERVER_STATE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "auth/secrets.h"
#include "executor/session.h"
#include "server/asio.h"
#include "server/connection_registry.h"
#include "server/metrics.h"
#include "server/server_options.h"
#include "server/statement_run.h"
#include "server/worker_pool.h"

namespace promptdb {

struct ServerState {
  ServerState(ServerOptions given, Database* opened)
      : options(std::move(given)), database(opened), decoy_secret(RandomBytes(32)) {}

  // Before the I/O context, since what is left of connections when it ends leaves the registry.
  ConnectionRegistry registry;
  Metrics metrics;
  asio::io_context io{1};
  ServerOptions options;
  Database* database;                       // borrowed
  std::shared_ptr<asio::ssl::context> tls;  // null: none
  const std::string decoy_secret;
  bool is_stopping = false;

  // Last, so that its threads end before what they use.
  std::optional<WorkerPool> pool;

  // A statement of the connection `id` of the registry.
  struct Statement {
    int64_t id = 0;
    std::string user;  // with whom it shares turns; empty: the connection is on its own
    Urgency urgency;
    StatementRun::Wants wants;
    std::function<void(ResultSink&)> work;
  };
  // Has a worker run it. `wake` is called on the I/O thread whenever the run has something.
  // Canceled while it waits, it ends at once. nullptr when as many wait as may.
  std::shared_ptr<StatementRun> StartRun(Statement statement, std::function<void()> wake);

  bool WantsPassword() const {
    using Authentication = ServerOptions::Authentication;
    return options.authentication == Authentication::kScram ||
           (options.authentication == Authentication::kAuto && database->HasUsers());
  }
};

// Cancels the run by `timer` when it has gone for `limit` (0: for ever), or its deadline has
// passed.
void CancelInTime(std::chrono::milliseconds limit, const Urgency& urgency,
                  std::shared_ptr<StatementRun> run, asio::steady_timer& timer);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_SERVER_STATE_H_
