// One statement between the worker that runs it and the connection that asked for it: a queue of
// what comes out of it, and the wish to stop it.
//
// The On… functions, Work() and Finish() are the worker's; Next() and ReleaseBound() the I/O
// thread's; Cancel() and state() anybody's.
#ifndef PROMPTDB_SERVER_STATEMENT_RUN_H_
#define PROMPTDB_SERVER_STATEMENT_RUN_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "executor/result.h"

namespace promptdb {

class StatementRun : public ResultSink {
 public:
  struct Piece {
    std::string text;
  };
  struct Notice {
    std::string text;
  };
  struct Progress {
    std::string stage;
    int64_t done = 0;
    int64_t total = 0;
    std::string unit;
  };
  struct Done {
    std::string tag;  // empty for work that is no statement
  };
  using Event = std::variant<std::vector<Column>, Row, Piece, Notice, Progress, Done, Error>;

  // Who is asked for beside columns, rows and notices.
  struct Wants {
    bool pieces = false;
    bool progress = false;
  };

  enum class CancelReason { kNone, kRequested, kTimeout, kDeadline, kShutdown, kGone };

  // `wake` is called on the worker's thread whenever there is something in a queue that was empty,
  // and at the end.
  StatementRun(Wants wants, std::function<void()> wake);

  // Runs `work`, unless the run was canceled before; what it throws is the last event, else Done,
  // which Finish() puts into the queue. Returns the code of the Error that ended it, if one did.
  std::optional<ErrorCode> Work(const std::function<void(ResultSink& sink)>& work);

  void Finish();

  // Instead of both, for what never gets a worker.
  void Fail(Error error);

  // The first reason counts, and only it calls what OnCancel() was given.
  void Cancel(CancelReason reason);
  // Before anybody may cancel it.
  void OnCancel(std::function<void()> call) { on_cancel_ = std::move(call); }
  CancelReason cancel_reason() const { return reason_.load(); }
  // Its last event is in the queue, and it uses nothing of its session any more.
  bool has_ended() const { return has_ended_.load(); }

  // What comes next; nullopt while there is nothing. The last event is a Done or an Error.
  std::optional<Event> Next();

  // From now on the worker never waits for the queue to shrink: nobody reads it for a while.
  void ReleaseBound();

  void OnColumns(const std::vector<Column>& columns) override;
  void OnRow(const std::vector<Value>& row) override;
  void OnTextPiece(std::string_view piece) override;
  void OnNotice(std::string_view notice) override;
  void OnDone(std::string_view tag) override;
  void OnProgress(std::string_view stage, int64_t done, int64_t total,
                  std::string_view unit) override;
  bool IsCanceled() const override { return reason_.load() != CancelReason::kNone; }

 private:
  void Push(Event event, size_t bytes);

  const Wants wants_;
  const std::function<void()> wake_;
  std::function<void()> on_cancel_;
  std::atomic<CancelReason> reason_{CancelReason::kNone};
  std::atomic<bool> has_ended_{false};
  std::string tag_;            // the worker's
  std::optional<Event> last_;  // the worker's

  std::mutex mutex_;
  std::condition_variable shrunk_;
  std::deque<std::pair<Event, size_t>> events_;  // with their bytes; guarded by mutex_
  size_t bytes_ = 0;                             // guarded by mutex_
  bool is_bound_ = true;                         // guarded by mutex_
};

// What a statement ends in that was canceled.
Error StatementStopped();

// What a client is told, in PostgreSQL's words where it has them.
std::string_view MessageOf(StatementRun::CancelReason reason);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_STATEMENT_RUN_H_
