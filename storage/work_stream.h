// A thread that does what it is given, in that order: what a stream is to a device that the host
// stands in for.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_WORK_STREAM_H_
#define PROMPTDB_STORAGE_WORK_STREAM_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace promptdb {

class WorkStream {
 public:
  WorkStream() = default;
  ~WorkStream();  // waits for what was added
  WorkStream(const WorkStream&) = delete;
  WorkStream& operator=(const WorkStream&) = delete;

  // `work` must not throw.
  void Add(std::function<void()> work);
  // Waits until all that was added is done.
  void Finish();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::deque<std::function<void()>> queue_;
  bool is_running_ = false;  // one that was taken from the queue
  bool ends_ = false;
  std::thread thread_;  // begins with the first work
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_WORK_STREAM_H_
