// The real pcserver, asked by libpq over a real socket.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/libpq_client.h"
#include "tests/support/add_user.h"
#include "tests/support/child_process.h"
#include "tests/support/server_process.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

Connection Connect(const ServerProcess& server, const std::string& more = "") {
  const std::string text = "host=127.0.0.1 port=" + std::to_string(server.port()) +
                           " user=ada dbname=towns application_name=test " + more;
  return {PQconnectdb(text.c_str()), PQfinish};
}

// An answer of more than a thousand tokens.
constexpr char kLong[] =
    "SELECT GENERATE (max_tokens => 1500, ignore_eos => true) FROM demo USE valork PROMPT 'Go on.'";

class ServerTest : public testing::Test {
 protected:
  ServerProcess Start(const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> all = {"--demo"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return ServerProcess(PROMPTDB_PCSERVER, folder_ / "db", all);
  }

  void AddUser(const std::string& name, const std::string& password) {
    const ChildResult added = promptdb::AddUser(folder_ / "db", name, password);
    ASSERT_EQ(added.status, 0) << added.err;
  }

  TemporaryFolder folder_{"server"};
};

TEST_F(ServerTest, SimpleQueries) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  ASSERT_EQ(PQstatus(connection.get()), CONNECTION_OK) << PQerrorMessage(connection.get());
  EXPECT_EQ(PQserverVersion(connection.get()), 150000);
  EXPECT_STREQ(PQparameterStatus(connection.get(), "client_encoding"), "UTF8");

  const Result models = Query(connection, "SHOW MODELS");
  ASSERT_EQ(PQresultStatus(models.get()), PGRES_TUPLES_OK);
  ASSERT_EQ(PQntuples(models.get()), 1);
  EXPECT_STREQ(PQfname(models.get(), 0), "name");
  EXPECT_STREQ(PQgetvalue(models.get(), 0, 0), "demo");
  EXPECT_EQ(PQftype(models.get(), 2), 20U);
  EXPECT_STREQ(PQcmdStatus(models.get()), "SHOW 1");

  EXPECT_EQ(One(connection, kQuestion), " Tebri Jozund");
  EXPECT_EQ(PQresultStatus(Query(connection, " ; -- nothing").get()), PGRES_EMPTY_QUERY);

  // Statements of one query run in order, up to the one that fails.
  ASSERT_EQ(PQsendQuery(connection.get(),
                        "SET max_tokens = 3; SHOW SETTINGS; SHOW nothing; RESET "
                        "max_tokens"),
            1);
  std::vector<ExecStatusType> statuses;
  while (PGresult* result = PQgetResult(connection.get())) {
    statuses.push_back(PQresultStatus(result));
    PQclear(result);
  }
  EXPECT_EQ(statuses,
            (std::vector<ExecStatusType>{PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_FATAL_ERROR}));
  EXPECT_EQ(One(connection, "SELECT value FROM pc_settings WHERE name = 'max_tokens'"), "3");
  EXPECT_EQ(One(connection, "SELECT application FROM pc_connections WHERE state = 'active'"),
            "test");
}

TEST_F(ServerTest, ErrorsHaveAStateAPlaceInCharactersAndAHint) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  const Result unknown =
      Query(connection, "SHOW MODELS; SELECT GENERATE FROM demo USE 'Äöü', shistl");
  EXPECT_EQ(PQresultStatus(unknown.get()), PGRES_FATAL_ERROR);
  EXPECT_EQ(State(unknown), "42704");
  EXPECT_EQ(Field(unknown, PG_DIAG_STATEMENT_POSITION), "51");
  EXPECT_NE(Field(unknown, PG_DIAG_MESSAGE_HINT).find("shistel"), std::string::npos);
  EXPECT_EQ(Field(unknown, PG_DIAG_SEVERITY), "ERROR");
  EXPECT_EQ(State(Query(connection, "SELECT GENERAT FROM demo")), "42601");
  EXPECT_EQ(State(Query(connection, "CREATE MODEL demo FROM 'x'")), "42710");
  EXPECT_EQ(State(Query(connection, "SELECT GENERATE (max_tokens => 0) FROM demo PROMPT 'x'")),
            "22023");
  EXPECT_EQ(State(Query(connection, "CREATE USER u")), "22023");
  EXPECT_EQ(State(Query(connection, "SELECT 'a\xff'")), "22021");
  EXPECT_EQ(State(Query(connection, "SELECT * FROM pg_catalog.pg_proc")), "0A000");
  EXPECT_EQ(One(connection, "SELECT 1"), "1");
}

