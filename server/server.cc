#include "server/server.h"

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "base/whole_file.h"
#include "demo/demo.h"
#include "parser/parser.h"
#include "server/http_connection.h"
#include "server/log.h"
#include "server/pg_connection.h"

namespace promptdb {

namespace {

// Sockets beyond max_connections: those that only cancel, or have yet to be told
// that there is no room.
constexpr int kSpareSockets = 32;
constexpr std::chrono::milliseconds kPollTime{50};
// For statements that were canceled to come to their end.
constexpr std::chrono::seconds kCancelTime{5};

// Statements of the server's own: notices go to the log.
class LogSink : public QuietSink {
 public:
  void OnNotice(std::string_view notice) override {
    LogInfo("notice", {{"text", std::string(notice)}});
  }
};

std::shared_ptr<asio::ssl::context> MakeTls(const ServerOptions& options) {
  if (options.tls_cert.empty()) return nullptr;
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  context->set_options(asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 |
                       asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                       asio::ssl::context::single_dh_use);
  ErrorCodeIo error;
  context->use_certificate_chain_file(options.tls_cert.string(), error);
  if (error) {
    throw Error(ErrorCode::kIo, "cannot use the certificate: " + error.message() + ": \"" +
                                    options.tls_cert.string() + "\"");
  }
  context->use_private_key_file(options.tls_key.string(), asio::ssl::context::pem, error);
  if (error) {
    throw Error(ErrorCode::kIo, "cannot use the private key: " + error.message() + ": \"" +
                                    options.tls_key.string() + "\"");
  }
  return context;
}

}  // namespace

Server::Server(const ServerOptions& options, std::vector<std::string> arguments)
    : database_(options.database),
      state_(options, &database_),
      arguments_(std::move(arguments)),
      signals_(state_.io, SIGINT, SIGTERM, SIGHUP) {
  std::signal(SIGPIPE, SIG_IGN);
  database_.SetConnectionSource([this] { return state_.registry.List(); });
  state_.tls = MakeTls(options);
  ApplyEngineSettings();
  if (options.demo) SetUpDemo();
  state_.pool.emplace(options.workers, options.max_waiting);
  Listen(Protocol::kPostgres, options.port);
  if (options.http_port >= 0) Listen(Protocol::kHttp, options.http_port);
}

Server::~Server() {
  // Its threads post to the I/O context, which must be there until the last has ended.
  state_.pool.reset();
}

void Server::ApplyEngineSettings() {
  Session session(&database_);
  LogSink sink;
  for (const auto& [name, value] : state_.options.engine_settings) {
    const bool is_number = value.find_first_not_of("0123456789") == std::string::npos;
    session.Execute("SET " + name + " = " + (is_number ? value : QuoteText(value)), sink);
  }
}

void Server::SetUpDemo() {
  Session session(&database_);
  LogSink sink;
  const std::filesystem::path file =
      std::filesystem::absolute(database_.folder() / "demo.gguf").lexically_normal();
  const Session::Names names = session.CatalogNames();
  const auto has = [](const std::vector<std::string>& all) {
    return std::find(all.begin(), all.end(), kDemoName) != all.end();
  };
  if (!has(names.models)) {
    WriteWholeFile(file, DemoModelFile());
    session.Execute("CREATE MODEL " + QuoteName(kDemoName) + " FROM " + QuoteText(file.string()),
                    sink);
  }
  if (!has(names.schemas)) session.Execute(DemoSchemaStatement(), sink);
}

void Server::Listen(Protocol protocol, int port) {
  const std::string& address = state_.options.listen;
  ErrorCodeIo error;
  std::vector<tcp::endpoint> endpoints;
  const auto number = static_cast<unsigned short>(port);
  if (address == "*") {
    endpoints = {{tcp::v4(), number}};
  } else {
    tcp::resolver resolver(state_.io);
    for (const auto& found : resolver.resolve(address, std::to_string(port), error)) {
      endpoints.push_back(found.endpoint());
    }
  }
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorCode::kIo,
                what + ": " + error.message() + ": " + address + ":" + std::to_string(port));
  };
  if (error) fail("cannot find the address");
  for (const tcp::endpoint& endpoint : endpoints) {
    auto acceptor = std::make_shared<tcp::acceptor>(state_.io);
    acceptor->open(endpoint.protocol(), error);
    if (error) fail("cannot listen");
    acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    acceptor->bind(endpoint, error);
    if (error) fail("cannot listen");
    acceptor->listen(asio::socket_base::max_listen_connections, error);
    if (error) fail("cannot listen");
    LogInfo("listening", {{"protocol", protocol == Protocol::kPostgres ? "postgresql" : "http"},
                          {"address", endpoint.address().to_string()},
                          {"port", std::to_string(acceptor->local_endpoint().port())}});
    acceptors_.push_back(acceptor);
    asio::co_spawn(
        state_.io, [this, acceptor, protocol] { return Accept(acceptor, protocol); },
        asio::detached);
  }
}

