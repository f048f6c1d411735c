#include "storage/work_stream.h"

#include <utility>

namespace promptdb {

WorkStream::~WorkStream() {
  {
    const std::scoped_lock lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WorkStream::Add(std::function<void()> work) {
  {
    const std::scoped_lock lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
    queue_.push_back(std::move(work));
  }
  changed_.notify_all();
}

void WorkStream::Finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return queue_.empty() && !is_running_; });
}

void WorkStream::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ends_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    is_running_ = true;
    lock.unlock();
    work();
    lock.lock();
    is_running_ = false;
    if (queue_.empty()) changed_.notify_all();
  }
}

}  // namespace promptdb
