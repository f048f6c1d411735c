// pcserver: a database, its listeners, and their life from the first connection to the last.
//
// Run() is for the main thread, which becomes the I/O thread.
#ifndef PROMPTDB_SERVER_SERVER_H_
#define PROMPTDB_SERVER_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "executor/session.h"
#include "server/server_state.h"

namespace promptdb {

class Server {
 public:
  // Opens the database, reads users and keys, and begins to listen. `arguments`: those that
  // `options` come from, which are read again at SIGHUP. Throws Error.
  Server(const ServerOptions& options, std::vector<std::string> arguments);
  ~Server();

  // Serves until SIGTERM or SIGINT. Then nobody new is let in, idle connections are ended, running
  // statements have shutdown_timeout to end and are canceled after it; a second signal cancels at
  // once.
  void Run();

 private:
  enum class Protocol { kPostgres, kHttp };

  void ApplyEngineSettings();
  void SetUpDemo();
  void Listen(Protocol protocol, int port);
  asio::awaitable<void> Accept(std::shared_ptr<tcp::acceptor> acceptor, Protocol protocol);
  asio::awaitable<void> Serve(tcp::socket socket, Protocol protocol);
  asio::awaitable<void> AwaitSignals();
  asio::awaitable<void> ShutDown();
  void Reload();

  Database database_;
  ServerState state_;
  const std::vector<std::string> arguments_;
  asio::signal_set signals_;
  std::vector<std::shared_ptr<tcp::acceptor>> acceptors_;
  int open_ = 0;  // sockets, those that are not logged in yet included
  bool is_stopping_at_once_ = false;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_SERVER_H_
