#include "server/worker_pool.h"

#include <optional>
#include <utility>

namespace promptdb {

WorkerPool::WorkerPool(int workers, int most_waiting) : most_waiting_(most_waiting) {
  for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { Work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool WorkerPool::Submit(std::function<void()> task, std::function<void()> after) {
  {
    const std::lock_guard lock(mutex_);
    const int free = static_cast<int>(workers_.size()) - running_;
    if (static_cast<int>(tasks_.size()) >= most_waiting_ + free) return false;
    tasks_.push_back({std::move(task), std::move(after)});
  }
  wake_.notify_one();
  return true;
}

WorkerPool::Load WorkerPool::load() const {
  const std::lock_guard lock(mutex_);
  return {static_cast<int>(workers_.size()), running_, static_cast<int>(tasks_.size())};
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return is_ending_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::optional<Task> task = std::move(tasks_.front());
    tasks_.pop_front();
    ++running_;
    lock.unlock();
    task->run();
    lock.lock();
    --running_;
    lock.unlock();
    if (task->after) task->after();
    // What it holds ends here, not while the pool is locked.
    task.reset();
    lock.lock();
  }
}

}  // namespace promptdb
