#include "server/openai_runs.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace promptdb {

namespace {

// More in a pass gain little, and other clients want workers, too.
constexpr size_t kMostRunning = 16;

// Rows of a statement that the server runs for itself.
class RowsSink : public QuietSink {
 public:
  explicit RowsSink(ResultSink& listener) : listener_(listener) {}
  void OnRow(const std::vector<Value>& row) override { rows.push_back(row); }
  bool IsCanceled() const override { return listener_.IsCanceled(); }

  std::vector<Row> rows;

 private:
  ResultSink& listener_;
};

// Without a reason, the engine itself saw that the deadline had passed.
OpenAiError CanceledBy(StatementRun::CancelReason reason, const Error& error) {
  using Reason = StatementRun::CancelReason;
  if (reason == Reason::kNone) return {504, error.message(), "timeout"};
  const bool is_late = reason == Reason::kTimeout || reason == Reason::kDeadline;
  return {is_late ? 504 : 503, std::string(MessageOf(reason)), is_late ? "timeout" : "canceled"};
}

// A prompt of a schema is answered by the schema's model, so it must be the one that is asked for.
void CheckModel(Session& session, const ast::Select& query, const std::string& model,
                ResultSink& sink) {
  if (query.is_bare) return;
  RowsSink found(sink);
  session.Execute("SELECT model FROM pc_schemas WHERE name = " + QuoteText(query.schema.text),
                  found);
  if (found.rows.empty() || std::get<std::string>(found.rows[0][0]) == model) return;
  throw Error(ErrorCode::kInvalidArgument, "schema \"" + query.schema.text + "\" is for model \"" +
                                               std::get<std::string>(found.rows[0][0]) +
                                               "\", not \"" + model + "\"");
}

}  // namespace

OpenAiRuns::OpenAiRuns(ServerState& server, const OpenAiRequest& request, std::string user,
                       int64_t connection_id, std::function<void()> wake)
    : server_(server),
      request_(request),
      user_(std::move(user)),
      connection_id_(connection_id),
      wake_(std::move(wake)),
      most_running_(std::min(kMostRunning,
                             std::max<size_t>(1, static_cast<size_t>(server.options.workers) / 2))),
      rows_(request.queries.size() * request.choices) {
  try {
    // Once, since its deadline is the whole request's.
    urgency_ = Session(server.database, user_).UrgencyOf(request.queries.front());
  } catch (const Error& error) {
    throw OpenAiErrorOf(error);
  }
  for (size_t first = 0; first < rows_.size(); first += request.choices) ready_.push_back(first);
}

OpenAiRuns::~OpenAiRuns() { Cancel(StatementRun::CancelReason::kGone); }

void OpenAiRuns::Cancel(StatementRun::CancelReason reason) {
  for (auto& [index, running] : running_) running->run->Cancel(reason);
}

void OpenAiRuns::Start(size_t index) {
  ServerState::Statement statement;
  statement.id = connection_id_;
  statement.user = user_;
  statement.urgency = urgency_;
  // Shared with the run, which may outlive the connection by a token.
  const auto session = std::make_shared<Session>(server_.database, user_);
  statement.work =
      [session, model = request_.model,
       query = ChoiceOf(request_.queries[index / request_.choices], index % request_.choices)](
          ResultSink& sink, const Urgency& urgency) {
        CheckModel(*session, query, model, sink);
        ParameterizedStatement parsed;
        parsed.statement.node = query;
        session->Run("", parsed, {}, sink, urgency);
      };
  statement.wants = {.pieces = request_.streams, .progress = false};
  if (const auto limit = server_.options.statement_timeout; limit.count() > 0) {
    const auto gone = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin_);
    statement.limit = std::max(limit - gone, std::chrono::milliseconds(1));
  }
  auto running = std::make_unique<Running>(server_);
  running->run = server_.StartRun(std::move(statement), running->timer, wake_);
  running_.emplace(index, std::move(running));
}

std::optional<OpenAiRuns::Event> OpenAiRuns::Next() {
  for (; running_.size() < most_running_ && !ready_.empty(); ready_.pop_front()) {
    Start(ready_.front());
  }
  for (auto at = running_.begin(); at != running_.end();) {
    const size_t index = at->first;
    Running& running = *at->second;
    std::optional<StatementRun::Event> event = running.run->Next();
    if (!event) {
      ++at;
    } else if (std::holds_alternative<StatementRun::Done>(*event)) {
      running_.erase(at);
      ++ended_;
      if (index % request_.choices == 0) {
        for (size_t i = request_.choices - 1; i > 0; --i) ready_.push_front(index + i);
      }
      return Next();
    } else if (const auto* error = std::get_if<Error>(&*event)) {
      const StatementRun::CancelReason reason = running.run->cancel_reason();
      running_.erase(at);
      if (error->code() == ErrorCode::kTooBusy && !running_.empty()) {
        // It comes after those that have found room.
        ready_.push_front(index);
        most_running_ = running_.size();
        return Next();
      }
      if (error->code() == ErrorCode::kCanceled) throw CanceledBy(reason, *error);
      throw OpenAiErrorOf(*error);
    } else if (const auto* columns = std::get_if<std::vector<Column>>(&*event)) {
      running.counts.SetColumns(*columns);
      return Event{index, std::move(*event)};
    } else if (const auto* row = std::get_if<Row>(&*event)) {
      running.counts.Count(*row);
      rows_[index] = *row;
      return Event{index, std::move(*event)};
    } else if (std::holds_alternative<StatementRun::Piece>(*event)) {
      return Event{index, std::move(*event), !std::exchange(running.has_piece, true)};
    }
    // Nobody here is told of a notice.
  }
  return std::nullopt;
}

}  // namespace promptdb