TEST_F(ServerTest, ExtendedQueriesWithValuesInBothFormats) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  const std::string text =
      "SELECT GENERATE (max_tokens => $1, temperature => $2, seed => 1) FROM demo USE shistel, $3 "
      "PROMPT $4";
  const Result whole =
      Query(connection,
            "SELECT GENERATE (max_tokens => 6, temperature => 0.5, seed => 1) FROM "
            "demo USE shistel, 'Dear guide,' PROMPT 'Who is the mayor of Shistel?'");
  ASSERT_EQ(PQntuples(whole.get()), 1) << PQresultErrorMessage(whole.get());
  const std::string answer = PQgetvalue(whole.get(), 0, 0);

  const char* texts[] = {"6", "0.5", "Dear guide,", "Who is the mayor of Shistel?"};
  const Result untyped{
      PQexecParams(connection.get(), text.c_str(), 4, nullptr, texts, nullptr, nullptr, 0),
      PQclear};
  ASSERT_EQ(PQresultStatus(untyped.get()), PGRES_TUPLES_OK) << PQresultErrorMessage(untyped.get());
  EXPECT_EQ(PQgetvalue(untyped.get(), 0, 0), answer);

  // int8 6 and float8 0.5 in binary, in the network's order.
  const char six[8] = {0, 0, 0, 0, 0, 0, 0, 6};
  const unsigned char half[8] = {0x3F, 0xE0, 0, 0, 0, 0, 0, 0};
  const Oid types[] = {20, 701, 25, 0};
  const char* values[] = {six, reinterpret_cast<const char*>(half), texts[2], texts[3]};
  const int lengths[] = {8, 8, 11, 28};
  const int formats[] = {1, 1, 1, 0};
  const Result binary{
      PQexecParams(connection.get(), text.c_str(), 4, types, values, lengths, formats, 1), PQclear};
  ASSERT_EQ(PQresultStatus(binary.get()), PGRES_TUPLES_OK) << PQresultErrorMessage(binary.get());
  EXPECT_EQ(PQgetvalue(binary.get(), 0, 0), answer);
  // prompt_tokens as int8, ttft_ms as float8.
  ASSERT_EQ(PQfformat(binary.get(), 2), 1);
  ASSERT_EQ(PQgetlength(binary.get(), 0, 2), 8);
  const int tokens = static_cast<unsigned char>(PQgetvalue(binary.get(), 0, 2)[7]) +
                     256 * static_cast<unsigned char>(PQgetvalue(binary.get(), 0, 2)[6]);
  EXPECT_EQ(std::to_string(tokens), PQgetvalue(whole.get(), 0, 2));
  EXPECT_EQ(PQgetlength(binary.get(), 0, 5), 8);

  // A wrong value is told at its parameter, and the connection goes on.
  const char* wrong[] = {"many", "0.5", "x", "y"};
  const Result failed{
      PQexecParams(connection.get(), text.c_str(), 4, nullptr, wrong, nullptr, nullptr, 0),
      PQclear};
  EXPECT_EQ(State(failed), "22023");
  EXPECT_EQ(Field(failed, PG_DIAG_STATEMENT_POSITION), std::to_string(text.find("$1") + 1));
  const char* null[] = {nullptr, "0.5", "x", "y"};
  EXPECT_EQ(
      State({PQexecParams(connection.get(), text.c_str(), 4, nullptr, null, nullptr, nullptr, 0),
             PQclear}),
      "22023");
  EXPECT_EQ(One(connection, "SELECT 1"), "1");
}

