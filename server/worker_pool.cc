#include "server/worker_pool.h"

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

bool WorkerPool::Submit(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    const int free = static_cast<int>(workers_.size()) - running_;
    if (static_cast<int>(tasks_.size()) >= most_waiting_ + free) return false;
    tasks_.push_back(std::move(task));
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
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    ++running_;
    lock.unlock();
    task();
    // What it holds ends here, not while the pool is locked.
    task = nullptr;
    lock.lock();
    --running_;
  }
}

}  // namespace promptdb
