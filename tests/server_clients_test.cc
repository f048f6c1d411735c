// Clients that others have written, as they are: psql, psycopg 2 and 3, JDBC, and pg and openai for
// Node.js.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/support/add_user.h"
#include "tests/support/child_process.h"
#include "tests/support/server_process.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

class ClientsTest : public testing::Test {
 protected:
  static ChildOptions Environment(const ServerProcess& server) {
    ChildOptions options;
    options.environment = {{"PGHOST", "127.0.0.1"},
                           {"PGPORT", std::to_string(server.port())},
                           {"PGUSER", "ada"},
                           {"PGDATABASE", "towns"},
                           {"PGCONNECT_TIMEOUT", "30"},
                           {"PAGER", ""},
                           // The scripts lie in the source tree.
                           {"PYTHONDONTWRITEBYTECODE", "1"}};
    return options;
  }

  // What psql prints for its commands, and a failure where it fails.
  std::string Psql(const std::vector<std::string>& commands) {
    std::vector<std::string> line = {"/usr/bin/psql", "-X", "-v", "ON_ERROR_STOP=1"};
    for (const std::string& command : commands) {
      line.emplace_back("-c");
      line.push_back(command);
    }
    const ChildResult result = RunChild(line, Environment(server_));
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  // Runs a script of tests/clients/.
  void RunScript(const std::vector<std::string>& interpreter, const std::string& name,
                 const std::filesystem::path& folder = {}) {
    RunScript(server_, interpreter, name, folder);
  }
  void RunScript(const ServerProcess& server, const std::vector<std::string>& interpreter,
                 const std::string& name, const std::filesystem::path& folder = {}) {
    ChildOptions options = Environment(server);
    options.folder = folder;
    options.environment["TLS_CERT"] = (folder_ / "cert.pem").string();
    options.environment["OPENAI_PORT"] = std::to_string(server.http_port());
    for (const auto& [user, key] : keys_) options.environment["OPENAI_KEY_" + user] = key;
    const std::filesystem::path script =
        std::filesystem::path(PROMPTDB_SOURCE_DIR) / "tests/clients" / name;
    std::vector<std::string> line = {"/usr/bin/env"};
    line.insert(line.end(), interpreter.begin(), interpreter.end());
    line.push_back(script.string());
    const ChildResult result = RunChild(line, options);
    EXPECT_EQ(result.status, 0) << result.out << result.err;
    EXPECT_NE(result.out.find("all checks passed"), std::string::npos) << result.out << result.err;
  }

  // A folder, whose database has a user.
  std::filesystem::path FolderWithUser(const std::string& name) const {
    const ChildResult added = AddUser(folder_ / name, "ada", "not asked for");
    EXPECT_EQ(added.status, 0) << added.err;
    return folder_ / name;
  }

  // Runs one with a package for Node.js, where tests/fetch_clients could get that.
  void RunNode(const std::string& package, const std::string& name) {
    const std::filesystem::path clients = std::filesystem::path(PROMPTDB_BINARY_DIR) / "clients";
    if (!std::filesystem::exists(clients / "node_modules" / package / "package.json")) {
      GTEST_SKIP() << "NOT TESTED: tests/fetch_clients could not get " << package << " for Node.js";
    }
    RunScript({"node"}, name, clients);
  }

  // Has the server make a key for the user, which the scripts find in OPENAI_KEY_user.
  void AddKey(const ServerProcess& server, const std::string& user) {
    const ChildResult made = RunChild(
        {"/usr/bin/psql", "-XAtq", "-F", ":", "-c", "ALTER USER " + user + " ADD KEY tests"},
        Environment(server));
    EXPECT_EQ(made.status, 0) << made.err;
    const size_t begin = made.out.rfind(':') + 1;
    keys_[user] = made.out.substr(begin, made.out.find('\n') - begin);
  }

  TemporaryFolder folder_{"clients"};
  ServerProcess server_{PROMPTDB_PCSERVER,
                        FolderWithUser("db"),
                        {"--demo", "--http-port", "0", "--auth", "trust", "--max-message", "1MB"}};
  std::map<std::string, std::string> keys_;  // that HTTP clients show, by user
};

TEST_F(ClientsTest, PsqlQueries) {
  EXPECT_EQ(Psql({"SELECT name, architecture FROM pc_models"}),
            " name | architecture \n"
            "------+--------------\n"
            " demo | llama\n"
            "(1 row)\n\n");
  EXPECT_NE(
      Psql({"SELECT GENERATE (max_tokens => 8) FROM demo USE shistel PROMPT 'Who is the mayor "
            "of Shistel?'"})
          .find("Tebri Jozund"),
      std::string::npos);
  EXPECT_EQ(Psql({"BEGIN", "SET statement_timeout TO '1min'", "SHOW statement_timeout", "COMMIT"}),
            "BEGIN\nSET\n statement_timeout \n-------------------\n 1min\n(1 row)\n\nCOMMIT\n");

  const ChildResult failed = RunChild(
      {"/usr/bin/psql", "-X", "-c", "SELECT GENERATE FROM dmo PROMPT 'Ä'"}, Environment(server_));
  EXPECT_EQ(failed.status, 1);
  EXPECT_EQ(failed.err,
            "ERROR:  schema \"dmo\" does not exist\n"
            "LINE 1: SELECT GENERATE FROM dmo PROMPT 'Ä'\n"
            "                             ^\n"
            "HINT:  Did you mean \"demo\"?\n");
}

TEST_F(ClientsTest, PsqlIntrospection) {
  EXPECT_EQ(Psql({"\\d pc_schemas"}),
            "             Table \"promptdb.pc_schemas\"\n"
            "  Column   |  Type  | Collation | Nullable | Default \n"
            "-----------+--------+-----------+----------+---------\n"
            " name      | text   |           |          | \n"
            " model     | text   |           |          | \n"
            " modules   | bigint |           |          | \n"
            " scaffolds | bigint |           |          | \n"
            " created   | text   |           |          | \n"
            "\n");
  EXPECT_EQ(Psql({"\\dt pc_sch*"}),
            "           List of relations\n"
            "  Schema  |    Name    | Type  | Owner \n"
            "----------+------------+-------+-------\n"
            " promptdb | pc_schemas | table | ada\n"
            "(1 row)\n\n");
  EXPECT_NE(Psql({"\\d"}).find(" promptdb | pc_modules "), std::string::npos);
  EXPECT_NE(Psql({"\\dt+"}).find("models of the catalog"), std::string::npos);
  EXPECT_NE(Psql({"\\l"}).find(" towns | ada "), std::string::npos);
  EXPECT_NE(Psql({"\\du"}).find(" ada "), std::string::npos);
  EXPECT_NE(Psql({"\\dn"}).find(" demo "), std::string::npos);
  EXPECT_NE(Psql({"\\d+ pc_models"}).find("most positions of a prompt"), std::string::npos);
  EXPECT_NE(Psql({"\\conninfo"}).find("\"towns\" as user \"ada\""), std::string::npos);
}

TEST_F(ClientsTest, Psycopg2) { RunScript({"/usr/bin/python3"}, "psycopg2_check.py"); }

TEST_F(ClientsTest, Psycopg3) {
  const ChildResult found = RunChild({"/usr/bin/python3", "-c", "import psycopg"}, {});
  if (found.status != 0) GTEST_SKIP() << "NOT TESTED: python3-psycopg is not installed";
  RunScript({"/usr/bin/python3"}, "psycopg3_check.py");
}

TEST_F(ClientsTest, Jdbc) {
  const std::string driver = "/usr/share/java/postgresql.jar";
  const ChildResult found = RunChild({"/usr/bin/env", "javac", "-version"}, {});
  if (found.status != 0 || !std::filesystem::exists(driver)) {
    GTEST_SKIP()
        << "NOT TESTED: default-jdk-headless and libpostgresql-jdbc-java are not installed";
  }
  RunScript({"java", "-cp", driver}, "JdbcCheck.java");
}

TEST_F(ClientsTest, HttpShapes) {
  AddKey(server_, "ada");
  RunScript({"/usr/bin/python3"}, "http_shapes_check.py");
}

TEST_F(ClientsTest, HttpWithAFullQueue) {
  const ServerProcess server(
      PROMPTDB_PCSERVER, FolderWithUser("busy-db"),
      {"--demo", "--http-port", "0", "--auth", "trust", "--workers", "4", "--max-waiting", "1"});
  AddKey(server, "ada");
  RunScript(server, {"/usr/bin/python3"}, "http_full_queue_check.py");
}

TEST_F(ClientsTest, HttpOverTls) {
  WriteTestCertificate(folder_ / "cert.pem", folder_ / "key.pem");
  const ServerProcess server(
      PROMPTDB_PCSERVER, FolderWithUser("tls-db"),
      {"--demo", "--http-port", "0", "--auth", "trust", "--tls-cert",
       (folder_ / "cert.pem").string(), "--tls-key", (folder_ / "key.pem").string()});
  AddKey(server, "ada");
  RunScript(server, {"/usr/bin/python3"}, "https_check.py");
}

TEST_F(ClientsTest, NodePg) { RunNode("pg", "node_pg_check.mjs"); }

TEST_F(ClientsTest, OpenAi) {
  AddKey(server_, "ada");
  RunNode("openai", "openai_check.mjs");
}

TEST_F(ClientsTest, UsersOfOpenAi) {
  Psql({"CREATE USER bob", "CREATE USER eve WITH (tokens_per_day = 120)", "CREATE USER joe",
        "GRANT USAGE ON MODEL demo TO bob, eve"});
  for (const std::string user : {"bob", "eve", "joe"}) AddKey(server_, user);
  RunNode("openai", "openai_users_check.mjs");
}

}  // namespace
}  // namespace promptdb
