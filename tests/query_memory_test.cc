// The budget of what running queries take for themselves: who gets in, who waits, who never will.
#include "executor/query_memory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "executor/database.h"
#include "tests/chat_bench.h"

namespace promptdb {
namespace {

class Switch : public ProgressListener {
 public:
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool IsCanceled() const override { return is_on; }

  std::atomic<bool> is_on = false;
};

TEST(QueryMemoryTest, WhatIsReservedIsGivenBack) {
  QueryMemory memory(100);
  const Switch nobody;
  {
    const auto one = memory.Reserve(60, {}, nobody);
    auto two = memory.Reserve(40, {}, nobody);
    EXPECT_EQ(memory.stats().reserved, 100);
    const auto moved = std::move(two);
    EXPECT_EQ(memory.stats().reserved, 100);
  }
  EXPECT_EQ(memory.stats().reserved, 0);
  EXPECT_EQ(memory.stats().most_reserved, 100);
  EXPECT_EQ(memory.stats().waited, 0);
}

TEST(QueryMemoryTest, WhatNeverFitsIsRefused) {
  QueryMemory memory(5 << 20);
  const Switch nobody;
  try {
    memory.Reserve(6 << 20, {}, nobody);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResource);
    EXPECT_EQ(error.message(), "the query may need 6MB of memory, and query_memory is 5MB");
    EXPECT_NE(error.hint().find("query_memory"), std::string::npos);
  }
  EXPECT_EQ(memory.stats().refused, 1);
}

// Waiters are queued one by one, each when the one before it waits; returns who got in, in order.
struct Asked {
  std::string name;
  int64_t bytes = 0;
  Urgency urgency;
};
std::string OrderOf(QueryMemory& memory, const std::vector<Asked>& asked,
                    const std::function<void()>& let_go) {
  const Switch nobody;
  std::string order;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (const Asked& one : asked) {
    threads.emplace_back([&] {
      const auto reserved = memory.Reserve(one.bytes, one.urgency, nobody);
      const std::scoped_lock lock(mutex);
      order += one.name + " ";
    });
    while (memory.stats().waiting < static_cast<int64_t>(threads.size())) std::this_thread::yield();
  }
  let_go();
  for (std::thread& thread : threads) thread.join();
  return order;
}

TEST(QueryMemoryTest, WhoWaitsGetsInByUrgencyAndNobodyOvertakes) {
  QueryMemory memory(100);
  const Switch nobody;
  std::optional<QueryMemory::Reservation> all;
  all.emplace(memory.Reserve(100, {}, nobody));
  const auto now = Urgency::Clock::now();
  // Each takes more than half, so that one gets in at a time, and the small one waits its turn.
  EXPECT_EQ(OrderOf(memory,
                    {{"a", 60, {}},
                     {"low", 60, {.priority = -1, .deadline = std::nullopt}},
                     {"b", 100, {}},
                     {"later", 60, {.priority = 0, .deadline = now + std::chrono::hours(2)}},
                     {"soon", 60, {.priority = 0, .deadline = now + std::chrono::hours(1)}},
                     {"high", 60, {.priority = 1, .deadline = std::nullopt}}},
                    [&] { all.reset(); }),
            "high soon later a b low ");
  EXPECT_EQ(memory.stats().reserved, 0);
  EXPECT_EQ(memory.stats().waited, 6);
  EXPECT_EQ(memory.stats().most_reserved, 100);
}

TEST(QueryMemoryTest, WhoIsCanceledMakesWay) {
  QueryMemory memory(100);
  Switch canceled;
  const Switch nobody;
  const auto half = memory.Reserve(50, {}, nobody);
  std::atomic<bool> was_canceled = false;
  std::thread large([&] {
    try {
      memory.Reserve(80, {}, canceled);
    } catch (const Error& error) {
      was_canceled = error.code() == ErrorCode::kCanceled;
    }
  });
  while (memory.stats().waiting < 1) std::this_thread::yield();
  std::thread small([&] { memory.Reserve(40, {}, nobody); });
  while (memory.stats().waiting < 2) std::this_thread::yield();
  canceled.is_on = true;
  large.join();
  small.join();
  EXPECT_TRUE(was_canceled);
  EXPECT_EQ(memory.stats().reserved, 50);
  EXPECT_EQ(memory.stats().waiting, 0);
}

TEST(QueryMemoryTest, AnotherBudgetCountsForThoseWhoWait) {
  QueryMemory memory(100);
  const Switch nobody;
  const auto most = memory.Reserve(90, {}, nobody);
  std::atomic<bool> was_refused = false;
  std::thread refused([&] {
    try {
      memory.Reserve(80, {}, nobody);
    } catch (const Error& error) {
      was_refused = error.code() == ErrorCode::kResource;
    }
  });
  while (memory.stats().waiting < 1) std::this_thread::yield();
  memory.SetBudget(70);
  refused.join();
  EXPECT_TRUE(was_refused);
  EXPECT_EQ(OrderOf(memory, {{"a", 70, {}}}, [&] { memory.SetBudget(160); }), "a ");
}

// ---- Statements --------------------------------------------------------------------------------

int64_t Stat(Bench& bench, const std::string& name) {
  return std::get<int64_t>(
      bench.Run("SELECT value FROM pc_stats WHERE name = " + QuoteText(name)).rows.at(0).at(0));
}

constexpr char kAnswer[] =
    "SELECT GENERATE (max_tokens => 200, ignore_eos => true) FROM s USE a PROMPT 'one two'";

class StatementMemoryTest : public testing::Test {
 protected:
  StatementMemoryTest() : bench_(Tiny("llama", 1024)) { bench_.Run(kSchema); }