TEST_F(ServerTest, PreparedStatements) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  const char* text = "SELECT module, tokens FROM pc_modules WHERE schema = $1 AND tokens > $2";
  const Result prepared{PQprepare(connection.get(), "p", text, 0, nullptr), PQclear};
  ASSERT_EQ(PQresultStatus(prepared.get()), PGRES_COMMAND_OK)
      << PQresultErrorMessage(prepared.get());
  const Result described{PQdescribePrepared(connection.get(), "p"), PQclear};
  ASSERT_EQ(PQnparams(described.get()), 2);
  ASSERT_EQ(PQnfields(described.get()), 2);
  EXPECT_STREQ(PQfname(described.get(), 1), "tokens");
  EXPECT_EQ(PQftype(described.get(), 1), 20U);
  const char* values[] = {"demo", "10"};
  for (int i = 0; i < 2; ++i) {
    const Result result{PQexecPrepared(connection.get(), "p", 2, values, nullptr, nullptr, 0),
                        PQclear};
    EXPECT_GE(PQntuples(result.get()), 6) << PQresultErrorMessage(result.get());
  }
  EXPECT_EQ(State({PQprepare(connection.get(), "p", text, 0, nullptr), PQclear}), "42P05");
  EXPECT_EQ(PQresultStatus(Query(connection, "DEALLOCATE p").get()), PGRES_COMMAND_OK);
  EXPECT_EQ(State({PQexecPrepared(connection.get(), "p", 2, values, nullptr, nullptr, 0), PQclear}),
            "26000");
  EXPECT_EQ(
      State({PQprepare(connection.get(), "two", "SHOW MODELS; SHOW CHATS", 0, nullptr), PQclear}),
      "42601");
  // PREPARE and EXECUTE of PromptQL are the session's own.
  Query(connection, "PREPARE q AS SELECT GENERATE (max_tokens => 3) FROM demo PROMPT $1");
  EXPECT_EQ(PQntuples(Query(connection, "EXECUTE q('Hello')").get()), 1);
  EXPECT_EQ(PQresultStatus(Query(connection, "DEALLOCATE q").get()), PGRES_COMMAND_OK);
}

TEST_F(ServerTest, AnswersStreamInSingleRowMode) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  const std::string answer = One(connection, kQuestion);
  ASSERT_EQ(PQsendQuery(connection.get(), (std::string(kQuestion) + " WITH (stream = on)").c_str()),
            1);
  ASSERT_EQ(PQsetSingleRowMode(connection.get()), 1);
  std::string joined;
  int singles = 0;
  while (PGresult* result = PQgetResult(connection.get())) {
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
      ++singles;
      joined += PQgetvalue(result, 0, 0);
    } else {
      EXPECT_EQ(PQresultStatus(result), PGRES_TUPLES_OK) << PQresultErrorMessage(result);
    }
    PQclear(result);
  }
  EXPECT_EQ(joined, answer);
  EXPECT_GT(singles, 3);
}

// Rows of a streamed answer until the server says that it was stopped; its SQLSTATE.
std::string StateAfter(const Connection& connection, const std::function<void()>& after_first_row,
                       int* rows) {
  EXPECT_EQ(PQsendQuery(connection.get(), (std::string(kLong) + " WITH (stream = on)").c_str()), 1);
  EXPECT_EQ(PQsetSingleRowMode(connection.get()), 1);
  std::string state;
  *rows = 0;
  while (PGresult* result = PQgetResult(connection.get())) {
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE && (*rows)++ == 0) after_first_row();
    if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
      state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    }
    PQclear(result);
  }
  return state;
}

