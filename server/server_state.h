// What all connections of a server share.
//
// `options`, `tls` and StartRun() belong to the I/O thread; the rest is thread-safe.
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

  using Work = std::function<void(ResultSink&, const Urgency&)>;
  // A statement of the connection `id` of the registry.
  struct Statement {
    int64_t id = 0;
    std::string user;  // with whom it shares turns; empty: the connection is on its own
    Urgency urgency;
    StatementRun::Wants wants;
    std::chrono::milliseconds limit{0};  // after which it is canceled; 0: never
    Work work;                           // is given the urgency
  };
  // Has a worker run it. `wake` is called on the I/O thread whenever the run has something. `timer`
  // is the run's until it ends: it cancels it when its limit or its deadline has passed. Canceled
  // while it waits, or without a place among those who wait, it ends at once.
  std::shared_ptr<StatementRun> StartRun(Statement statement, asio::steady_timer& timer,
                                         std::function<void()> wake);

  bool WantsPassword() const {
    using Authentication = ServerOptions::Authentication;
    return options.authentication == Authentication::kScram ||
           (options.authentication == Authentication::kAuto && database->HasUsers());
  }
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_SERVER_STATE_H_
