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
                   .refuse = nullptr,
                   .user = "first",
                   .urgency = {}});
    while (pool_->load().running == 0) std::this_thread::yield();
  }

  WorkerPool& pool() { return *pool_; }

  void Submit(const std::string& user, const std::string& name, const Urgency& urgency = {},
              const void* owner = nullptr) {
    pool_->Submit({.run = [this, name] { order_ += name + " "; },
                   .after = nullptr,
                   .refuse = [this, name] { refused_ += name + " "; },
                   .user = user,
                   .urgency = urgency,
                   .owner = owner});
  }

  const std::string& refused() const { return refused_; }

  // Lets the worker go, and waits until nothing is left to run.
  std::string Order() {
    gate_.set_value();
    pool_.reset();
    return order_;
  }

 private:
  std::promise<void> gate_;
  std::string order_;  // the worker's, until it is joined
  std::string refused_;
  std::optional<WorkerPool> pool_;
};

TEST(WorkerPoolTest, QueueHasALimit) {
  OneWorker worker(1);
  worker.Submit("ada", "a");
  worker.Submit("ada", "b");
  worker.Submit("bob", "c");
  EXPECT_EQ(worker.pool().load().waiting, 1);
  EXPECT_EQ(worker.refused(), "b c ");
  EXPECT_EQ(worker.Order(), "a ");
}

TEST(WorkerPoolTest, WhoSendsMostYieldsToOthers) {
  OneWorker worker(3);
  for (const char* name : {"a1", "a2", "a3"}) worker.Submit("ada", name);
  worker.Submit("bob", "b1");  // for a3
  worker.Submit("ada", "a4");  // who has most again, and came last
  worker.Submit("bob", "b2");  // would make it two and two
  worker.Submit("cid", "c1");  // for a2
  EXPECT_EQ(worker.refused(), "a3 a4 b2 a2 ");
  worker.Submit("dan", "d1");  // all have one
  EXPECT_EQ(worker.refused(), "a3 a4 b2 a2 d1 ");
  EXPECT_EQ(worker.pool().load().waiting, 3);
  EXPECT_EQ(worker.Order(), "a1 b1 c1 ");
}

TEST(WorkerPoolTest, TheLowestPriorityYields) {
  OneWorker worker(2);
  worker.Submit("ada", "low", {.priority = -10, .deadline = std::nullopt});
  worker.Submit("ada", "a1");
  worker.Submit("ada", "a2");
  EXPECT_EQ(worker.refused(), "low ");
  worker.Submit("bob", "lower", {.priority = -20, .deadline = std::nullopt});
  worker.Submit("bob", "high", {.priority = 10, .deadline = std::nullopt});
  EXPECT_EQ(worker.refused(), "low lower a2 ");
  EXPECT_EQ(worker.Order(), "high a1 ");
}

TEST(WorkerPoolTest, WhoComesBackAfterATurnGoesLast) {
  WorkerPool pool(1, 100);
  std::promise<void> gate;
  std::string order;
  const auto submit = [&](const std::string& user, std::function<void()> then = nullptr) {
    pool.Submit({.run =
                     [&order, user, then] {
                       order += user + " ";
                       if (then) then();
                     },
                 .after = nullptr,
                 .refuse = nullptr,
                 .user = user,
                 .urgency = {}});
  };
  std::promise<void> end;
  submit("first", [&] { gate.get_future().wait(); });
  while (pool.load().running == 0) std::this_thread::yield();
  // One after another, each when the one before has ended: ada never waits for two.
  submit("ada", [&] { submit("ada", [&] { submit("ada", [&] { end.set_value(); }); }); });
  for (int i = 0; i < 2; ++i) {
    submit("bob");
    submit("cid");
  }
  gate.set_value();
  end.get_future().wait();
  EXPECT_EQ(order, "first ada bob cid ada bob cid ada ");
}

TEST(WorkerPoolTest, WhoIsToldOfAnEndFindsRoom) {
  WorkerPool pool(1, 0);
  std::atomic<int> refused = 0, ran = 0;
  for (int i = 0; i < 1000; ++i) {
    std::promise<void> end;
    pool.Submit({.run = [&] { ++ran; },
                 .after = [&] { end.set_value(); },
                 .refuse =
                     [&] {
                       ++refused;
                       end.set_value();
                     },
                 .user = "ada",
                 .urgency = {}});
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
  worker.Submit("ada", "c");
  EXPECT_EQ(worker.refused(), "c ");
  EXPECT_TRUE(worker.pool().Withdraw(&a));
  EXPECT_FALSE(worker.pool().Withdraw(&a));
  EXPECT_EQ(worker.pool().load().waiting, 1);
  worker.Submit("ada", "d");
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
          pool.Submit({.run = [&, owner] { ++ran; },
                       .after = nullptr,
                       .refuse = [&, owner] { ++refused; },
                       .user = std::to_string(i),
                       .urgency = {.priority = n % 3, .deadline = std::nullopt},
                       .owner = owner.get()});
          if (n % 2 == 0 && pool.Withdraw(owner.get())) ++withdrawn;
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
