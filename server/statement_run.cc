#include "server/statement_run.h"

namespace promptdb {

namespace {

// A worker that is this far ahead of its client waits. An answer never gets there: it is for
// tables of states, and for embeddings.
constexpr size_t kMostQueuedBytes = 16 << 20;

}  // namespace

StatementRun::StatementRun(Wants wants, std::function<void()> wake)
    : wants_(wants), wake_(std::move(wake)) {}

std::optional<ErrorCode> StatementRun::Work(const std::function<void(ResultSink& sink)>& work) {
  std::optional<Error> failure;
  try {
    if (IsCanceled()) throw StatementStopped();
    work(*this);
  } catch (const std::exception&) {
    failure = CurrentError();
  }
  if (!failure) {
    last_ = Done{tag_};
    return std::nullopt;
  }
  last_ = *failure;
  return failure->code();
}

void StatementRun::Cancel(CancelReason reason) {
  CancelReason none = CancelReason::kNone;
  const bool is_first = reason_.compare_exchange_strong(none, reason);
  {
    // The lock keeps the wake-up from falling between a worker's look at the reason and its wait.
    const std::lock_guard lock(mutex_);
    shrunk_.notify_all();
  }
  if (is_first && on_cancel_) on_cancel_();
}

std::optional<StatementRun::Event> StatementRun::Next() {
  std::optional<Event> event;
  {
    const std::lock_guard lock(mutex_);
    if (events_.empty()) return std::nullopt;
    event = std::move(events_.front().first);
    bytes_ -= events_.front().second;
    events_.pop_front();
  }
  shrunk_.notify_all();
  return event;
}

void StatementRun::ReleaseBound() {
  {
    const std::lock_guard lock(mutex_);
    is_bound_ = false;
  }
  shrunk_.notify_all();
}

void StatementRun::OnColumns(const std::vector<Column>& columns) { Push(columns, 0); }

void StatementRun::OnRow(const std::vector<Value>& row) {
  size_t bytes = row.size() * sizeof(Value);
  for (const Value& value : row) {
    if (const auto* text = std::get_if<std::string>(&value)) bytes += text->size();
  }
  Push(row, bytes);
}

void StatementRun::OnTextPiece(std::string_view piece) {
  if (wants_.pieces) Push(Piece{std::string(piece)}, piece.size());
}

void StatementRun::OnNotice(std::string_view notice) {
  Push(Notice{std::string(notice)}, notice.size());
}

void StatementRun::OnDone(std::string_view tag) { tag_ = tag; }

void StatementRun::OnProgress(std::string_view stage, int64_t done, int64_t total,
                              std::string_view unit) {
  if (wants_.progress) Push(Progress{std::string(stage), done, total, std::string(unit)}, 0);
}

void StatementRun::Finish() {
  {
    const std::lock_guard lock(mutex_);
    events_.emplace_back(*std::move(last_), 0);
  }
  has_ended_ = true;
  wake_();
}

void StatementRun::Fail(Error error) {
  last_ = std::move(error);
  Finish();
}

void StatementRun::Push(Event event, size_t bytes) {
  bool was_empty = false;
  {
    std::unique_lock lock(mutex_);
    shrunk_.wait(lock, [&] { return !is_bound_ || bytes_ <= kMostQueuedBytes || IsCanceled(); });
    was_empty = events_.empty();
    events_.emplace_back(std::move(event), bytes);
    bytes_ += bytes;
  }
  if (was_empty) wake_();
}

Error StatementStopped() { return Error(ErrorCode::kCanceled, "the statement was stopped"); }

std::string_view MessageOf(StatementRun::CancelReason reason) {
  switch (reason) {
    case StatementRun::CancelReason::kTimeout:
      return "canceling statement due to statement timeout";
    case StatementRun::CancelReason::kDeadline:
      return "the deadline of the statement has passed";
    case StatementRun::CancelReason::kShutdown:
      return "canceling statement, since the server is shutting down";
    default:
      return "canceling statement due to user request";
  }
}

}  // namespace promptdb
