// What all connections of a server share.
//
// `options`, `users`, `tls` and the keys belong to the I/O thread; the rest is thread-safe.
#ifndef PROMPTDB_SERVER_SERVER_STATE_H_
#define PROMPTDB_SERVER_SERVER_STATE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "executor/session.h"
#include "server/asio.h"
#include "server/connection_registry.h"
#include "server/metrics.h"
#include "server/server_options.h"
#include "server/user_file.h"
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
  Database* database;  // borrowed
  UserVerifiers users;
  std::set<std::string, std::less<>> api_key_digests;  // SHA-256 of each
  std::shared_ptr<asio::ssl::context> tls;             // null: none
  const std::string decoy_secret;
  bool is_stopping = false;

  // Last, so that its threads end before what they use.
  std::optional<WorkerPool> pool;

  bool WantsPassword() const {
    using Authentication = ServerOptions::Authentication;
    return options.authentication == Authentication::kScram ||
           (options.authentication == Authentication::kAuto && !users.empty());
  }
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_SERVER_STATE_H_
