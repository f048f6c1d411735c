#include "server/server_state.h"

#include <utility>

namespace promptdb {

std::shared_ptr<StatementRun> ServerState::StartRun(StatementRun::Wants wants, int64_t id,
                                                    std::function<void(ResultSink&)> work,
                                                    std::function<void()> wake) {
  auto run = std::make_shared<StatementRun>(
      wants, [this, wake = std::move(wake)] { asio::post(io, wake); });
  std::function<void()> task = [this, run, id, work = std::move(work)] {
    registry.MarkActive(id);
    metrics.CountEnd(run->Work(work));
  };
  ++metrics.statements;
  if (!pool->Submit(std::move(task), [run] { run->Finish(); })) {
    ++metrics.too_busy;
    return nullptr;
  }
  return run;
}

void CancelAfter(std::chrono::milliseconds limit, std::shared_ptr<StatementRun> run,
                 asio::steady_timer& timer) {
  timer.cancel();
  if (limit.count() <= 0) return;
  timer.expires_after(limit);
  timer.async_wait([run = std::move(run)](const ErrorCodeIo& error) {
    if (!error) run->Cancel(StatementRun::CancelReason::kTimeout);
  });
}

}  // namespace promptdb