TEST_F(ServerTest, CancelStopsAGeneration) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  int rows = 0;
  const std::string state = StateAfter(
      connection, [&] { Cancel(connection); }, &rows);
  EXPECT_EQ(state, "57014");
  EXPECT_LT(rows, 1500);
  EXPECT_EQ(One(connection, "SELECT 1"), "1");
}

TEST_F(ServerTest, TimeoutsStopAStatement) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  Query(connection, "SET statement_timeout = '20ms'");
  const Result stopped = Query(connection, Endless());
  EXPECT_EQ(State(stopped), "57014");
  EXPECT_NE(Field(stopped, PG_DIAG_MESSAGE_PRIMARY).find("timeout"), std::string::npos);
  Query(connection, "RESET statement_timeout");
  EXPECT_EQ(One(connection, "SHOW statement_timeout"), "0");
  EXPECT_EQ(One(connection, kQuestion), " Tebri Jozund");
}

TEST_F(ServerTest, TransactionsAreWhatDriversExpect) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  EXPECT_STREQ(PQcmdStatus(Query(connection, "BEGIN ISOLATION LEVEL READ COMMITTED").get()),
               "BEGIN");
  EXPECT_EQ(PQtransactionStatus(connection.get()), PQTRANS_INTRANS);
  EXPECT_EQ(State(Query(connection, "SHOW nothing")), "42601");
  EXPECT_EQ(PQtransactionStatus(connection.get()), PQTRANS_INERROR);
  EXPECT_EQ(State(Query(connection, "SHOW MODELS")), "25P02");
  EXPECT_STREQ(PQcmdStatus(Query(connection, "COMMIT").get()), "ROLLBACK");
  EXPECT_EQ(PQtransactionStatus(connection.get()), PQTRANS_IDLE);
  EXPECT_EQ(State(Query(connection, "SAVEPOINT s")), "0A000");
  // What can't be rolled back is told.
  std::string notice;
  PQsetNoticeProcessor(
      connection.get(),
      [](void* out, const char* message) { *static_cast<std::string*>(out) += message; }, &notice);
  Query(connection, "BEGIN");
  Query(connection, "CREATE SCHEMA s USING demo (TEXT 'Hello.')");
  Query(connection, "ROLLBACK");
  EXPECT_NE(notice.find("nothing was rolled back"), std::string::npos) << notice;
  EXPECT_EQ(One(connection, "SELECT count(*) FROM pc_schemas WHERE name = 's'"), "1");
}

TEST_F(ServerTest, ClientsOwnStatements) {
  const ServerProcess server = Start();
  const Connection connection = Connect(server);
  EXPECT_EQ(One(connection, "SELECT current_database()"), "towns");
  EXPECT_EQ(One(connection, "select current_user"), "ada");
  EXPECT_NE(One(connection, "SELECT version()").find("PromptDB"), std::string::npos);
  EXPECT_EQ(One(connection, "SHOW server_version_num"), "150000");
  EXPECT_EQ(One(connection, "SHOW max_connections"), "100");
  EXPECT_EQ(PQresultStatus(Query(connection, "SET client_encoding TO 'utf8'").get()),
            PGRES_COMMAND_OK);
  EXPECT_EQ(State(Query(connection, "SET client_encoding TO latin1")), "22023");
  EXPECT_EQ(State(Query(connection, "SET max_connections = 5")), "22023");
  Query(connection, "SET application_name = 'other'");
  EXPECT_STREQ(PQparameterStatus(connection.get(), "application_name"), "other");
  EXPECT_EQ(One(connection, "SELECT application FROM pc_connections"), "other");
  EXPECT_EQ(State(Query(connection, "SELECT no_such_function()")), "42883");
  EXPECT_EQ(One(connection,
                "SELECT count(*) FROM information_schema.columns WHERE table_name = "
                "'pc_models'"),
            One(connection, "SELECT columns FROM pc_tables WHERE name = 'pc_models'"));
  EXPECT_EQ(One(connection,
                "SELECT t.table_schema FROM information_schema.tables t WHERE "
                "t.table_name = 'pc_models'"),
            "promptdb");
}

