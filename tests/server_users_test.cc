// Users of the real pcserver, over libpq: who gets in, who may do what, whose states are whose, and
// that no secret comes out.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/libpq_client.h"
#include "tests/support/add_user.h"
#include "tests/support/child_process.h"
#include "tests/support/server_process.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

Connection Connect(const ServerProcess& server, const std::string& user,
                   const std::string& password = "") {
  std::string text = "host=127.0.0.1 port=" + std::to_string(server.port()) +
                     " dbname=towns application_name=test user=" + user;
  if (!password.empty()) text += " password='" + password + "'";
  return {PQconnectdb(text.c_str()), PQfinish};
}

bool MayConnect(const ServerProcess& server, const std::string& user,
                const std::string& password = "") {
  return PQstatus(Connect(server, user, password).get()) == CONNECTION_OK;
}

// The last value of the first row.
std::string Last(const Connection& connection, const std::string& text) {
  const Result result = Query(connection, text);
  EXPECT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK)
      << text << ": " << PQresultErrorMessage(result.get());
  if (PQntuples(result.get()) == 0) return "";
  return PQgetvalue(result.get(), 0, PQnfields(result.get()) - 1);
}

void Do(const Connection& connection, const std::string& text) {
  const Result result = Query(connection, text);
  const ExecStatusType status = PQresultStatus(result.get());
  EXPECT_TRUE(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
      << text << ": " << PQresultErrorMessage(result.get());
}

class ServerUsersTest : public testing::Test {
 protected:
  ServerProcess Start(const std::string& folder = "db",
                      const std::vector<std::string>& arguments = {"--demo"}) {
    return ServerProcess(PROMPTDB_PCSERVER, folder_ / folder, arguments);
  }

  ChildResult AddUser(const std::string& name, const std::string& password) {
    return promptdb::AddUser(folder_ / "db", name, password);
  }

  TemporaryFolder folder_{"users"};
};

TEST_F(ServerUsersTest, TheFirstUserClosesTheDoor) {
  const ServerProcess server = Start();
  const Connection anybody = Connect(server, "anybody");
  ASSERT_EQ(PQstatus(anybody.get()), CONNECTION_OK) << PQerrorMessage(anybody.get());
  // Not before there is somebody who can open it to others.
  EXPECT_EQ(State(anybody, "CREATE USER bob PASSWORD 'x'"), "22023");
  Do(anybody, "CREATE USER ada PASSWORD 'correct horse' WITH (admin = on)");
  EXPECT_FALSE(MayConnect(server, "anybody"));
  EXPECT_FALSE(MayConnect(server, "ada", "wrong"));

  const Connection ada = Connect(server, "ada", "correct horse");
  ASSERT_EQ(PQstatus(ada.get()), CONNECTION_OK) << PQerrorMessage(ada.get());
  EXPECT_STREQ(PQparameterStatus(ada.get(), "is_superuser"), "on");
  Do(ada, "CREATE USER bob PASSWORD 'battery'");
  const Connection bob = Connect(server, "bob", "battery");
  ASSERT_EQ(PQstatus(bob.get()), CONNECTION_OK) << PQerrorMessage(bob.get());
  EXPECT_STREQ(PQparameterStatus(bob.get(), "is_superuser"), "off");

  // From the next statement on.
  EXPECT_EQ(State(bob, "SELECT TOKENS FROM demo PROMPT 'x'"), "42501");
  Do(ada, "GRANT USAGE ON SCHEMA demo TO bob");
  EXPECT_EQ(State(bob, "SELECT TOKENS FROM demo PROMPT 'x'"), "");
  Do(ada, "REVOKE USAGE ON SCHEMA demo FROM bob");
  EXPECT_EQ(State(bob, "SELECT TOKENS FROM demo PROMPT 'x'"), "42501");
  EXPECT_EQ(State(bob, "VACUUM"), "42501");
  EXPECT_EQ(Last(bob, "SELECT count(*) FROM pc_connections"), "1");
  EXPECT_EQ(Last(ada, "SELECT count(*) FROM pc_connections"), "3");

  Do(ada, "ALTER USER bob SET (disabled = on)");
  EXPECT_EQ(State(bob, "SHOW MODELS"), "42501");
  EXPECT_FALSE(MayConnect(server, "bob", "battery"));
  Do(ada, "DROP USER bob");
  Do(ada, "CREATE USER bob PASSWORD 'battery' WITH (admin = on)");
  // The one that was dropped is not the one of the same name.
  EXPECT_EQ(State(bob, "SHOW MODELS"), "42501");
}

TEST_F(ServerUsersTest, UsersAreMadeWithoutAServerToo) {
  EXPECT_EQ(AddUser("ada", "first").status, 0);
  EXPECT_EQ(AddUser("ada", "second").status, 0);
  const ChildResult empty = AddUser("bob", "");
  EXPECT_EQ(empty.status, 1);
  EXPECT_NE(empty.err.find("the password is empty"), std::string::npos) << empty.err;
  const ServerProcess server = Start();
  EXPECT_FALSE(MayConnect(server, "ada", "first"));
  const Connection ada = Connect(server, "ada", "second");
  EXPECT_EQ(Last(ada, "SELECT count(*) FROM pc_users WHERE admin = true"), "1");
  const ChildResult busy = AddUser("eve", "third");
  EXPECT_EQ(busy.status, 1);
  EXPECT_NE(busy.err.find("busy"), std::string::npos) << busy.err;
  EXPECT_EQ(busy.err.find("third"), std::string::npos) << busy.err;
}

TEST_F(ServerUsersTest, TrustIsForUsersWhereThereAreSome) {
  ASSERT_EQ(AddUser("ada", "secret").status, 0);
  const ServerProcess server = Start("db", {"--auth", "trust"});
  EXPECT_TRUE(MayConnect(server, "ada"));
  EXPECT_FALSE(MayConnect(server, "nobody"));
}

// psql's \password: the client makes the verifier, and the password never leaves it.
TEST_F(ServerUsersTest, ClientsMayMakeTheVerifier) {
  ASSERT_EQ(AddUser("ada", "secret").status, 0);
  const ServerProcess server = Start();
  const Connection ada = Connect(server, "ada", "secret");
  const std::unique_ptr<char, decltype(&PQfreemem)> verifier(
      PQencryptPasswordConn(ada.get(), "better secret", "ada", nullptr), PQfreemem);
  ASSERT_NE(verifier, nullptr) << PQerrorMessage(ada.get());
  Do(ada, "ALTER USER \"ada\" PASSWORD '" + std::string(verifier.get()) + "'");
  EXPECT_FALSE(MayConnect(server, "ada", "secret"));
  EXPECT_TRUE(MayConnect(server, "ada", "better secret"));
}

TEST_F(ServerUsersTest, QuotasOfTokensOutliveTheServer) {
  const std::string ask =
      "SELECT GENERATE (max_tokens => 8, ignore_eos => true) FROM demo PROMPT 'Who?'";
  ASSERT_EQ(AddUser("ada", "secret").status, 0);
  {
    const ServerProcess server = Start();
    const Connection ada = Connect(server, "ada", "secret");
    Do(ada, "CREATE USER bob PASSWORD 'x' WITH (tokens_per_day = 5)");
    Do(ada, "GRANT USAGE ON SCHEMA demo TO PUBLIC");
    const Connection bob = Connect(server, "bob", "x");
    EXPECT_EQ(State(bob, ask), "");
    EXPECT_EQ(State(bob, ask), "53400");
    const Result result = Query(bob, ask);
    EXPECT_NE(Field(result, PG_DIAG_MESSAGE_HINT).find("A new day begins at "), std::string::npos);
  }
  const ServerProcess server = Start();
  EXPECT_EQ(State(Connect(server, "bob", "x"), ask), "53400");
  const Connection ada = Connect(server, "ada", "secret");
  EXPECT_EQ(Last(ada, "SELECT tokens_today FROM pc_users WHERE name = 'ada'"), "0");
  Do(ada, "ALTER USER bob SET (tokens_per_day = 0)");
  EXPECT_EQ(State(Connect(server, "bob", "x"), ask), "");
}

TEST_F(ServerUsersTest, StatesAreTheirUsersAlone) {
  const std::string ask =
      "SELECT GENERATE (max_tokens => 4, ignore_eos => true) FROM bare PROMPT 'What I ask is a "
      "matter of mine alone, and of nobody else.' WITH (reuse = exact)";
  const auto cached = [&](const Connection& connection) {
    const Result result = Query(connection, ask);
    EXPECT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK) << PQerrorMessage(connection.get());
    return std::stoi(PQgetvalue(result.get(), 0, PQfnumber(result.get(), "cached_tokens")));
  };
  ASSERT_EQ(AddUser("ada", "secret").status, 0);
  {
    const ServerProcess server = Start();
    const Connection ada = Connect(server, "ada", "secret");
    Do(ada, "CREATE SCHEMA bare USING demo (MODULE none AS 'nothing')");
    Do(ada, "CREATE USER bob PASSWORD 'x'; CREATE USER eve PASSWORD 'x'");
    Do(ada, "GRANT USAGE ON SCHEMA bare TO bob, eve");
    EXPECT_EQ(cached(Connect(server, "bob", "x")), 0);
    EXPECT_GT(cached(Connect(server, "bob", "x")), 10);
    EXPECT_LE(cached(Connect(server, "eve", "x")), 1);
    EXPECT_LE(cached(ada), 1);
  }
  const ServerProcess server = Start();
  EXPECT_GT(cached(Connect(server, "bob", "x")), 10);
}

