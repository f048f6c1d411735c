// A client that speaks HTTP/1.1: OpenAI's API, /healthz and /metrics.
//
// As PgConnection: one coroutine reads bytes, so that a client that goes away is noticed while its
// answer is made, and stops it; the other takes requests one by one and answers.
//
// Not thread-safe: everything here is the I/O thread's. Its state ends with Serve().
#ifndef PROMPTDB_SERVER_HTTP_CONNECTION_H_
#define PROMPTDB_SERVER_HTTP_CONNECTION_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/openai.h"
#include "server/openai_runs.h"
#include "server/server_state.h"
#include "server/transport.h"

namespace promptdb {

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // `server` is borrowed.
  HttpConnection(ServerState& server, tcp::socket socket);

  // Serves the client to its end. Throws nothing.
  static asio::awaitable<void> Serve(std::shared_ptr<HttpConnection> self);

 private:
  struct Request {
    std::string method;
    std::string path;  // without a query
    std::string content_type;
    std::string authorization;
    std::string body;
    bool keeps_alive = true;
  };
  // The connection is to end, and there is nothing more to say.
  struct Over {};

  asio::awaitable<void> Run();
  asio::awaitable<void> ReadBytes();
  // nullopt at the end. Throws OpenAiError for what is no request, Over for what is not even that.
  asio::awaitable<std::optional<Request>> ReadRequest();
  asio::awaitable<void> Answer(const Request& request);
  // The user of the request's key; empty where there are no users, and nobody is asked. Throws
  // OpenAiError where the client may not.
  std::string Authorize(const Request& request) const;
  asio::awaitable<void> Generate(const Request& request, OpenAiRequest::Kind kind);
  // The rows of the request's queries; in a stream the pieces are sent as they come. Throws
  // OpenAiError.
  asio::awaitable<std::vector<Row>> RunQueries(const OpenAiRequest& request);
  asio::awaitable<void> SendModels();
  std::string MetricsText() const;

  asio::awaitable<void> SendJson(int status, const Json& body);
  asio::awaitable<void> Send(int status, std::string_view type, std::string body);
  asio::awaitable<void> BeginStream();
  asio::awaitable<void> SendEvent(Json data);
  asio::awaitable<void> WriteChunk(std::string bytes);
  asio::awaitable<void> Write(std::string bytes);
  void MarkGone();

  ServerState& server_;
  Transport transport_;
  std::string in_;  // read, not yet taken
  Signal in_signal_;
  Signal space_signal_;
  Signal run_signal_;
  bool is_gone_ = false;
  bool is_shutting_down_ = false;
  bool keeps_alive_ = true;  // after the response that is under way
  bool is_streaming_ = false;
  std::string user_;  // of the request; empty without users
  std::optional<ConnectionRegistry::Entry> entry_;
  OpenAiRuns* running_ = nullptr;  // of the request that is answered
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_HTTP_CONNECTION_H_