TEST_F(ServerTest, PasswordsByScram) {
  AddUser("ada", "correct horse");
  AddUser("bob", "Ünïcode");
  const ServerProcess server = Start();
  EXPECT_EQ(PQstatus(Connect(server, "password='correct horse'").get()), CONNECTION_OK);
  EXPECT_EQ(PQstatus(Connect(server, "user=bob password=Ünïcode").get()), CONNECTION_OK);
  const auto refused = [&](const std::string& more) -> std::string {
    const Connection connection = Connect(server, more);
    EXPECT_EQ(PQstatus(connection.get()), CONNECTION_BAD);
    return PQerrorMessage(connection.get());
  };
  EXPECT_NE(refused("password=wrong").find("password authentication failed"), std::string::npos);
  EXPECT_NE(refused("user=nobody password=wrong").find("password authentication failed"),
            std::string::npos);
  EXPECT_NE(refused("").find("no password"), std::string::npos);
  EXPECT_EQ(server.Log().find("horse"), std::string::npos);
}

TEST_F(ServerTest, Tls) {
  WriteTestCertificate(folder_ / "cert.pem", folder_ / "key.pem");
  AddUser("ada", "secret");
  const ServerProcess server = Start(
      {"--tls-cert", (folder_ / "cert.pem").string(), "--tls-key", (folder_ / "key.pem").string()});
  const Connection connection = Connect(
      server, "password=secret sslmode=verify-ca sslrootcert=" + (folder_ / "cert.pem").string());
  ASSERT_EQ(PQstatus(connection.get()), CONNECTION_OK) << PQerrorMessage(connection.get());
  EXPECT_EQ(PQsslInUse(connection.get()), 1);
  EXPECT_EQ(One(connection, "SELECT tls FROM pc_connections"), "t");
  EXPECT_EQ(One(connection, kQuestion), " Tebri Jozund");
  EXPECT_EQ(PQstatus(Connect(server, "password=secret sslmode=disable").get()), CONNECTION_OK);
}

TEST_F(ServerTest, WithoutACertificateThereIsNoTls) {
  const ServerProcess server = Start();
  EXPECT_EQ(PQstatus(Connect(server, "sslmode=require").get()), CONNECTION_BAD);
  EXPECT_EQ(PQstatus(Connect(server, "sslmode=prefer gssencmode=prefer").get()), CONNECTION_OK);
}

TEST_F(ServerTest, LimitsSayTooBusy) {
  const ServerProcess server =
      Start({"--max-connections", "2", "--workers", "1", "--max-waiting", "0"});
  const Connection one = Connect(server);
  const Connection two = Connect(server);
  const Connection three = Connect(server);
  EXPECT_EQ(PQstatus(three.get()), CONNECTION_BAD);
  EXPECT_NE(std::string(PQerrorMessage(three.get())).find("too busy"), std::string::npos);
  int rows = 0;
  StateAfter(
      one,
      [&] {
        const Result refused = Query(two, kQuestion);
        EXPECT_EQ(State(refused), "53300");
        Cancel(one);
      },
      &rows);
  EXPECT_EQ(One(two, kQuestion), " Tebri Jozund");
}

