#include "server/worker_pool.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
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

bool WorkerPool::Submit(Task task) {
  {
    const std::lock_guard lock(mutex_);
    const int free = static_cast<int>(workers_.size()) - running_;
    if (static_cast<int>(tasks_.size()) >= most_waiting_ + free) return false;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

bool WorkerPool::Withdraw(const void* owner) {
  std::list<Task> withdrawn;  // ends when the pool is no longer locked
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find_if(tasks_, [&](const Task& task) { return task.owner == owner; });
  if (found == tasks_.end()) return false;
  withdrawn.splice(withdrawn.begin(), tasks_, found);
  return true;
}

WorkerPool::Load WorkerPool::load() const {
  const std::lock_guard lock(mutex_);
  return {static_cast<int>(workers_.size()), running_, static_cast<int>(tasks_.size())};
}

WorkerPool::Task WorkerPool::TakeNext() {
  const auto last_turn = [&](const Task& task) {
    const auto found = last_turns_.find(task.user);
    return found == last_turns_.end() ? 0 : found->second;
  };
  // The first of equals is the one that came first.
  const auto first = std::ranges::min_element(tasks_, [&](const Task& a, const Task& b) {
    if (a.urgency.priority != b.urgency.priority) return a.urgency.priority > b.urgency.priority;
    return last_turn(a) < last_turn(b);
  });
  auto next = first;
  for (auto other = std::next(first); other != tasks_.end(); ++other) {
    if (other->user == first->user && GoesBefore(other->urgency, next->urgency)) next = other;
  }
  Task task = std::move(*next);
  tasks_.erase(next);
  // Whoever has nothing left to wait for is forgotten.
  std::set<std::string_view> waiting;
  for (const Task& other : tasks_) waiting.insert(other.user);
  std::erase_if(last_turns_, [&](const auto& turn) { return !waiting.contains(turn.first); });
  last_turns_[task.user] = ++turns_;
  return task;
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return is_ending_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::optional<Task> task = TakeNext();
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
