// Statements that wait at the real pcserver: for a worker, for memory, and until it is too late.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/libpq_client.h"
#include "tests/support/server_process.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

constexpr char kLong[] =
    "SELECT GENERATE (max_tokens => 1500, ignore_eos => true) FROM demo USE valork "
    "PROMPT 'Go on.' WITH (stream = on)";

class ServerQueueTest : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {"--demo"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    server_ = std::make_unique<ServerProcess>(PROMPTDB_PCSERVER, folder_ / "db", all);
  }

  Connection Connect() const {
    const std::string text =
        "host=127.0.0.1 port=" + std::to_string(server_->port()) + " user=ada dbname=towns";
    return {PQconnectdb(text.c_str()), PQfinish};
  }

  static void Send(const Connection& connection, const std::string& text) {
    ASSERT_EQ(PQsendQuery(connection.get(), text.c_str()), 1);
    ASSERT_EQ(PQsetSingleRowMode(connection.get()), 1);
  }

  // Waits for the first row of what was sent: it runs.
  static void AwaitRow(const Connection& connection) {
    const Result row{PQgetResult(connection.get()), PQclear};
    ASSERT_EQ(PQresultStatus(row.get()), PGRES_SINGLE_TUPLE) << PQresultErrorMessage(row.get());
  }

  // The server has read what was sent before: it is one thread that reads, and a new client's login
  // takes several of its rounds.
  void AwaitRead() const { ASSERT_EQ(PQstatus(Connect().get()), CONNECTION_OK); }

  // Nothing has come yet that ends the statement; rows may have.
  static bool IsUnanswered(const Connection& connection) {
    EXPECT_EQ(PQconsumeInput(connection.get()), 1);
    while (PQisBusy(connection.get()) == 0) {
      const Result row{PQgetResult(connection.get()), PQclear};
      if (PQresultStatus(row.get()) != PGRES_SINGLE_TUPLE) return false;
    }
    return true;
  }

  // The SQLSTATE of what was sent, or "" for success, and its message.
  struct Outcome {
    std::string state;
    std::string message;
    std::string hint;
  };
  static Outcome End(const Connection& connection) {
    Outcome outcome;
    while (PGresult* next = PQgetResult(connection.get())) {
      const Result result{next, PQclear};
      if (PQresultStatus(result.get()) != PGRES_FATAL_ERROR) continue;
      outcome = {State(result), Field(result, PG_DIAG_MESSAGE_PRIMARY),
                 Field(result, PG_DIAG_MESSAGE_HINT)};
    }
    return outcome;
  }
  static Outcome Run(const Connection& connection, const std::string& text) {
    EXPECT_EQ(PQsendQuery(connection.get(), text.c_str()), 1);
    return End(connection);
  }

  static std::string Stat(const Connection& connection, const std::string& name) {
    return One(connection, "SELECT value FROM pc_stats WHERE name = '" + name + "'");
  }

  TemporaryFolder folder_{"server"};
  std::unique_ptr<ServerProcess> server_;
};

TEST_F(ServerQueueTest, AStatementOfHigherPriorityRunsFirst) {
  Start({"--workers", "1"});
  const Connection first = Connect(), low = Connect(), high = Connect();
  const auto expect_high_first = [&](const std::string& low_question) {
    Send(first, Endless());
    AwaitRead();
    Send(low, low_question);
    AwaitRead();
    Send(high, kLong);
    AwaitRead();
    Cancel(first);
    AwaitRow(high);
    EXPECT_TRUE(IsUnanswered(low));
    Cancel(high);
    EXPECT_EQ(End(high).state, "57014");
    EXPECT_EQ(End(low).state, "");
    EXPECT_EQ(End(first).state, "57014");
  };
  expect_high_first(std::string(kQuestion) + " WITH (priority = 'low')");
  // And by the setting.
  EXPECT_EQ(Run(high, "SET priority = 'high'").state, "");
  expect_high_first(kQuestion);
}

TEST_F(ServerQueueTest, ADeadlineEndsAStatementThatWaitsAndOneThatRuns) {
  Start({"--workers", "1"});
  const Connection first = Connect(), late = Connect();
  Send(first, Endless());
  AwaitRead();
  const Outcome waited = Run(late, std::string(kQuestion) + " WITH (deadline = '50ms')");
  EXPECT_EQ(waited.state, "57014");
  EXPECT_EQ(waited.message, "the deadline of the statement has passed");
  EXPECT_TRUE(IsUnanswered(first));
  Cancel(first);
  EXPECT_EQ(End(first).state, "57014");

  EXPECT_EQ(Run(late, "SET deadline = '200ms'").state, "");
  const Outcome ran = Run(late, Endless());
  EXPECT_EQ(ran.state, "57014");
  EXPECT_EQ(ran.message, "the deadline of the statement has passed");
  EXPECT_EQ(Run(late, std::string(kQuestion) + " WITH (deadline = '10min')").state, "");
  EXPECT_EQ(Run(late, std::string(kQuestion) + " WITH (deadline = 'soon')").state, "22023");
}

TEST_F(ServerQueueTest, WhatIsCanceledWhileItWaitsEndsAtOnce) {
  Start({"--workers", "1", "--max-waiting", "1"});
  const Connection first = Connect(), waiting = Connect();
  Send(first, Endless());
  AwaitRead();
  Send(waiting, kQuestion);
  AwaitRead();
  EXPECT_EQ(Run(Connect(), kQuestion).state, "53300");
  Cancel(waiting);
  EXPECT_EQ(End(waiting).state, "57014");
  EXPECT_TRUE(IsUnanswered(first));
  // Its place is free, also when its client leaves.
  for (int i = 0; i < 3; ++i) {
    const Connection leaver = Connect();
    Send(leaver, kQuestion);
    AwaitRead();
  }
  Send(waiting, kQuestion);
  AwaitRead();
  EXPECT_TRUE(IsUnanswered(waiting));
  Cancel(first);
  EXPECT_EQ(End(first).state, "57014");
  EXPECT_EQ(End(waiting).state, "");
}

TEST_F(ServerQueueTest, MemoryIsReservedAndGivenBack) {
  Start({"--query-memory", "1MB"});
  const Connection watcher = Connect();
  const Outcome refused = Run(watcher, kLong);
  EXPECT_EQ(refused.state, "53200");
  EXPECT_NE(refused.message.find("query_memory is 1MB"), std::string::npos) << refused.message;
  EXPECT_NE(refused.hint.find("max_tokens"), std::string::npos) << refused.hint;
  EXPECT_EQ(Run(watcher, "RESET query_memory").state, "");
  // The states of the module are cached from now on: all need the same.
  EXPECT_EQ(Run(watcher, "WARM demo").state, "");

  // A budget for one long answer: the second waits until the client of the first is gone.
  Connection first = Connect();
  const Connection second = Connect();
  Send(first, Endless());
  std::string need = "0";
  while (need == "0") need = Stat(watcher, "query_reserved_bytes");
  EXPECT_EQ(Run(watcher, "SET query_memory = " + need).state, "");
  Send(second, Endless());
  while (Stat(watcher, "queries_waiting") != "1") std::this_thread::yield();
  EXPECT_EQ(Stat(watcher, "query_reserved_bytes"), need);
  first.reset();
  while (Stat(watcher, "queries_waiting") != "0") std::this_thread::yield();
  EXPECT_EQ(Stat(watcher, "query_reserved_bytes"), need);
  Cancel(second);
  EXPECT_EQ(End(second).state, "57014");
  EXPECT_EQ(Stat(watcher, "query_reserved_bytes"), "0");
}

}  // namespace
}  // namespace promptdb
