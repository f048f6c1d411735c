// \demo and \compare, in the real pcsh.
#include "demo/demo.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/child_process.h"
#include "tests/support/masked_lines.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

class DemoTest : public testing::Test {
 protected:
  DemoTest() : folder_("demo") {
    options_.folder = folder_.path();
    options_.environment = {{"HOME", folder_.path().string()}};
  }

  // pcsh on the database D of the test's folder.
  ChildResult Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {PROMPTDB_PCSH, "--db", "D"});
    return RunChild(arguments, options_);
  }

  // Rows of a query, without their header.
  std::vector<std::string> Rows(const std::string& query) {
    const ChildResult result = Run({"--format", "text", "-c", query});
    EXPECT_EQ(result.status, 0) << query << "\n" << result.err;
    return SplitLines(result.out);
  }

  void MakeModel(const std::string& name) {
    const ChildResult made = RunChild({PROMPTDB_MAKE_TINY_MODEL, name}, options_);
    ASSERT_EQ(made.status, 0) << made.err;
  }

  void ExpectRefused(const std::string& error) {
    const ChildResult refused = Run({"-c", "\\demo"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(refused.out, "");
    EXPECT_TRUE(MatchMasked({error, "hint: <*>"}, SplitLines(refused.err))) << refused.err;
  }

  const TemporaryFolder folder_;
  ChildOptions options_;
};

TEST_F(DemoTest, TheModelInTheProgramIsTheFile) {
  EXPECT_TRUE(DemoModelFile() == ReadText(PROMPTDB_DEMO_MODEL));
  EXPECT_EQ(DemoModelFile().substr(0, 4), "GGUF");
}

TEST_F(DemoTest, SetsUpOnceAndSaysSo) {
  const ChildResult first = Run({"-c", "\\demo"});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.out, "") << "what it says is for people, and no data";
  EXPECT_TRUE(
      MatchesMask("The demo is set up: model demo (<*> million parameters, <*>D/demo.gguf) "
                  "and schema demo, <*>",
                  FirstLine(first.err)))
      << first.err;
  for (const DemoExample& example : DemoExamples()) {
    EXPECT_NE(first.err.find(example.input), std::string::npos) << example.input;
  }
  EXPECT_TRUE(DemoModelFile() == ReadText(folder_ / "D/demo.gguf"));
  const std::vector<std::string> before = Rows("SELECT * FROM pc_schemas; SELECT * FROM pc_models");
  const fs::file_time_type written = fs::last_write_time(folder_ / "D/demo.gguf");

  const ChildResult second = Run({"-c", "\\demo"});
  EXPECT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(FirstLine(second.err),
            "The demo is there already: model demo, and schema demo over it.");
  EXPECT_EQ(Rows("SELECT * FROM pc_schemas; SELECT * FROM pc_models"), before);
  EXPECT_EQ(fs::last_write_time(folder_ / "D/demo.gguf"), written);
}

TEST_F(DemoTest, WhatItSaysToTryWorks) {
  ASSERT_EQ(Run({"-c", "\\demo"}).status, 0);
  EXPECT_GE(DemoExamples().size(), 3u);
  for (const DemoExample& example : DemoExamples()) {
    const ChildResult result = Run({"-c", std::string(example.input)});
    EXPECT_EQ(result.status, 0) << example.input << "\n" << result.err;
    EXPECT_NE(result.out, "") << example.input;
  }
}

TEST_F(DemoTest, AnswersStandInTheDocuments) {
  ASSERT_EQ(Run({"-c", "\\demo"}).status, 0);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"Who is the mayor of Shistel?", " Tebri Jozund"},
      {"When does the market of Brainoth open?", " 7 o'clock"},
      {"Which festival does Kaigron celebrate?", " Reamo"},
      {"How high is the tower of Valork?", " 37 metres"}};
  for (const auto& [question, answer] : cases) {
    EXPECT_EQ(Rows("SELECT GENERATE FROM demo USE brainoth, kaigron, shistel, valork PROMPT '" +
                   question + "'"),
              std::vector<std::string>{answer})
        << question;
  }
}

