// The threads that run statements, so that nobody's inference holds up another's socket.
//
// Thread-safe.
#ifndef PROMPTDB_SERVER_WORKER_POOL_H_
#define PROMPTDB_SERVER_WORKER_POOL_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace promptdb {

class WorkerPool {
 public:
  // `most_waiting`: tasks beyond those that workers are free for.
  WorkerPool(int workers, int most_waiting);
  // Runs what waits, and joins.
  ~WorkerPool();

  // False when as many wait as may. Tasks run in order; none may throw. `after` is called when the
  // worker is free again, so that whoever it tells of the end finds room for what comes next.
  bool Submit(std::function<void()> task, std::function<void()> after = nullptr);

  struct Load {
    int workers = 0;
    int running = 0;
    int waiting = 0;
  };
  Load load() const;

 private:
  struct Task {
    std::function<void()> run;
    std::function<void()> after;
  };

  void Work();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;  // guarded by mutex_
  int running_ = 0;         // guarded by mutex_
  bool is_ending_ = false;  // guarded by mutex_
  const int most_waiting_;
  std::vector<std::thread> workers_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_WORKER_POOL_H_