  // What one kAnswer reserves, when all that it uses is cached.
  int64_t Need() {
    bench_.Run(kAnswer);
    RecordingSink sink;
    int64_t need = 0;
    sink.on_piece = [&] { need = Stat(bench_, "query_reserved_bytes"); };
    Session(&bench_.database()).Execute(kAnswer, sink);
    return need;
  }
  void SetBudget(int64_t bytes) { bench_.Run("SET query_memory = " + std::to_string(bytes)); }

  Bench bench_;
};

TEST_F(StatementMemoryTest, HeavyStatementsRunOneAfterAnother) {
  const std::string expected = TextOf(bench_.Run(kAnswer));
  // The first is held in the middle of its answer until the others wait.
  std::atomic<bool> has_begun = false, goes_on = false;
  std::atomic<int> most_at_once = 0, at_once = 0;
  std::vector<std::string> answers(4);
  std::vector<std::thread> sessions;
  const auto ask = [&](size_t i, bool waits) {
    RecordingSink sink;
    bool is_first = true;
    sink.on_piece = [&] {
      if (std::exchange(is_first, false)) {
        most_at_once = std::max(most_at_once.load(), ++at_once);
        has_begun = true;
        while (waits && !goes_on) std::this_thread::yield();
        --at_once;
      }
    };
    Session(&bench_.database()).Execute(kAnswer, sink);
    answers[i] = TextOf(sink);
  };
  sessions.emplace_back(ask, 0, true);
  while (!has_begun) std::this_thread::yield();
  const int64_t need = Stat(bench_, "query_reserved_bytes");
  EXPECT_GT(need, 0);
  SetBudget(need + need / 2);
  for (size_t i = 1; i < answers.size(); ++i) sessions.emplace_back(ask, i, false);
  while (Stat(bench_, "queries_waiting") < 3) std::this_thread::yield();
  EXPECT_EQ(Stat(bench_, "query_reserved_bytes"), need);
  goes_on = true;
  for (std::thread& session : sessions) session.join();
  EXPECT_EQ(most_at_once, 1);
  for (const std::string& answer : answers) EXPECT_EQ(answer, expected);
  EXPECT_EQ(Stat(bench_, "query_reserved_bytes"), 0);
}

TEST_F(StatementMemoryTest, ReservationsEndWithTheStatementHoweverItEnds) {
  const int64_t need = Need();
  RecordingSink canceled;
  canceled.on_piece = [&] { canceled.is_canceled = true; };
  EXPECT_THROW(Session(&bench_.database()).Execute(kAnswer, canceled), Error);
  EXPECT_EQ(Stat(bench_, "query_reserved_bytes"), 0);
  RecordingSink failing;
  failing.on_piece = [] { throw Error(ErrorCode::kIo, "nobody listens"); };
  EXPECT_THROW(Session(&bench_.database()).Execute(kAnswer, failing), Error);
  EXPECT_EQ(Stat(bench_, "query_reserved_bytes"), 0);
  SetBudget(need - 1);
  try {
    bench_.Run(kAnswer);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResource);
    EXPECT_TRUE(error.range().has_value());
  }
  EXPECT_EQ(Stat(bench_, "queries_refused"), 1);
  // Less is asked for, and it fits.
  bench_.Run("SELECT GENERATE (max_tokens => 1) FROM s PROMPT 'one'");
  SetBudget(need);
  bench_.Run(kAnswer);
}

