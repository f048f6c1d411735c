#include "server/server_state.h"

#include <utility>

#include "base/error.h"

namespace promptdb {

namespace {

// Cancels the run by `timer` when it has gone for `limit` (0: for ever), or its deadline has
// passed.
void CancelInTime(std::chrono::milliseconds limit, const Urgency& urgency,
                  std::shared_ptr<StatementRun> run, asio::steady_timer& timer) {
  using Reason = StatementRun::CancelReason;
  timer.cancel();
  if (limit.count() <= 0 && !urgency.deadline) return;
  auto end = limit.count() > 0 ? Urgency::Clock::now() + limit : Urgency::Clock::time_point::max();
  const Reason reason =
      urgency.deadline && *urgency.deadline < end ? Reason::kDeadline : Reason::kTimeout;
  if (reason == Reason::kDeadline) end = *urgency.deadline;
  timer.expires_at(end);
  timer.async_wait([run = std::move(run), reason](const ErrorCodeIo& error) {
    if (!error) run->Cancel(reason);
  });
}

}  // namespace

std::shared_ptr<StatementRun> ServerState::StartRun(Statement statement, asio::steady_timer& timer,
                                                    std::function<void()> wake) {
  auto run = std::make_shared<StatementRun>(
      statement.wants, [this, wake = std::move(wake)] { asio::post(io, wake); });
  const StatementRun* owner = run.get();
  run->OnCancel([this, weak = std::weak_ptr(run)] {
    // One that runs notices by itself. One that waits need not wait for a worker in order to end.
    const auto canceled = weak.lock();
    if (!canceled || !pool || !pool->Withdraw(canceled.get())) return;
    metrics.CountEnd(ErrorCode::kCanceled);
    canceled->Fail(StatementStopped());
  });
  WorkerPool::Task task;
  task.run = [this, run, id = statement.id, urgency = statement.urgency,
              work = std::move(statement.work)] {
    registry.MarkActive(id);
    metrics.CountEnd(run->Work([&](ResultSink& sink) { work(sink, urgency); }));
  };
  task.after = [run] { run->Finish(); };
  task.refuse = [this, run] {
    metrics.CountEnd(ErrorCode::kTooBusy);
    run->Fail(Error(ErrorCode::kTooBusy,
                    "the queue is full: " + std::to_string(pool->load().waiting) +
                        " statements are waiting already",
                    "Try again in a while."));
  };
  task.user = statement.user.empty() ? "#" + std::to_string(statement.id) : statement.user;
  task.urgency = statement.urgency;
  task.owner = owner;
  ++metrics.statements;
  pool->Submit(std::move(task));
  CancelInTime(statement.limit, statement.urgency, run, timer);
  return run;
}

}  // namespace promptdb
