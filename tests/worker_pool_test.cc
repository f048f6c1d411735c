// Whose turn it is among statements that wait for a worker.
#include "server/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace promptdb {
namespace {

using Clock = Urgency::Clock;

// A pool of one worker that is busy until Open(), and the order in which it then runs what waits.
class OneWorker {
 public:
  explicit OneWorker(int most_waiting = 100) : pool_(std::in_place, 1, most_waiting) {
    pool_->Submit({.run = [this] { gate_.get_future().wait(); },
                   .after = nullptr,
                   .user = "first",
                   .urgency = {}});
    while (pool_->load().running == 0) std::this_thread::yield();
  }

  WorkerPool& pool() { return *pool_; }

  bool Submit(const std::string& user, const std::string& name, const Urgency& urgency = {},
              const void* owner = nullptr) {
    return pool_->Submit({.run = [this, name] { order_ += name + " "; },
                          .after = nullptr,
                          .user = user,
                          .urgency = urgency,
                          .owner = owner});
  }

  // Lets the worker go, and waits until nothing is left to run.
  std::string Order() {
    gate_.set_value();
    pool_.reset();
    return order_;
  }

 private:
  std::promise<void> gate_;
  std::string order_;  // the worker's, until it is joined
  std::optional<WorkerPool> pool_;
};

TEST(WorkerPoolTest, QueueHasALimit) {
  OneWorker worker(1);
  EXPECT_TRUE(worker.Submit("ada", "a"));
  EXPECT_FALSE(worker.Submit("ada", "b"));
  EXPECT_FALSE(worker.Submit("bob", "c"));
  EXPECT_EQ(worker.pool().load().waiting, 1);
  EXPECT_EQ(worker.Order(), "a ");
}

TEST(WorkerPoolTest, WhoIsToldOfAnEndFindsRoom) {
  WorkerPool pool(1, 0);
  std::atomic<int> refused = 0, ran = 0;
  for (int i = 0; i < 1000; ++i) {
    std::promise<void> end;
    if (!pool.Submit({.run = [&] { ++ran; },
                      .after = [&] { end.set_value(); },
                      .user = "ada",
                      .urgency = {}})) {
      ++refused;
      continue;
    }
    end.get_future().wait();
  }
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(ran, 1000);
}

TEST(WorkerPoolTest, UsersTakeTurnsWhateverEachHasSent) {
  OneWorker worker;
  for (const char* name : {"a1", "a2", "a3", "a4"}) worker.Submit("ada", name);
  for (const char* name : {"b1", "b2"}) worker.Submit("bob", name);
  worker.Submit("cid", "c1");
  EXPECT_EQ(worker.Order(), "a1 b1 c1 a2 b2 a3 a4 ");
}

TEST(WorkerPoolTest, PrioritiesComeFirstAndDeadlinesWithinAUsersOwn) {
  OneWorker worker;
  const auto soon = Clock::now() + std::chrono::hours(1), later = soon + std::chrono::hours(1);
  worker.Submit("ada", "low", {.priority = -10, .deadline = soon});
  worker.Submit("ada", "a1");
  worker.Submit("bob", "b1");
  worker.Submit("bob", "later", {.priority = 0, .deadline = later});
  worker.Submit("bob", "soon", {.priority = 0, .deadline = soon});
  worker.Submit("ada", "high", {.priority = 10, .deadline = std::nullopt});
  // Ada had the turn of "high", so that Bob is next; his deadlines don't take a turn of hers.
  EXPECT_EQ(worker.Order(), "high soon a1 later b1 low ");
}

TEST(WorkerPoolTest, WhatWaitsCanBeTakenBack) {
  OneWorker worker(2);
  const int a = 0, b = 0;
  worker.Submit("ada", "a", {}, &a);
  worker.Submit("ada", "b", {}, &b);
  EXPECT_FALSE(worker.Submit("ada", "c"));
  EXPECT_TRUE(worker.pool().Withdraw(&a));
  EXPECT_FALSE(worker.pool().Withdraw(&a));
  EXPECT_EQ(worker.pool().load().waiting, 1);
  EXPECT_TRUE(worker.Submit("ada", "d"));
  EXPECT_EQ(worker.Order(), "b d ");
}

TEST(WorkerPoolTest, ManyThreadsSubmitAndTakeBack) {
  std::atomic<int> ran = 0, withdrawn = 0, refused = 0;
  constexpr int kThreads = 4, kTasks = 500;
  {
    WorkerPool pool(3, 20);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (int n = 0; n < kTasks; ++n) {
          const auto owner = std::make_shared<int>(n);
          if (!pool.Submit({.run = [&, owner] { ++ran; },
                            .after = nullptr,
                            .user = std::to_string(i),
                            .urgency = {.priority = n % 3, .deadline = std::nullopt},
                            .owner = owner.get()})) {
            ++refused;
          } else if (n % 2 == 0 && pool.Withdraw(owner.get())) {
            ++withdrawn;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(ran + withdrawn + refused, kThreads * kTasks);
  EXPECT_GT(ran, 0);
}

}  // namespace
}  // namespace promptdb