TEST_F(StatementMemoryTest, MoreTokensAndMorePromptsNeedMore) {
  const auto most = [&](const std::string& statement) {
    Bench bench(Tiny("llama", 1024));
    bench.Run(kSchema);
    bench.Run(statement);
    return Stat(bench, "query_most_reserved_bytes");
  };
  const std::string begin = "SELECT GENERATE (ignore_eos => true, max_tokens => ";
  const int64_t little = most(begin + "1) FROM s PROMPT 'one'");
  EXPECT_LT(little, most(begin + "500) FROM s PROMPT 'one'"));
  EXPECT_LT(little, most(begin + "1) FROM s USE a PROMPT IN ('one', 'two', 'three')"));
  EXPECT_LT(little, most("SELECT LOGPROBS FROM s USE a PROMPT 'one two three four five six'"));
  EXPECT_LT(0, most("SELECT EMBEDDING FROM s USE a PROMPT 'one'"));
  EXPECT_LT(0, most("WARM s"));
  EXPECT_LT(0, most("BEGIN CHAT c FROM s; CONTINUE c (max_tokens => 2) PROMPT 'hello'"));
  EXPECT_LT(0, most("EXPLAIN ANALYZE SELECT GENERATE (max_tokens => 1) FROM s PROMPT 'one'"));
  // Nothing is computed.
  EXPECT_EQ(0, most("EXPLAIN SELECT GENERATE FROM s PROMPT 'one'"));
}

TEST_F(StatementMemoryTest, WhatIsEstimatedIsEnoughForTheStates) {
  // The states that a long answer has written, by the bytes of its segments: see
  // KvSegment::bytes().
  const int64_t need = Need();
  ast::Name model;
  model.text = "m";
  RecordingSink sink;
  const KvShape shape = bench_.database().rep().OpenBare(model, sink)->model->working_kv_shape();
  EXPECT_GE(need, 200 * shape.BytesPerToken());
}

TEST_F(StatementMemoryTest, ADeadlineEndsAStatementThatWaits) {
  const int64_t need = Need();
  SetBudget(need);
  std::atomic<bool> has_begun = false, goes_on = false;
  std::thread holder([&] {
    RecordingSink sink;
    sink.on_piece = [&] {
      has_begun = true;
      while (!goes_on) std::this_thread::yield();
    };
    Session(&bench_.database()).Execute(kAnswer, sink);
  });
  while (!has_begun) std::this_thread::yield();
  try {
    bench_.Run(std::string(kAnswer) + " WITH (deadline = '30ms')");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCanceled);
    EXPECT_EQ(error.message(), "the deadline of the statement has passed");
  }
  goes_on = true;
  holder.join();
}

}  // namespace
}  // namespace promptdb