TEST_F(DemoTest, AProgramThatWasCopiedHasItToo) {
  fs::copy_file(PROMPTDB_PCSH, folder_ / "pcsh");
  const ChildResult result = RunChild(
      {folder_ / "pcsh", "--db", "D", "-c", "\\demo", "-c", "SELECT GENERATE FROM demo PROMPT 'a'"},
      options_);
  EXPECT_EQ(result.status, 0) << result.err;
}

TEST_F(DemoTest, AScriptIsNotToldWhatToTry) {
  std::ofstream(folder_ / "a.pql") << "\\demo\nSHOW SCHEMAS;\n";
  const ChildResult result = Run({"-f", "a.pql"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err.find("Try:"), std::string::npos) << result.err;
  const ChildResult wrong = Run({"-c", "\\demo; SHOW MODELS"});
  EXPECT_EQ(wrong.status, 1) << "a command takes its whole line";
  EXPECT_EQ(wrong.err, "error: \\demo takes nothing: SHOW MODELS\n");
}

TEST_F(DemoTest, TheGreetingOffersItWhereThereIsNoModel) {
  {
    TerminalChild shell({PROMPTDB_PCSH, "--db", "D"}, options_);
    ASSERT_TRUE(shell.WaitFor("No model yet: \\demo sets up a small one that is built in.\r\n"))
        << shell.output();
    ASSERT_TRUE(shell.WaitFor("promptdb=> "));
    shell.Send("\\demo\r");
    ASSERT_TRUE(shell.WaitFor("The demo is set up")) << shell.output();
    ASSERT_TRUE(shell.WaitFor("Try:")) << shell.output();
    ASSERT_TRUE(shell.WaitFor("promptdb=> "));
    shell.Send("\\q\r");
    EXPECT_EQ(shell.Wait(), 0);
  }
  TerminalChild shell({PROMPTDB_PCSH, "--db", "D"}, options_);
  ASSERT_TRUE(shell.WaitFor("promptdb=> "));
  EXPECT_EQ(shell.output().find("No model yet"), std::string::npos) << shell.output();
  shell.Send("\\q\r");
  EXPECT_EQ(shell.Wait(), 0);
}

TEST_F(DemoTest, ErrorsForItsNamesPointToIt) {
  MakeModel("m.gguf");
  ASSERT_EQ(Run({"-c", "CREATE MODEL demi FROM 'm.gguf'"}).status, 0);
  for (const char* statement :
       {"SELECT GENERATE FROM demo", "CREATE SCHEMA s USING demo (TEXT 'a')", "DESCRIBE MODEL demo",
        "\\compare SELECT GENERATE FROM demo"}) {
    const ChildResult result = Run({"-c", statement});
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(result.err.ends_with("\nhint: \\demo sets up the one that is built in.\n"))
        << result.err;
  }
  const ChildResult other = Run({"-c", "SELECT GENERATE FROM demos"});
  EXPECT_EQ(other.err.find("\\demo"), std::string::npos) << other.err;
}

// ---- What is in the way ------------------------------------------------------------------------

TEST_F(DemoTest, ModelsAndSchemasOfTheUserAreKept) {
  MakeModel("m.gguf");
  const std::string create_model = "CREATE MODEL demo FROM 'm.gguf'";
  ASSERT_EQ(Run({"-c", create_model}).status, 0);
  ExpectRefused("error: duplicate name: model \"demo\" exists already, from \"<*>/m.gguf\"");
  EXPECT_FALSE(fs::exists(folder_ / "D/demo.gguf")) << "nothing is written before all is checked";

  ASSERT_EQ(Run({"-c",
                 "DROP MODEL demo; CREATE MODEL mine FROM 'm.gguf'; "
                 "CREATE SCHEMA demo USING mine (MODULE a AS 'mine');"})
                .status,
            0);
  ExpectRefused("error: duplicate name: schema \"demo\" exists already, over model \"mine\"");
  EXPECT_FALSE(fs::exists(folder_ / "D/demo.gguf"));
  EXPECT_EQ(Rows("SELECT module FROM pc_modules"), std::vector<std::string>{"a"});

  // What the hint says helps.
  ASSERT_EQ(Run({"-c", "ALTER SCHEMA demo RENAME TO another"}).status, 0);
  EXPECT_EQ(Run({"-c", "\\demo"}).status, 0);
  // One of the user's own over the demo's model is kept too.
  ASSERT_EQ(Run({"-c", "CREATE OR REPLACE SCHEMA demo USING demo (MODULE a AS 'mine')"}).status, 0);
  ExpectRefused(
      "error: duplicate name: schema \"demo\" exists already, without the demo's module <*>");
  EXPECT_EQ(Rows("SELECT module FROM pc_modules WHERE schema = 'demo'"),
            std::vector<std::string>{"a"});
}

TEST_F(DemoTest, WhatIsMissingIsMadeAgain) {
  ASSERT_EQ(Run({"-c", "\\demo"}).status, 0);
  // A schema with a module of the user's own beside the demo's is still the demo's.
  ASSERT_EQ(Run({"-c", "ALTER SCHEMA demo ADD MODULE mine AS 'My own.'"}).status, 0);
  EXPECT_EQ(FirstLine(Run({"-c", "\\demo"}).err),
            "The demo is there already: model demo, and schema demo over it.");
  EXPECT_EQ(Rows("SELECT module FROM pc_modules WHERE module = 'mine'").size(), 1u);

  ASSERT_EQ(Run({"-c", "DROP SCHEMA demo"}).status, 0);
  EXPECT_TRUE(Run({"-c", "\\demo"}).err.starts_with("The demo is set up: "));
  // A file that was damaged, or that an older release wrote.
  std::ofstream(folder_ / "D/demo.gguf", std::ios::binary) << "GGUF, once";
  EXPECT_EQ(Run({"-c", "\\demo"}).status, 0);
  EXPECT_TRUE(DemoModelFile() == ReadText(folder_ / "D/demo.gguf"));
  // A database that was moved.
  fs::rename(folder_ / "D", folder_ / "E");
  fs::create_directory(folder_ / "D");
  fs::rename(folder_ / "E", folder_ / "D/moved");
  const ChildResult moved = RunChild({PROMPTDB_PCSH, "--db", "D/moved", "-c", "\\demo", "-c",
                                      "SELECT GENERATE FROM demo PROMPT 'Who?'"},
                                     options_);
  EXPECT_EQ(moved.status, 0) << moved.err;
  EXPECT_NE(moved.err.find("D/moved/demo.gguf"), std::string::npos) << moved.err;
}

TEST_F(DemoTest, TheFileOfTheRepositoryIsTheSameModel) {
  ASSERT_EQ(Run({"-c", "CREATE MODEL demo FROM '" + std::string(PROMPTDB_DEMO_MODEL) + "'"}).status,
            0);
  const ChildResult result = Run({"-c", "\\demo"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_FALSE(fs::exists(folder_ / "D/demo.gguf")) << "one file is enough";
}

TEST_F(DemoTest, AFileThatCannotBeWrittenLeavesNothingHalf) {
  ASSERT_EQ(Run({"-c", "SHOW MODELS"}).status, 0);
  fs::create_directory(folder_ / "D/demo.gguf");
  ExpectRefused("error: input/output error: \"<*>/D/demo.gguf\" is no regular file");
  EXPECT_EQ(Rows("SELECT name FROM pc_models").size(), 0u);
  fs::remove(folder_ / "D/demo.gguf");

  // No file may grow beyond 200 KiB: to the writer that is a full disk.
  const std::string pcsh = PROMPTDB_PCSH;
  const ChildResult full = RunChild(
      {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 400; exec " + pcsh + " --db D -c '\\demo'"},
      options_);
  EXPECT_EQ(full.status, 1);
  EXPECT_TRUE(MatchMasked({"error: input/output error: cannot write \"<*>/D/demo.gguf\": <*>",
                           "hint: The demo's model needs <n> MiB in the database's folder."},
                          SplitLines(full.err)))
      << full.err;
  for (const auto& entry : fs::directory_iterator(folder_ / "D")) {
    EXPECT_EQ(entry.path().filename().string().find("demo.gguf"), std::string::npos)
        << entry.path();
  }
  EXPECT_EQ(Run({"-c", "\\demo"}).status, 0) << "it goes on from there";
}

TEST_F(DemoTest, AFolderThatIsReadOnlyIsToldApart) {
  // Root writes anywhere, so the test becomes somebody else.
  std::vector<std::string> command = {PROMPTDB_PCSH, "--db", "D", "-c", "\\demo"};
  if (geteuid() == 0) {
    const std::vector<std::string> somebody = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534",
                                               "--clear-groups"};
    command.insert(command.begin(), somebody.begin(), somebody.end());
    fs::permissions(folder_.path(), fs::perms::others_all, fs::perm_options::add);
    std::vector<std::string> version = somebody;
    version.insert(version.end(), {PROMPTDB_PCSH, "--version"});
    if (RunChild(version, options_).status != 0) {
      GTEST_SKIP() << "no setpriv, or nobody else may run pcsh where it is";
    }
  }
  fs::create_directory(folder_ / "D");
  fs::permissions(folder_ / "D", fs::perms::owner_read | fs::perms::owner_exec |
                                     fs::perms::others_read | fs::perms::others_exec);
  const ChildResult result = RunChild(command, options_);
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(result.err.starts_with("error: input/output error: ")) << result.err;
  EXPECT_NE(result.err.find("Permission denied"), std::string::npos) << result.err;
  EXPECT_TRUE(fs::is_empty(folder_ / "D"));
}

// ---- \compare ----------------------------------------------------------------------------------

TEST_F(DemoTest, CompareShowsBothRuns) {
  ASSERT_EQ(Run({"-c", "\\demo"}).status, 0);
  std::string query = "\\compare SELECT GENERATE (max_tokens => 4) FROM demo USE ";
  std::string modules;
  for (const std::string& module : Rows("SELECT module FROM pc_modules LIMIT 3")) {
    modules += (modules.empty() ? "" : ", ") + module;
  }
  query += modules + " PROMPT 'Who?'";
  const ChildResult result = Run({"--format", "csv", "-c", query});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(MatchMasked({"run,ttft_ms,total_ms,prompt_tokens,cached_tokens,text",
                           "computed,<ms>,<ms>,<n>,0,<*>", "from cache,<ms>,<ms>,<n>,<n>,<*>"},
                          SplitLines(result.out)))
      << result.out;
  EXPECT_EQ(result.out.find("from cache,0,"), std::string::npos) << result.out;
  EXPECT_TRUE(MatchMasked({"First token <*> from the cache; the answer is the same."},
                          SplitLines(result.err)))
      << result.err;
  // A prompt without modules is as long to compute either way; reuse = 'none' uses no states.
  const ChildResult none =
      Run({"-c", "\\compare SELECT GENERATE FROM demo PROMPT 'a' WITH (reuse = 'none');"});
  EXPECT_EQ(none.status, 0) << none.err;
  EXPECT_EQ(none.err, "Nothing of this prompt comes from the cache; the answer is the same.\n");
}

TEST_F(DemoTest, ComparePutsTheSettingBack) {
  ASSERT_EQ(Run({"-c", "\\demo"}).status, 0);
  const std::string show = "SELECT value FROM pc_settings WHERE name = 'cache'";
  const ChildResult result =
      Run({"--format", "text", "-c", "SET cache = off", "-c",
           "\\compare SELECT GENERATE (max_tokens => 2) FROM demo PROMPT 'Who?'", "-c", show});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(result.out.ends_with("\noff\n")) << result.out;
}

TEST_F(DemoTest, CompareTakesOneQuery) {
  ASSERT_EQ(Run({"-c", "\\demo"}).status, 0);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"DROP SCHEMA demo", "error: invalid argument: \\compare takes one SELECT GENERATE"},
      {"", "error: invalid argument: \\compare takes one SELECT GENERATE"},
      {"SELECT TOKENS FROM demo", "error: invalid argument: \\compare takes one SELECT GENERATE"},
      {"SELECT GENERATE FROM demo PROMPT IN ('a', 'b')",
       "error: invalid argument: \\compare takes a query with one prompt"},
      {"SELECT GENERATE FROM demo WITH (cache = off)",
       "error: invalid argument: \\compare sets cache by itself, off and then on"},
      {"SELECT GENERATE FROM demo USE", "error: syntax error: <*>"}};
  for (const auto& [query, error] : cases) {
    const ChildResult result = Run({"-c", "\\compare " + query});
    EXPECT_EQ(result.status, 1) << query;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(MatchesMask(error, FirstLine(result.err))) << result.err;
  }
  EXPECT_EQ(Rows("SELECT name FROM pc_schemas").size(), 1u);
}

}  // namespace
}  // namespace promptdb
