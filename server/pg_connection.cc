#include "server/pg_connection.h"

#include <algorithm>
#include <array>

#include "base/text_place.h"
#include "base/utf8.h"
#include "planner/prepared_query.h"
#include "server/client_messages.h"
#include "server/generation_counts.h"
#include "server/log.h"
#include "server/sqlstate.h"

namespace promptdb {

namespace {

constexpr size_t kReadBytes = 8 << 10;
constexpr size_t kHeaderBytes = 5;  // type and length
// A client may send ahead so much while a statement runs; then it is not read from for a while.
constexpr size_t kMostInboxBytes = 1 << 20;
constexpr size_t kMostInboxMessages = 1000;
constexpr size_t kFlushBytes = 64 << 10;
// The slowest client that a long message is awaited from.
constexpr int32_t kLeastBytesPerSecond = 100 << 10;
// What SHOW CONNECTIONS may tell others of a statement: its first two words.
std::string FirstWords(const std::vector<ClientToken>& tokens) {
  std::string words;
  for (size_t i = 0; i < 2 && i < tokens.size() && tokens[i].kind == LexemeKind::kWord; ++i) {
    words += (i > 0 ? " " : "") + tokens[i].text;
  }
  std::transform(words.begin(), words.end(), words.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return words;
}

}  // namespace

PgConnection::PgConnection(ServerState& server, tcp::socket socket)
    : server_(server),
      transport_(server.io, std::move(socket)),
      inbox_signal_(server.io),
      space_signal_(server.io),
      run_signal_(server.io),
      statement_timer_(server.io) {}

PgConnection::~PgConnection() = default;

asio::awaitable<void> PgConnection::Serve(std::shared_ptr<PgConnection> self) {
  std::optional<Error> failure;
  try {
    co_await self->Run();
  } catch (const Over&) {
  } catch (const std::exception&) {
    failure = CurrentError();
  }
  if (self->running_) self->running_->Cancel(StatementRun::CancelReason::kGone);
  if (failure) {
    LogWarning("connection_failed",
               {{"client", self->transport_.peer()}, {"error", failure->message()}});
    // What stands in out_ may be half a message.
    MessageWriter last;
    WriteError(
        {"FATAL", std::string(SqlStateOf(failure->code())), failure->message(), failure->hint(), 0},
        last);
    ErrorCodeIo ignored;
    co_await self->transport_.Write(last.bytes(), self->server_.options.write_timeout, ignored);
  }
  if (self->entry_) {
    LogInfo("disconnected", {{"id", std::to_string(self->entry_->id())}});
    self->entry_.reset();
  }
  self->statement_timer_.cancel();
  self->is_gone_ = true;
  self->transport_.ShutDown();
  // The reader may wait for room.
  self->space_signal_.Set();
}

asio::awaitable<void> PgConnection::Run() {
  std::optional<Failure> failure;
  bool is_started = false;
  try {
    is_started = co_await StartUp();
  } catch (const Failure& thrown) {
    failure = thrown;
  } catch (const ProtocolError& error) {
    failure = Failure{{"FATAL", std::string(sqlstate::kProtocolViolation), error.what(), "", 0}};
  } catch (const Error& error) {
    failure =
        Failure{{"FATAL", std::string(SqlStateOf(error.code())), error.message(), error.hint(), 0}};
  }
  if (failure) {
    WriteError(failure->report, out_);
    co_await Flush();
    co_return;
  }
  if (!is_started) co_return;
  asio::co_spawn(
      server_.io, [self = shared_from_this()] { return self->ReadMessages(); }, asio::detached);
  while (true) {
    const std::optional<Message> message = co_await NextMessage();
    if (!message || message->type == 'X') co_return;
    co_await Handle(*message);
  }
}

// ---- Messages ----------------------------------------------------------------------------------

asio::awaitable<bool> PgConnection::ReadMore() {
  std::array<char, kReadBytes> buffer;
  ErrorCodeIo error;
  const size_t got =
      co_await transport_.ReadSome(asio::buffer(buffer.data(), buffer.size()), error);
  in_.append(buffer.data(), got);
  co_return !error && got > 0;
}

asio::awaitable<bool> PgConnection::ReadAtLeast(size_t bytes) {
  while (in_.size() < bytes) {
    const bool has_more = co_await ReadMore();
    if (!has_more) co_return false;
  }
  co_return true;
}

asio::awaitable<void> PgConnection::ReadMessages() {
  const auto push = [&](char type, std::string body) {
    inbox_bytes_ += body.size();
    inbox_.push_back({type, std::move(body)});
    inbox_signal_.Set();
  };
  while (!is_gone_) {
    // Between messages a client may be silent; one that has begun has to come whole in time.
    bool is_whole = true;
    if (in_.empty()) is_whole = co_await ReadMore();
    transport_.SetReadDeadline(server_.options.startup_timeout);
    if (is_whole) is_whole = co_await ReadAtLeast(kHeaderBytes);
    const int32_t length = is_whole ? FieldReader(std::string_view(in_).substr(1)).Int32() : 4;
    if (length < 4 || length > server_.options.max_message) {
      push(0, "message of " + std::to_string(length) + " bytes; it must have 4 to " +
                  std::to_string(server_.options.max_message) + " (max_message)");
      co_return;
    }
    const size_t needed = static_cast<size_t>(length) + 1;
    transport_.SetReadDeadline(server_.options.startup_timeout +
                               std::chrono::seconds(length / kLeastBytesPerSecond));
    if (is_whole) is_whole = co_await ReadAtLeast(needed);
    if (!is_whole) {
      MarkGone();
      co_return;
    }
    transport_.SetReadDeadline(std::nullopt);
    const char type = in_[0];
    std::string body = in_.substr(kHeaderBytes, needed - kHeaderBytes);
    in_.erase(0, needed);
    if (in_.empty()) in_ = std::string();  // a long message's memory is not kept
    push(type, std::move(body));
    if (type == 'X') {
      // Whoever says goodbye does not wait for what is still running.
      MarkGone();
      co_return;
    }
    while (!is_gone_ && (inbox_bytes_ > kMostInboxBytes || inbox_.size() > kMostInboxMessages)) {
      co_await space_signal_.Wait();
    }
  }
}

void PgConnection::MarkGone() {
  is_gone_ = true;
  if (running_) running_->Cancel(StatementRun::CancelReason::kGone);
  inbox_signal_.Set();
  run_signal_.Set();
}

asio::awaitable<std::optional<PgConnection::Message>> PgConnection::NextMessage() {
  const auto since = std::chrono::steady_clock::now();
  while (inbox_.empty()) {
    if (is_gone_) co_return std::nullopt;
    if (is_shutting_down_) {
      co_await End(sqlstate::kAdminShutdown,
                   "terminating connection, since the server is shutting down");
    }
    const auto limit = server_.options.idle_timeout;
    if (limit.count() == 0) {
      co_await inbox_signal_.Wait();
      continue;
    }
    const bool is_told = co_await inbox_signal_.WaitFor(limit);
    if (!is_told && inbox_.empty() && std::chrono::steady_clock::now() - since >= limit) {
      co_await End(sqlstate::kIdleTimeout, "terminating connection, since it was idle too long");
    }
  }
  Message message = std::move(inbox_.front());
  inbox_.pop_front();
  inbox_bytes_ -= message.body.size();
  space_signal_.Set();
  co_return message;
}

asio::awaitable<void> PgConnection::Handle(const Message& message) {
  if (message.type == 0) co_await End(sqlstate::kProtocolViolation, message.body);
  if (skips_to_sync_ && message.type != 'S') co_return;
  std::optional<Failure> failure;
  bool is_extended = true;
  try {
    switch (message.type) {
      case 'Q':
        is_extended = false;
        co_await SimpleQuery(message.body);
        break;
      case 'P':
        co_await HandleParse(message.body);
        break;
      case 'B':
        HandleBind(message.body);
        break;
      case 'D':
        HandleDescribe(message.body);
        break;
      case 'E':
        co_await HandleExecute(message.body);
        break;
      case 'C':
        HandleClose(message.body);
        break;
      case 'H':
        co_await Flush();
        break;
      case 'S':
        skips_to_sync_ = false;
        is_extended = false;
        // Outside of a transaction, portals end with it.
        if (transaction_ == 'I') ClosePortals();
        ReadyForQuery();
        co_await Flush();
        break;
      case 'F':
        is_extended = false;
        failure = Failure{{"ERROR", std::string(sqlstate::kFeatureNotSupported),
                           "there are no functions to call", "", 0}};
        break;
      case 'd':
      case 'c':
      case 'f':
        // Of a COPY that has failed; there is none that has not.
        break;
      default:
        co_await End(
            sqlstate::kProtocolViolation,
            "message of unknown type " + std::to_string(static_cast<unsigned char>(message.type)));
    }
  } catch (const Failure& thrown) {
    failure = thrown;
  } catch (const ProtocolError& error) {
    // The frame was whole, so the stream is still in step.
    failure = Failure{{"ERROR", std::string(sqlstate::kProtocolViolation), error.what(), "", 0}};
  } catch (const Error& error) {
    failure = FailureOf(error, "", 0, StatementRun::CancelReason::kNone);
  }
  if (failure) {
    Fail(*failure);
    if (is_extended) {
      skips_to_sync_ = true;
    } else {
      ReadyForQuery();
    }
    co_await Flush();
  }
}

asio::awaitable<void> PgConnection::Flush() {
  if (out_.bytes().empty()) co_return;
  const std::string bytes = out_.Take();
  out_ = MessageWriter();
  ErrorCodeIo error;
  co_await transport_.Write(bytes, server_.options.write_timeout, error);
  if (error) {
    if (transport_.timed_out()) {
      LogWarning("client_does_not_read", {{"client", transport_.peer()}});
    }
    MarkGone();
    throw Over{};
  }
}

asio::awaitable<void> PgConnection::End(std::string_view state, std::string message) {
  WriteError({"FATAL", std::string(state), message, "", 0}, out_);
  co_await Flush();
  throw Over{};
}

void PgConnection::ShutDown(bool at_once) {
  is_shutting_down_ = true;
  if (at_once && running_) running_->Cancel(StatementRun::CancelReason::kShutdown);
  inbox_signal_.Set();
}

// ---- Simple queries ----------------------------------------------------------------------------

asio::awaitable<void> PgConnection::SimpleQuery(std::string_view body) {
  const std::string query(ReadQueryMessage(body));
  ClosePortal("");
  std::optional<Failure> failure;
  try {
    if (!IsValidUtf8(query)) {
      throw Failure{{"ERROR", std::string(sqlstate::kInvalidEncoding), "the query is not UTF-8",
                     "All text is UTF-8.", 0}};
    }
    const ScriptSplit split = SplitScript(query);
    std::vector<SourceRange> pieces = split.statements;
    if (split.rest.end > split.rest.begin) pieces.push_back(split.rest);
    bool is_empty = true;
    for (const SourceRange& piece : pieces) {
      const std::string_view text = std::string_view(query).substr(
          static_cast<size_t>(piece.begin), static_cast<size_t>(piece.end - piece.begin));
      if (text.size() < kLongText && TokensOf(text).empty()) continue;
      is_empty = false;
      co_await RunPiece(query, piece);
    }
    if (is_empty) out_.Empty('I');
  } catch (const Failure& thrown) {
    failure = thrown;
  }
  if (failure) Fail(*failure);
  ReadyForQuery();
  co_await Flush();
}

asio::awaitable<void> PgConnection::RunPiece(std::string_view query, SourceRange range) {
  const std::string text(TextAt(query, range));
  Prepared prepared;
  prepared.text = text;
  // The statements that are the clients' own are short.
  Classify(prepared);
  CheckTransaction(prepared);
  if (prepared.client || prepared.is_catalog) {
    ClientOutcome outcome;
    const std::vector<ast::Literal> none;
    try {
      outcome =
          prepared.client ? RunClientStatement(*prepared.client) : RunCatalogQuery(prepared, &none);
    } catch (const Error& error) {
      throw FailureOf(error, query, range.begin, StatementRun::CancelReason::kNone);
    }
    if (outcome.rows) {
      WriteRowDescription(outcome.rows->columns, {}, out_);
      for (const Row& row : outcome.rows->rows) WriteDataRow(row, {}, out_);
    }
    WriteCommandComplete(outcome.tag, out_);
    co_return;
  }
  Work work = [session = session_, text](ResultSink& sink, const Urgency& urgency) {
    session->Execute(text, sink, urgency);
  };
  const std::vector<ast::Literal> no_values;
  const std::shared_ptr<StatementRun> run = co_await Start(prepared, no_values, std::move(work));
  const std::string whole(query);
  const std::vector<WireFormat> all_text;
  co_await Pump(run, whole, range.begin, 0, true, all_text);
}

void PgConnection::CheckTransaction(const Prepared& prepared) const {
  if (transaction_ != 'E') return;
  if (prepared.client && (prepared.client->kind == ClientStatement::Kind::kCommit ||
                          prepared.client->kind == ClientStatement::Kind::kRollback)) {
    return;
  }
  throw Failure{{"ERROR", std::string(sqlstate::kInFailedTransaction),
                 "current transaction is aborted, commands ignored until end of transaction block",
                 "ROLLBACK ends it.", 0}};
}

void PgConnection::Fail(const Failure& failure) {
  WriteError(failure.report, out_);
  if (transaction_ == 'T') transaction_ = 'E';
}

void PgConnection::ReadyForQuery() {
  out_.Begin('Z').Byte(transaction_).Finish();
  if (entry_) entry_->SetState("idle");
}

PgConnection::Failure PgConnection::FailureOf(const Error& error, std::string_view text, int offset,
                                              StatementRun::CancelReason reason) const {
  Report report{"ERROR", std::string(SqlStateOf(error.code())), error.message(), error.hint(), 0};
  if (error.range() && !text.empty()) {
    report.position = CharacterPosition(text, error.range()->begin + offset);
  }
  if (error.code() == ErrorCode::kCanceled && reason != StatementRun::CancelReason::kNone) {
    report = {"ERROR", std::string(sqlstate::kQueryCanceled), std::string(MessageOf(reason)), "",
              0};
  }
  return Failure{report};
}

// ---- Runs --------------------------------------------------------------------------------------

asio::awaitable<void> PgConnection::AwaitRunningEnd() {
  if (running_ == nullptr || running_->has_ended()) co_return;
  // A portal that is still open goes on without its reader.
  running_->ReleaseBound();
  co_await Flush();
  while (!running_->has_ended()) co_await run_signal_.Wait();
}

Urgency PgConnection::UrgencyOf(const Prepared& prepared,
                                const std::vector<ast::Literal>& values) const {
  try {
    if (prepared.parsed) {
      return session_->UrgencyOf(WithValues(prepared.parsed->statement.node, values));
    }
    // A simple query is parsed by its worker. Only one that tells of its urgency is parsed before,
    // too, and so is one that executes another.
    const bool may_tell = std::ranges::any_of(prepared.tokens, [](const ClientToken& token) {
      return token.Is("priority") || token.Is("deadline") || token.Is("execute");
    });
    if (may_tell && prepared.text.size() < kLongText) {
      const std::vector<ast::Statement> statements = Parse(prepared.text);
      if (statements.size() == 1) return session_->UrgencyOf(statements.front().node);
    }
  } catch (const Error&) {
    // The worker meets the same mistake, and tells it.
  }
  return session_->UrgencyOfOthers();
}

asio::awaitable<std::shared_ptr<StatementRun>> PgConnection::Start(
    const Prepared& prepared, const std::vector<ast::Literal>& values, Work work) {
  co_await AwaitRunningEnd();
  if (is_gone_) throw Over{};
  ServerState::Statement statement;
  statement.id = entry_->id();
  // A name that was not proven is no reason to share turns, or not to.
  statement.user = session_user_;
  statement.urgency = UrgencyOf(prepared, values);
  statement.wants.pieces = statement.wants.progress = parameters_["promptdb.messages"] == "on";
  statement.limit =
      std::chrono::milliseconds(TimeoutMilliseconds(parameters_["statement_timeout"]));
  statement.work = std::move(work);
  entry_->SetState("waiting", FirstWords(prepared.tokens));
  std::function<void()> wake = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->run_signal_.Set();
  };
  std::shared_ptr<StatementRun> run =
      server_.StartRun(std::move(statement), statement_timer_, std::move(wake));
  running_ = run;
  if (transaction_ == 'T' && !prepared.tokens.empty()) {
    static constexpr std::string_view kReaders[] = {"select",  "show",    "describe", "explain",
                                                    "execute", "prepare", "set"};
    const std::string& first = prepared.tokens[0].text;
    changed_in_transaction_ =
        changed_in_transaction_ ||
        std::find(std::begin(kReaders), std::end(kReaders), first) == std::end(kReaders);
  }
  co_return run;
}

void PgConnection::SendNotice(std::string_view severity, std::string_view state,
                              const std::string& message) {
  const std::string& least = parameters_["client_min_messages"];
  if (severity == "NOTICE" && (least == "warning" || least == "error")) return;
  WriteNotice({std::string(severity), std::string(state), message, "", 0}, out_);
}

asio::awaitable<PgConnection::Stop> PgConnection::Pump(std::shared_ptr<StatementRun> run,
                                                       const std::string& text, int offset,
                                                       int max_rows, bool describes,
                                                       const std::vector<WireFormat>& formats) {
  int rows = 0;
  GenerationCounts counts(server_.metrics);
  while (true) {
    while (std::optional<StatementRun::Event> event = run->Next()) {
      if (const auto* columns = std::get_if<std::vector<Column>>(&*event)) {
        counts.SetColumns(*columns);
        if (describes) WriteRowDescription(*columns, formats, out_);
      } else if (const auto* row = std::get_if<Row>(&*event)) {
        counts.Count(*row);
        WriteDataRow(*row, formats, out_);
        if (++rows == max_rows) co_return Stop::kSuspended;
      } else if (const auto* notice = std::get_if<StatementRun::Notice>(&*event)) {
        SendNotice("NOTICE", sqlstate::kSuccess, notice->text);
      } else if (const auto* piece = std::get_if<StatementRun::Piece>(&*event)) {
        SendNotice("LOG", sqlstate::kPiece, piece->text);
      } else if (const auto* progress = std::get_if<StatementRun::Progress>(&*event)) {
        SendNotice("LOG", sqlstate::kProgress,
                   std::to_string(progress->done) + " " + std::to_string(progress->total) + " " +
                       progress->unit + "\n" + progress->stage);
      } else if (const auto* done = std::get_if<StatementRun::Done>(&*event)) {
        WriteCommandComplete(done->tag, out_);
        co_return Stop::kDone;
      } else {
        const Error& error = std::get<Error>(*event);
        throw FailureOf(error, text, offset, run->cancel_reason());
      }
      if (out_.bytes().size() > kFlushBytes) co_await Flush();
    }
    co_await Flush();
    if (is_gone_) throw Over{};
    co_await run_signal_.Wait();
  }
}

}  // namespace promptdb
