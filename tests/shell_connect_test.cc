// pcsh --connect against pcsh with the engine in it: the same input, the same output.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/server_process.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

class ShellConnectTest : public testing::Test {
 protected:
  ShellConnectTest() {
    EXPECT_EQ(Run({"--db", (folder_ / "embedded").string()}, {"-c", "\\demo"}, "").status, 0);
  }

  std::string Address() const { return "127.0.0.1:" + std::to_string(server_.port()); }

  static ChildResult Run(const std::vector<std::string>& where,
                         const std::vector<std::string>& arguments, const std::string& input) {
    std::vector<std::string> command = {PROMPTDB_PCSH};
    command.insert(command.end(), where.begin(), where.end());
    command.insert(command.end(), arguments.begin(), arguments.end());
    ChildOptions options;
    options.input = input;
    options.environment["PGUSER"] = "ada";
    return RunChild(command, options);
  }

  // What `input` gives at the server, after a check that an embedded engine gives the same.
  ChildResult Both(const std::vector<std::string>& arguments, const std::string& input) {
    // So that neither has states in memory that the other has on disk.
    const std::vector<std::string> here = {"--db", (folder_ / "embedded").string()};
    const std::vector<std::string> there = {"--connect", Address()};
    EXPECT_EQ(Run(here, {}, "EVICT demo;").status, 0);
    EXPECT_EQ(Run(there, {}, "EVICT demo;").status, 0);
    const ChildResult embedded = Run(here, arguments, input);
    const ChildResult remote = Run(there, arguments, input);
    EXPECT_EQ(remote.status, embedded.status) << input;
    EXPECT_EQ(remote.out, embedded.out) << input;
    EXPECT_EQ(remote.err, embedded.err) << input;
    return remote;
  }

  TemporaryFolder folder_{"shell_connect"};
  ServerProcess server_{PROMPTDB_PCSERVER, folder_ / "db", {"--demo"}};
};

TEST_F(ShellConnectTest, StatementsAnswerAlike) {
  const ChildResult text =
      Both({"--format", "text"},
           "SELECT GENERATE (max_tokens => 8) FROM demo USE shistel PROMPT 'Who is the mayor of "
           "Shistel?';\nSELECT TOKENS FROM demo PROMPT 'x';");
  EXPECT_NE(text.out.find(" Tebri Jozund\n"), std::string::npos);
  Both({"--format", "csv"},
       "SELECT TOKENS FROM demo USE mayor PROMPT 'Ä \"quoted\" word';\n"
       "DESCRIBE SCHEMA demo; WARM demo MODULE valork; SHOW MODULES FROM demo;\n"
       "PREPARE p AS SELECT TOKENS FROM demo PROMPT $1; EXECUTE p('Hello'); DEALLOCATE p;\n"
       "SET max_tokens = 5; SELECT name, value FROM pc_settings WHERE name = 'max_tokens';\n");
  Both({"--format", "jsonl"},
       "\\dm demo\n\\dt\n\\d pc_models\n\\d valork\n"
       "PIN demo MODULE valork; EVICT demo MODULE valork; UNPIN demo;\n"
       "SELECT LOGPROBS (top => 2) FROM demo PROMPT 'Who is';\n");
  Both({},
       "CREATE SCHEMA s USING demo (TEXT 'Hello.', MODULE m AS 'A module.');\n"
       "BEGIN CHAT c FROM s; SELECT name, turns FROM pc_chats; END CHAT c; DROP SCHEMA s;\n"
       "EXPLAIN SELECT GENERATE (max_tokens => 4) FROM demo PROMPT 'x' WITH (reuse = none);");
}

TEST_F(ShellConnectTest, ErrorsLookAlike) {
  for (const std::string statement :
       {"SHOW CHATS; SELECT GENERATE FROM dmo;", "SELECT GENERAT FROM demo;",
        "SELECT GENERATE (max_tokens => 0) FROM demo PROMPT 'x';",
        "SELECT GENERATE FROM demo USE 'Äöü', shistl PROMPT 'x';",
        "CREATE MODEL demo FROM 'nothing';", "CREATE USER u PASSWORD 'secret' WITH (admn = on);",
        "GRANT SELECT ON SCHEMA demo TO ada;", "SELECT 'open"}) {
    EXPECT_EQ(Both({"--format", "csv"}, statement).status, 1) << statement;
  }
}

TEST_F(ShellConnectTest, WhatOnlyAServerHas) {
  const ChildResult connections =
      Run({"--connect", Address()}, {"--format", "csv"}, "SELECT application FROM pc_connections;");
  EXPECT_EQ(connections.out, "application\npcsh\n");
  const ChildResult nobody = Run({"--connect", "127.0.0.1:1"}, {}, "SHOW MODELS;");
  EXPECT_EQ(nobody.status, 1);
  EXPECT_NE(nobody.err.find("cannot connect"), std::string::npos) << nobody.err;
  const ChildResult bad = Run({"--connect", "host:port"}, {}, "SHOW MODELS;");
  EXPECT_EQ(bad.err, "error: invalid argument: --connect takes host:port, not \"host:port\"\n");
  EXPECT_EQ(Run({"--connect", Address()}, {"--check"}, "").status, 0);
}

TEST_F(ShellConnectTest, ControlCStopsTheStatementAtTheServer) {
  ChildOptions options;
  options.environment = {{"PGUSER", "ada"}, {"PCSH_HISTORY", (folder_ / "history").string()}};
  TerminalChild shell({PROMPTDB_PCSH, "--connect", Address()}, options);
  ASSERT_TRUE(shell.WaitFor("promptdb=> ")) << shell.output();
  // The answer is shown as it comes.
  shell.Send(
      "SELECT GENERATE (max_tokens => 1800, ignore_eos => true) FROM demo USE valork PROMPT "
      "'Who is the mayor of Valork?';\r");
  ASSERT_TRUE(shell.WaitFor("Sheki Flonith")) << shell.output();
  shell.Send("\x03");
  ASSERT_TRUE(shell.WaitFor("canceling statement due to user request")) << shell.output();
  ASSERT_TRUE(shell.WaitFor("promptdb=> ")) << shell.output();
  shell.Send("SHOW SCHEMAS;\r");
  ASSERT_TRUE(shell.WaitFor("(1 row)")) << shell.output();
  ASSERT_TRUE(shell.WaitFor("promptdb=> ")) << shell.output();
  // A server that goes is told, and one that is back is found again.
  server_.Signal(SIGTERM);
  ASSERT_EQ(server_.Wait(), 0);
  shell.Send("SHOW MODELS;\r");
  ASSERT_TRUE(shell.WaitFor("the connection to the server is lost")) << shell.output();
  ASSERT_TRUE(shell.WaitFor("promptdb=> ")) << shell.output();
  shell.Send("\\q\r");
  EXPECT_EQ(shell.Wait(), 0);
}

}  // namespace
}  // namespace promptdb