TEST_F(ServerTest, WhoeverLeavesTakesTheWorkAlong) {
  const ServerProcess server = Start();
  const Connection watcher = Connect(server);
  {
    const Connection leaver = Connect(server);
    ASSERT_EQ(PQsendQuery(leaver.get(), (std::string(kLong) + " WITH (stream = on)").c_str()), 1);
    ASSERT_EQ(PQsetSingleRowMode(leaver.get()), 1);
    const Result first{PQgetResult(leaver.get()), PQclear};
    ASSERT_EQ(PQresultStatus(first.get()), PGRES_SINGLE_TUPLE);
    EXPECT_EQ(One(watcher, "SELECT count(*) FROM pc_connections"), "2");
  }
  // The connection goes, and what its query had pinned is free again.
  std::string connections, pinned;
  for (int i = 0; i < 1000 && (connections != "1" || pinned != "0"); ++i) {
    connections = One(watcher, "SELECT count(*) FROM pc_connections");
    pinned = One(watcher, "SELECT value FROM pc_stats WHERE name = 'cpu_pinned_bytes'");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(connections, "1");
  EXPECT_EQ(pinned, "0");
}

TEST_F(ServerTest, StopsCleanly) {
  ServerProcess server = Start({"--shutdown-timeout", "5min"});
  const Connection idle = Connect(server);
  const Connection busy = Connect(server);
  ASSERT_EQ(PQsendQuery(busy.get(), (std::string(kLong) + " WITH (stream = on)").c_str()), 1);
  ASSERT_EQ(PQsetSingleRowMode(busy.get()), 1);
  PQclear(PQgetResult(busy.get()));
  server.Signal(SIGTERM);
  ASSERT_TRUE(server.WaitForLog("event=stopping"));
  // Who does nothing is sent away; who has a statement running gets its answer.
  EXPECT_EQ(PQresultStatus(Query(idle, "SELECT 1").get()), PGRES_FATAL_ERROR);
  ExecStatusType last = PGRES_FATAL_ERROR;
  while (PGresult* result = PQgetResult(busy.get())) {
    last = PQresultStatus(result);
    PQclear(result);
  }
  EXPECT_EQ(last, PGRES_TUPLES_OK);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_NE(server.Log().find("event=stopped"), std::string::npos);
}

TEST_F(ServerTest, StopsAtOnceAtASecondSignal) {
  ServerProcess server = Start({"--shutdown-timeout", "1h"});
  const Connection busy = Connect(server);
  ASSERT_EQ(PQsendQuery(busy.get(), Endless().c_str()), 1);
  // One thread reads: who is let in after it came after the statement.
  ASSERT_EQ(PQstatus(Connect(server).get()), CONNECTION_OK);
  server.Signal(SIGINT);
  ASSERT_TRUE(server.WaitForLog("event=stopping"));
  server.Signal(SIGINT);
  std::string state;
  while (PGresult* result = PQgetResult(busy.get())) {
    if (PQresultStatus(result) == PGRES_FATAL_ERROR && state.empty()) {
      const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
      state = field == nullptr ? "" : field;
    }
    PQclear(result);
  }
  EXPECT_EQ(state, "57014");
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(ServerTest, TheConfigFileIsReadAgain) {
  const std::filesystem::path config = folder_ / "pcserver.conf";
  const auto write = [&](const std::string& text) { std::ofstream(config) << text; };
  write("# limits\nmax_connections = 7\nidle_timeout = '1h'\nmax_tokens_ = 3\n");
  const ChildResult wrong =
      RunChild({PROMPTDB_PCSERVER, "--db", (folder_ / "db").string(), "--config", config.string()});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.err.find("pcserver.conf:4: unknown option max_tokens_"), std::string::npos)
      << wrong.err;
  write("max_connections = 7\nthreads = 2\n");
  ServerProcess server = Start({"--config", config.string(), "--workers", "3"});
  const Connection connection = Connect(server);
  EXPECT_EQ(One(connection, "SHOW max_connections"), "7");
  EXPECT_EQ(One(connection, "SHOW workers"), "3");
  write("max_connections = 9\n");
  server.Signal(SIGHUP);
  ASSERT_TRUE(server.WaitForLog("event=reloaded"));
  EXPECT_EQ(One(connection, "SHOW max_connections"), "9");
  write("max_connections = many\n");
  server.Signal(SIGHUP);
  ASSERT_TRUE(server.WaitForLog("event=reload_failed"));
  EXPECT_EQ(One(connection, "SHOW max_connections"), "9");
}

}  // namespace
}  // namespace promptdb