TEST_F(ServerUsersTest, NoSecretComesOut) {
  ASSERT_EQ(AddUser("ada", "top-secret-1").status, 0);
  std::string key;
  std::string log;
  {
    const ServerProcess server = Start();
    const Connection ada = Connect(server, "ada", "top-secret-1");
    Do(ada, "CREATE USER bob PASSWORD 'top-secret-2'");
    Do(ada, "ALTER USER bob PASSWORD 'top-secret-3'");
    key = Last(ada, "ALTER USER bob ADD KEY laptop");
    EXPECT_TRUE(key.starts_with("pdb-")) << key;
    EXPECT_FALSE(MayConnect(server, "bob", "top-secret-2"));
    const Result failed = Query(ada, "CREATE USER eve 'top-secret-4'");
    const std::string message = Field(failed, PG_DIAG_MESSAGE_PRIMARY);
    EXPECT_NE(message, "");
    EXPECT_EQ(message.find("top-secret-4"), std::string::npos);
    for (const std::string table : {"pc_users", "pc_keys", "pc_grants", "pc_connections"}) {
      const Result rows = Query(ada, "SELECT * FROM " + table);
      for (int row = 0; row < PQntuples(rows.get()); ++row) {
        for (int column = 0; column < PQnfields(rows.get()); ++column) {
          const std::string value = PQgetvalue(rows.get(), row, column);
          EXPECT_EQ(value.find("top-secret"), std::string::npos) << value;
          EXPECT_EQ(value.find("SCRAM"), std::string::npos) << value;
          EXPECT_EQ(value.find(key), std::string::npos) << value;
        }
      }
    }
    log = server.Log();
  }
  EXPECT_EQ(log.find("top-secret"), std::string::npos) << log;
  EXPECT_EQ(log.find(key), std::string::npos) << log;
  // Nor do the files have what one could log in with.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "db")) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = ReadText(entry.path());
    EXPECT_EQ(bytes.find("top-secret"), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find(key), std::string::npos) << entry.path();
  }
}

