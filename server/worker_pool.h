// The threads that run statements, so that nobody's inference holds up another's socket, and the
// queue of those that wait for one.
//
// A statement of a higher priority goes first. Among those of the highest, users take turns, so
// that nobody waits for all that another has sent; a user's own go by their deadlines, then as they
// came. A deadline does not let a user overtake another one: else everybody would set one.
//
// Where more wait than may, one of the lowest priority is refused: the last of the user who has most
// of them there. So a user who sends without end refuses none but the own.
//
// Thread-safe.
#ifndef PROMPTDB_SERVER_WORKER_POOL_H_
#define PROMPTDB_SERVER_WORKER_POOL_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/urgency.h"

namespace promptdb {

class WorkerPool {
 public:
  struct Task {
    std::function<void()> run;  // may not throw
    // Called when the worker is free again, so that whoever it tells of the end finds room for what
    // comes next. May be null.
    std::function<void()> after;
    // Called instead of both where no room is left for it, by whoever submits a task. May be null.
    std::function<void()> refuse;
    std::string user;  // with whose other tasks it shares turns
    Urgency urgency;
    const void* owner = nullptr;  // by which Withdraw() knows it
  };

  // `most_waiting`: tasks beyond those that workers are free for.
  WorkerPool(int workers, int most_waiting);
  // Runs what waits, and joins.
  ~WorkerPool();

  void Submit(Task task);

  // Takes back the task of that owner; false when it does not wait (any more). Then neither `run`
  // nor `after` nor `refuse` is called, nor will be.
  bool Withdraw(const void* owner);

  struct Load {
    int workers = 0;
    int running = 0;
    int waiting = 0;
  };
  Load load() const;

 private:
  void Work();
  // Takes off the task whose turn it is. REQUIRES: mutex_ held, tasks_ is not empty.
  Task TakeNext();
  // The task that is refused. REQUIRES: as for TakeNext().
  std::list<Task>::iterator WhoYields();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::list<Task> tasks_;  // in the order in which they came
  // Which turn was a user's last; of those who had one since the last of some user who waits.
  std::map<std::string, int64_t, std::less<>> last_turns_;
  int64_t turns_ = 0;
  int running_ = 0;
  bool is_ending_ = false;
  const int most_waiting_;
  std::vector<std::thread> workers_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_WORKER_POOL_H_
