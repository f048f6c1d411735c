#include "server/http_connection.h"

#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdio>

#include "server/log.h"

namespace promptdb {

namespace {

namespace http = boost::beast::http;

constexpr size_t kReadBytes = 8 << 10;
constexpr size_t kMostAhead = 256 << 10;  // read before it is asked for
constexpr size_t kMostHeaderBytes = 32 << 10;
// Between the requests of a connection that is kept.
constexpr std::chrono::seconds kKeepAlive{75};

std::string_view ReasonOf(int status) {
  return http::obsolete_reason(static_cast<http::status>(status)).data();
}

std::string Text(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Never throws for what is in the strings: a file may have had any name.
std::string TextOf(const Json& body) {
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// While it lives, whoever has to cancel the runs finds them.
class RunsInSight {
 public:
  RunsInSight(OpenAiRuns*& place, OpenAiRuns& runs) : place_(place) { place_ = &runs; }
  ~RunsInSight() { place_ = nullptr; }
  RunsInSight(const RunsInSight&) = delete;
  RunsInSight& operator=(const RunsInSight&) = delete;

 private:
  OpenAiRuns*& place_;
};

}  // namespace

HttpConnection::HttpConnection(ServerState& server, tcp::socket socket)
    : server_(server),
      transport_(server.io, std::move(socket)),
      in_signal_(server.io),
      space_signal_(server.io),
      run_signal_(server.io) {}

asio::awaitable<void> HttpConnection::Serve(std::shared_ptr<HttpConnection> self) {
  try {
    co_await self->Run();
  } catch (const Over&) {
  } catch (const std::exception& error) {
    LogWarning("connection_failed", {{"client", self->transport_.peer()}, {"error", error.what()}});
  }
  self->entry_.reset();
  self->is_gone_ = true;
  self->transport_.ShutDown();
  self->space_signal_.Set();
}

asio::awaitable<void> HttpConnection::Run() {
  if (server_.tls != nullptr) {
    transport_.SetReadDeadline(server_.options.startup_timeout);
    ErrorCodeIo error;
    co_await transport_.StartTls(server_.tls, error);
    transport_.SetReadDeadline(std::nullopt);
    if (error) co_return;
  }
  ConnectionInfo info;
  info.client = transport_.peer();
  info.protocol = "http";
  info.is_encrypted = transport_.is_encrypted();
  ConnectionRegistry::Handles handles;
  handles.shut_down = [weak = weak_from_this()](bool at_once) {
    const auto self = weak.lock();
    if (!self) return;
    self->is_shutting_down_ = true;
    self->keeps_alive_ = false;
    if (at_once && self->running_) self->running_->Cancel(StatementRun::CancelReason::kShutdown);
    self->in_signal_.Set();
  };
  const bool is_full = server_.registry.count() >= server_.options.max_connections;
  entry_.emplace(&server_.registry, info, std::move(handles));
  asio::co_spawn(
      server_.io, [self = shared_from_this()] { return self->ReadBytes(); }, asio::detached);
  while (keeps_alive_) {
    std::optional<OpenAiError> failure;
    try {
      const std::optional<Request> request = co_await ReadRequest();
      if (!request) co_return;
      ++server_.metrics.http_requests;
      keeps_alive_ = request->keeps_alive && !is_shutting_down_;
      if (is_full && request->path != "/healthz" && request->path != "/metrics") {
        keeps_alive_ = false;
        throw OpenAiError(503, "too busy: max_connections is reached", "too_busy");
      }
      co_await Answer(*request);
    } catch (const OpenAiError& error) {
      failure = error;
    } catch (const std::exception&) {
      const Error error = CurrentError();
      LogWarning("request_failed", {{"client", transport_.peer()}, {"error", error.message()}});
      keeps_alive_ = false;
      failure = OpenAiErrorOf(error);
    }
    if (failure && is_streaming_) {
      // The status has gone out; the client learns of it as OpenAI's clients do.
      co_await SendEvent(failure->Body());
      co_return;
    }
    if (failure) co_await SendJson(failure->status(), failure->Body());
    entry_->SetState("idle");
  }
}

asio::awaitable<void> HttpConnection::ReadBytes() {
  std::array<char, kReadBytes> buffer;
  while (!is_gone_) {
    ErrorCodeIo error;
    const size_t got =
        co_await transport_.ReadSome(asio::buffer(buffer.data(), buffer.size()), error);
    in_.append(buffer.data(), got);
    if (error || got == 0) {
      MarkGone();
      co_return;
    }
    in_signal_.Set();
    while (!is_gone_ && in_.size() > kMostAhead) co_await space_signal_.Wait();
  }
}

void HttpConnection::MarkGone() {
  is_gone_ = true;
  if (running_) running_->Cancel(StatementRun::CancelReason::kGone);
  in_signal_.Set();
  run_signal_.Set();
}

asio::awaitable<std::optional<HttpConnection::Request>> HttpConnection::ReadRequest() {
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMostHeaderBytes);
  parser.body_limit(static_cast<uint64_t>(server_.options.max_message));
  parser.eager(true);
  const auto begin = std::chrono::steady_clock::now();
  bool has_begun = false;
  while (!parser.is_done()) {
    if (!in_.empty()) {
      has_begun = true;
      ErrorCodeIo error;
      const size_t taken = parser.put(asio::buffer(in_.data(), in_.size()), error);
      in_.erase(0, taken);
      space_signal_.Set();
      if (error == http::error::body_limit) {
        keeps_alive_ = false;
        throw OpenAiError(413, "the body is longer than max_message", "too_long");
      }
      if (error && error != http::error::need_more) {
        // Whatever follows would be read as something that it is not.
        keeps_alive_ = false;
        throw OpenAiError(400, "this is no HTTP request: " + error.message(), "invalid_request");
      }
      // Another coding would be taken for no body at all, and the body for the next request.
      const bool is_coded =
          parser.is_header_done() && parser.get().count(http::field::transfer_encoding) > 0;
      if (is_coded && !parser.chunked()) {
        keeps_alive_ = false;
        throw OpenAiError(400, "the only Transfer-Encoding here is chunked", "invalid_request");
      }
      if (parser.is_done()) break;
    }
    if (is_gone_ || (is_shutting_down_ && !has_begun)) co_return std::nullopt;
    const auto limit = has_begun ? server_.options.startup_timeout : kKeepAlive;
    const auto left = begin + limit - std::chrono::steady_clock::now();
    if (left.count() <= 0) co_return std::nullopt;
    co_await in_signal_.WaitFor(left);
  }
  const auto& message = parser.get();
  Request request;
  request.method = Text(message.method_string());
  const std::string target = Text(message.target());
  request.path = target.substr(0, target.find('?'));
  request.content_type = Text(message[http::field::content_type]);
  request.authorization = Text(message[http::field::authorization]);
  request.keeps_alive = message.keep_alive();
  request.body = message.body();
  co_return request;
}

std::string HttpConnection::Authorize(const Request& request) const {
  if (!server_.WantsPassword() && !server_.database->HasUsers()) {
    if (transport_.is_from_loopback()) return "";
    throw OpenAiError(401,
                      "connections from other machines need an API key, and this server has no "
                      "users who could have one",
                      "invalid_api_key");
  }
  constexpr std::string_view kScheme = "Bearer ";
  if (request.authorization.starts_with(kScheme)) {
    const std::optional<LoginUser> user = server_.database->FindUserOfKey(
        std::string_view(request.authorization).substr(kScheme.size()));
    if (user && !user->is_disabled) return user->name;
  }
  throw OpenAiError(401, "the API key is missing or wrong", "invalid_api_key");
}

asio::awaitable<void> HttpConnection::Answer(const Request& request) {
  using Kind = OpenAiRequest::Kind;
  if (request.method == "GET" && request.path == "/healthz") {
    co_await Send(200, "text/plain; charset=utf-8", "ok\n");
    co_return;
  }
  user_ = Authorize(request);
  entry_->SetUser(user_);
  static constexpr std::pair<std::string_view, Kind> kQueries[] = {
      {"/v1/chat/completions", Kind::kChat},
      {"/v1/completions", Kind::kCompletion},
      {"/v1/embeddings", Kind::kEmbedding}};
  const bool is_get = request.method == "GET";
  std::optional<Kind> kind;
  for (const auto& [path, known] : kQueries) {
    if (path == request.path) kind = known;
  }
  if (is_get && request.path == "/metrics") {
    co_await Send(200, "text/plain; version=0.0.4; charset=utf-8", MetricsText());
  } else if (is_get && request.path == "/v1/models") {
    co_await SendModels();
  } else if (kind && request.method == "POST") {
    // Browsers ask before they send this type to another site, and are not answered.
    if (!request.content_type.starts_with("application/json")) {
      throw OpenAiError(415, "the body must be application/json", "unsupported_media_type");
    }
    co_await Generate(request, *kind);
  } else if (kind || request.path == "/v1/models" || request.path == "/metrics") {
    throw OpenAiError(405, request.method + " is not for " + request.path, "method_not_allowed");
  } else {
    throw OpenAiError(404, "there is nothing at " + request.path, "not_found");
  }
}

asio::awaitable<void> HttpConnection::SendModels() {
  Json data = Json::array();
  for (const std::string& name : Session(server_.database, user_).CatalogNames().models) {
    data.push_back({{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", "promptdb"}});
  }
  const Json body = {{"object", "list"}, {"data", std::move(data)}};
  co_await SendJson(200, body);
}

std::string HttpConnection::MetricsText() const {
  const WorkerPool::Load load = server_.pool->load();
  const Database::QueryLoad memory = server_.database->query_load();
  return server_.metrics.Text({{"connections", server_.registry.count()},
                               {"workers", load.workers},
                               {"statements_running", load.running},
                               {"statements_waiting", load.waiting},
                               {"query_memory_bytes", memory.budget},
                               {"query_reserved_bytes", memory.reserved},
                               {"queries_waiting", memory.waiting}});
}

asio::awaitable<void> HttpConnection::Generate(const Request& request, OpenAiRequest::Kind kind) {
  const OpenAiRequest asked = ReadOpenAiRequest(kind, request.body);
  const std::vector<Row> rows = co_await RunQueries(asked);
  if (kind == OpenAiRequest::Kind::kEmbedding) {
    co_await SendJson(200, EmbeddingResponse(asked, rows));
  } else if (!asked.streams) {
    co_await SendJson(200, CompletionResponse(asked, rows));
  } else {
    if (asked.includes_usage) co_await SendEvent(UsageEvent(asked, rows));
    co_await WriteChunk("data: [DONE]\n\n");
    co_await Write("0\r\n\r\n");
    is_streaming_ = false;
  }
}

asio::awaitable<std::vector<Row>> HttpConnection::RunQueries(const OpenAiRequest& request) {
  entry_->SetState("waiting", "SELECT");
  OpenAiRuns runs(server_, request, user_, entry_->id(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->run_signal_.Set();
  });
  const RunsInSight in_sight(running_, runs);
  while (!runs.is_done()) {
    while (const std::optional<OpenAiRuns::Event> told = runs.Next()) {
      if (!request.streams) continue;
      if (!is_streaming_) co_await BeginStream();
      if (const auto* piece = std::get_if<StatementRun::Piece>(&told->event)) {
        co_await SendEvent(PieceEvent(request, told->index, piece->text, told->is_first_piece));
      } else if (const auto* row = std::get_if<Row>(&told->event)) {
        co_await SendEvent(EndEvent(request, told->index, *row));
      }
    }
    if (is_gone_) throw Over{};
    if (!runs.is_done()) co_await run_signal_.Wait();
  }
  co_return runs.TakeRows();
}

asio::awaitable<void> HttpConnection::SendJson(int status, const Json& body) {
  co_await Send(status, "application/json", TextOf(body));
}

asio::awaitable<void> HttpConnection::Send(int status, std::string_view type, std::string body) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + std::string(ReasonOf(status)) +
                     "\r\nContent-Type: " + std::string(type) +
                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (status == 503) head += "Retry-After: 1\r\n";
  // A client that tries again by itself, as OpenAI's do, would wait until tomorrow, come too late
  // once more, or find no more room.
  if (status == 429 || status == 504 || status == 507) head += "X-Should-Retry: false\r\n";
  if (status == 401) head += "WWW-Authenticate: Bearer\r\n";
  if (!keeps_alive_) head += "Connection: close\r\n";
  co_await Write(head + "\r\n" + body);
}

asio::awaitable<void> HttpConnection::BeginStream() {
  is_streaming_ = true;
  std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
      "Transfer-Encoding: chunked\r\n";
  if (!keeps_alive_) head += "Connection: close\r\n";
  co_await Write(head + "\r\n");
}

asio::awaitable<void> HttpConnection::SendEvent(Json data) {
  co_await WriteChunk("data: " + TextOf(data) + "\n\n");
}

asio::awaitable<void> HttpConnection::WriteChunk(std::string bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  co_await Write(size + bytes + "\r\n");
}

asio::awaitable<void> HttpConnection::Write(std::string bytes) {
  ErrorCodeIo error;
  co_await transport_.Write(bytes, server_.options.write_timeout, error);
  if (error) {
    MarkGone();
    throw Over{};
  }
}

}  // namespace promptdb