TEST_F(ServerUsersTest, BackupsCarryUsers) {
  ASSERT_EQ(AddUser("ada", "secret").status, 0);
  {
    const ServerProcess server = Start();
    const Connection ada = Connect(server, "ada", "secret");
    Do(ada, "CREATE USER bob PASSWORD 'x'; GRANT USAGE ON SCHEMA demo TO bob");
    Do(ada, "BACKUP DATABASE TO '" + (folder_ / "backup").string() + "'");
  }
  const ChildResult restored =
      RunChild({PROMPTDB_PCSH, "--db", (folder_ / "restored").string(), "-c",
                "RESTORE DATABASE FROM '" + (folder_ / "backup").string() + "'"});
  ASSERT_EQ(restored.status, 0) << restored.err;
  const ServerProcess server = Start("restored", {});
  EXPECT_FALSE(MayConnect(server, "anybody"));
  const Connection bob = Connect(server, "bob", "x");
  ASSERT_EQ(PQstatus(bob.get()), CONNECTION_OK) << PQerrorMessage(bob.get());
  EXPECT_EQ(State(bob, "SELECT TOKENS FROM demo PROMPT 'x'"), "");
  EXPECT_EQ(State(bob, "DROP SCHEMA demo"), "42501");
}

}  // namespace
}  // namespace promptdb
