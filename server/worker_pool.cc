#include "server/worker_pool.h"

#include <algorithm>
#include <map>
#include <optional>
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

void WorkerPool::Submit(Task task) {
  std::list<Task> refused;
  {
    const std::lock_guard lock(mutex_);
    const int free = static_cast<int>(workers_.size()) - running_;
    tasks_.push_back(std::move(task));
    if (static_cast<int>(tasks_.size()) > most_waiting_ + free) {
      refused.splice(refused.begin(), tasks_, WhoYields());
    }
  }
  wake_.notify_one();
  for (const Task& other : refused) {
    if (other.refuse) other.refuse();
  }
}

std::list<WorkerPool::Task>::iterator WorkerPool::WhoYields() {
  const auto priority = [](const Task& task) { return task.urgency.priority; };
  const int lowest = priority(*std::ranges::min_element(tasks_, {}, priority));
  std::map<std::string_view, int> counts;
  int most = 0;
  for (const Task& task : tasks_) {
    if (priority(task) == lowest) most = std::max(most, ++counts[task.user]);
  }
  auto task = std::prev(tasks_.end());
  while (priority(*task) != lowest || counts[task->user] < most) --task;
  return task;
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
  last_turns_[task.user] = ++turns_;
  // Forgotten is whose turn was before those of all who wait: a newcomer is no worse off. Who comes
  // back sooner does not overtake them.
  int64_t least = turns_;
  for (const Task& other : tasks_) least = std::min(least, last_turn(other));
  std::erase_if(last_turns_, [&](const auto& turn) { return turn.second < least; });
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