void Server::Run() {
  asio::co_spawn(
      state_.io, [this] { return AwaitSignals(); }, asio::detached);
  LogInfo("ready", {{"version", PROMPTDB_VERSION},
                    {"db", state_.options.database},
                    {"auth", state_.WantsPassword() ? "scram" : "trust, loopback only"},
                    {"tls", state_.tls != nullptr ? "on" : "off"}});
  state_.io.run();
  state_.pool.reset();
  LogInfo("stopped");
}

asio::awaitable<void> Server::Accept(std::shared_ptr<tcp::acceptor> acceptor, Protocol protocol) {
  while (acceptor->is_open()) {
    ErrorCodeIo error;
    tcp::socket socket(state_.io);
    co_await acceptor->async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (!acceptor->is_open()) break;
    if (error) {
      // Out of file descriptors, most likely; those of others will be closed some time.
      LogWarning("accept_failed", {{"error", error.message()}});
      asio::steady_timer pause(state_.io, kPollTime);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (open_ >= state_.options.max_connections + kSpareSockets) {
      ++state_.metrics.refused_connections;
      continue;  // the socket closes
    }
    ++state_.metrics.connections;
    auto shared = std::make_shared<tcp::socket>(std::move(socket));
    asio::co_spawn(
        state_.io, [this, shared, protocol] { return Serve(std::move(*shared), protocol); },
        asio::detached);
  }
}

asio::awaitable<void> Server::Serve(tcp::socket socket, Protocol protocol) {
  ++open_;
  if (protocol == Protocol::kPostgres) {
    auto connection = std::make_shared<PgConnection>(state_, std::move(socket));
    co_await PgConnection::Serve(std::move(connection));
  } else {
    auto connection = std::make_shared<HttpConnection>(state_, std::move(socket));
    co_await HttpConnection::Serve(std::move(connection));
  }
  --open_;
}

asio::awaitable<void> Server::AwaitSignals() {
  while (true) {
    ErrorCodeIo error;
    const int signal =
        co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    if (signal == SIGHUP) {
      Reload();
    } else if (state_.is_stopping) {
      is_stopping_at_once_ = true;
    } else {
      LogInfo("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      asio::co_spawn(
          state_.io, [this] { return ShutDown(); }, asio::detached);
    }
  }
}

asio::awaitable<void> Server::ShutDown() {
  state_.is_stopping = true;
  for (const auto& acceptor : acceptors_) {
    ErrorCodeIo ignored;
    acceptor->close(ignored);
  }
  state_.registry.ShutDownAll(false);
  const auto begin = std::chrono::steady_clock::now();
  bool is_canceled = false;
  while (state_.registry.count() > 0) {
    const auto waited = std::chrono::steady_clock::now() - begin;
    if (!is_canceled && (is_stopping_at_once_ || waited >= state_.options.shutdown_timeout)) {
      is_canceled = true;
      LogWarning("canceling", {{"connections", std::to_string(state_.registry.count())}});
      state_.registry.ShutDownAll(true);
    }
    if (waited >= state_.options.shutdown_timeout + kCancelTime) break;
    ErrorCodeIo ignored;
    asio::steady_timer pause(state_.io, kPollTime);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  state_.io.stop();
}

void Server::Reload() {
  const ServerOptions before = state_.options;
  try {
    ServerOptions fresh = ParseServerOptions(arguments_);
    // What a running server can't change stays as it is.
    fresh.database = before.database;
    fresh.listen = before.listen;
    fresh.port = before.port;
    fresh.http_port = before.http_port;
    fresh.workers = before.workers;
    fresh.max_waiting = before.max_waiting;
    // What can fail comes first, so that a mistake changes nothing.
    std::shared_ptr<asio::ssl::context> tls = MakeTls(fresh);
    state_.options = fresh;
    ApplyEngineSettings();
    state_.tls = std::move(tls);
    LogInfo("reloaded");
  } catch (const OptionsError& error) {
    state_.options = before;
    LogWarning("reload_failed", {{"error", error.what()}});
  } catch (const Error& error) {
    state_.options = before;
    LogWarning("reload_failed", {{"error", error.message()}});
  }
}

}  // namespace promptdb
