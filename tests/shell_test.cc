// Drives the real pcsh: in batches through pipes, and interactively on a terminal of its own.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/child_process.h"
#include "tests/support/damage.h"
#include "tests/support/masked_lines.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

constexpr char kCreate[] =
    "CREATE MODEL m FROM 'm.gguf';\n"
    "CREATE SCHEMA s USING m (\n"
    "  TEXT 'You tell stories.',\n"
    "  MODULE lily AS 'There was a girl named Lily.',\n"
    "  UNION place (MODULE beach AS 'She went to the beach.', MODULE park AS 'She went to the "
    "park.')\n"
    ");\n";

class ShellTest : public testing::Test {
 protected:
  ShellTest() : folder_("shell") {
    options_.folder = folder_.path();
    options_.environment = {{"HOME", folder_.path().string()}};
  }

  // pcsh on the database D of the test's folder.
  ChildResult Run(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), {PROMPTDB_PCSH, "--db", "D"});
    ChildOptions options = options_;
    options.input = input;
    return RunChild(arguments, options);
  }

  void Write(const std::string& name, const std::string& text) { WriteText(folder_ / name, text); }

  // m.gguf, a seeded model, and the schema s over it.
  void MakeSchema() {
    const ChildResult made =
        RunChild({PROMPTDB_MAKE_TINY_MODEL, "m.gguf", "--context", "4096"}, options_);
    ASSERT_EQ(made.status, 0) << made.err;
    const ChildResult created = Run({"-c", kCreate});
    ASSERT_EQ(created.status, 0) << created.err;
    EXPECT_EQ(created.out, "");
    EXPECT_EQ(created.err, "");
  }

  const TemporaryFolder folder_;
  ChildOptions options_;
};

// ---- Batches -----------------------------------------------------------------------------------

TEST_F(ShellTest, HelpAndVersion) {
  const ChildResult help = Run({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_EQ(help.out.rfind("pcsh, the shell of PromptDB\n", 0), 0u);
  EXPECT_EQ(help.err, "");
  const ChildResult version = Run({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_TRUE(MatchesMask("pcsh (PromptDB) <n>.<n>.<n>\n", version.out)) << version.out;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "D")) << "neither makes a database";
}

TEST_F(ShellTest, UsageErrorsHaveStatus2) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--fromat", "csv"}, "pcsh: unknown option --fromat\nhint: Did you mean --format?\n"},
      {{"-c"}, "pcsh: option -c needs a value\n"},
      {{"--connect", "h:1"},
       "pcsh: --db and --connect can't both be\nhint: A server has its own database.\n"},
      {{"-c", "SHOW MODELS", "stray"},
       "pcsh: unexpected argument \"stray\"\nhint: A database folder follows --db, a script -f, "
       "statements -c.\n"}};
  for (const auto& [arguments, message] : cases) {
    const ChildResult result = Run(arguments);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, message);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "D"));
}

TEST_F(ShellTest, EveryFormat) {
  MakeSchema();
  const std::string query = "SHOW MODULES FROM s";
  const ChildResult table = Run({"-c", query});
  EXPECT_EQ(table.status, 0);
  EXPECT_EQ(table.out,
            " schema | module | tokens | start | length | tier | bytes\n"
            "--------+--------+--------+-------+--------+------+-------\n"
            " s      | lily   |     21 |    10 |     21 | miss |     0\n"
            " s      | beach  |     12 |    31 |     12 | miss |     0\n"
            " s      | park   |     12 |    31 |     12 | miss |     0\n"
            "(3 rows)\n");
  EXPECT_EQ(Run({"--format", "csv", "-c", query}).out,
            "schema,module,tokens,start,length,tier,bytes\n"
            "s,lily,21,10,21,miss,0\ns,beach,12,31,12,miss,0\ns,park,12,31,12,miss,0\n");
  EXPECT_EQ(Run({"--format", "text", "-c", query}).out,
            "s\tlily\t21\t10\t21\tmiss\t0\ns\tbeach\t12\t31\t12\tmiss\t0\ns\tpark\t12\t31\t12\tmiss"
            "\t0\n");
  const std::string lily =
      "{\"schema\": \"s\", \"module\": \"lily\", \"tokens\": 21, \"start\": 10, \"length\": 21, "
      "\"tier\": \"miss\", \"bytes\": 0}";
  const ChildResult json = Run({"--format", "json", "-c", query});
  EXPECT_EQ(json.out.rfind("[\n  " + lily + ",\n  {", 0), 0u) << json.out;
  EXPECT_TRUE(json.out.ends_with("}\n]\n")) << json.out;
  const ChildResult lines = Run({"--format", "jsonl", "-c", query});
  EXPECT_EQ(lines.out.rfind(lily + "\n{", 0), 0u) << lines.out;
  const ChildResult expanded = Run({"-c", "\\x on", "-c", query});
  EXPECT_EQ(expanded.out.rfind("-[ RECORD 1 ]-\nschema | s\nmodule | lily\ntokens | 21\n", 0), 0u)
      << expanded.out;
}

TEST_F(ShellTest, StatementsRunInTheirOrder) {
  MakeSchema();
  Write("a.pql", "-- a script\n\\echo from the file\nSHOW SCHEMAS; /* and */ SHOW MODELS\n");
  const ChildResult result = Run(
      {"--format", "text", "-c", "\\echo first", "-f", "a.pql", "-c", "SHOW SCHEMAS;", "-f", "-"},
      "\\echo from standard input\n");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const std::vector<std::string> expected = {"first",        "from the file",
                                             "s\tm\t3\t<*>", "m\tllama\t<*>m.gguf",
                                             "s\tm\t3\t<*>", "from standard input"};
  EXPECT_TRUE(MatchMasked(expected, SplitLines(result.out)))
      << DiffMasked(expected, SplitLines(result.out));
  const ChildResult piped = Run({"--format", "csv"}, "SHOW SCHEMAS");
  EXPECT_EQ(piped.status, 0);
  EXPECT_EQ(piped.out.rfind("name,model,modules,created\ns,m,3,", 0), 0u) << piped.out;
}

TEST_F(ShellTest, StopsAtTheFirstErrorAndSaysWhere) {
  Write("bad.pql", "\\echo one\nSET threads = 1;\n\n  SHOW NOTHING;\n\\echo never\n");
  const ChildResult file = Run({"-f", "bad.pql", "-c", "\\echo never"});
  EXPECT_EQ(file.status, 1);
  EXPECT_EQ(file.out, "one\n");
  EXPECT_TRUE(MatchMasked({"bad.pql:4: error: syntax error: unexpected \"NOTHING\"; expected <*>",
                           "  line 4:   SHOW NOTHING;", "                 ^^^^^^^"},
                          SplitLines(file.err)))
      << file.err;
  const ChildResult piped = Run({}, "SHOW MODELS;\nDROP MODEL ghost;\n");
  EXPECT_EQ(piped.status, 1);
  EXPECT_EQ(piped.err.rfind("<stdin>:2: error: unknown name: ", 0), 0u) << piped.err;
  const ChildResult command = Run({"-c", "SHOW MODELS; DROP MODEL ghost; SHOW SCHEMAS"});
  EXPECT_EQ(command.status, 1);
  EXPECT_TRUE(command.out.ends_with("(0 rows)\n"));
  EXPECT_EQ(command.out.find("created"), std::string::npos) << "the third must not run";
  EXPECT_EQ(command.err.rfind("error: unknown name: ", 0), 0u) << command.err;
  const ChildResult absent = Run({"-f", "absent.pql"});
  EXPECT_EQ(absent.status, 1);
  EXPECT_EQ(absent.err,
            "error: input/output error: cannot read the script: No such file or directory: "
            "\"absent.pql\"\n");
  Write("loop.pql", "\\i loop.pql\n");
  EXPECT_EQ(Run({"-f", "loop.pql"}).err, "error: files run files more than 16 deep: loop.pql\n");
  const ChildResult unknown = Run({"-c", "\\timng"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_EQ(unknown.err, "error: unknown command \\timng\nhint: Did you mean \\timing?\n");
}

TEST_F(ShellTest, DataAndMessagesAreKeptApart) {
  MakeSchema();
  const ChildResult result = Run({"--echo", "--timing", "--format", "text", "-c",
                                  "WARM s; SELECT GENERATE (max_tokens => 5) FROM s USE lily"});
  EXPECT_EQ(result.status, 0) << result.err;
  const std::vector<std::string> messages = SplitLines(result.err);
  const std::vector<std::string> expected = {"WARM s;", "time: <ms> ms",
                                             "SELECT GENERATE (max_tokens => 5) FROM s USE lily",
                                             "time: <ms> ms"};
  EXPECT_TRUE(MatchMasked(expected, messages)) << DiffMasked(expected, messages);
  EXPECT_EQ(result.err.find('\r'), std::string::npos) << "no progress bar in a pipe";
  EXPECT_EQ(result.out.find("time:"), std::string::npos);
  EXPECT_TRUE(result.out.ends_with("\n"));
  EXPECT_GT(result.out.size(), 1u);
}

TEST_F(ShellTest, StatesOutliveTheProgram) {
  MakeSchema();
  const std::string query =
      "SELECT GENERATE (max_tokens => 8) FROM s USE lily, beach PROMPT 'One day'";
  const ChildResult first = Run({"--format", "jsonl", "-c", query});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_NE(first.out.find("\"cached_tokens\": 0,"), std::string::npos) << first.out;
  const ChildResult second = Run({"--format", "jsonl", "-c", query});
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_NE(second.out.find("\"cached_tokens\": 43,"), std::string::npos) << second.out;
  const auto text = [](const std::string& row) {
    return row.substr(0, row.find("\"finish_reason\""));
  };
  EXPECT_EQ(text(first.out), text(second.out));
  // The text format is the text alone, and the same text.
  const ChildResult bare = Run({"--format", "text", "-c", query});
  EXPECT_EQ(bare.status, 0);
  EXPECT_NE(bare.out, "\n");
  EXPECT_EQ(bare.out.find('\t'), std::string::npos);
}

TEST_F(ShellTest, CheckTellsByItsStatus) {
  EXPECT_EQ(Run({"--check"}).err, "error: invalid argument: there is no database in \"D\"\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "D"));
  MakeSchema();
  ASSERT_EQ(Run({"-c", "WARM s"}).status, 0);
  ASSERT_EQ(Run({"-c", "SHOW MODELS"}).status, 0);  // what was in the log is in tables now
  const ChildResult whole = Run({"--check", "--format", "csv"});
  EXPECT_EQ(whole.status, 0) << whole.err;
  EXPECT_TRUE(
      MatchesMask("kind,checked,bytes,damaged\ntable files,<n>,<n>,0\n"
                  "catalog rows,2,<n>,0\nstates,<n>,<n>,0\nblocks,<n>,<n>,0\n"
                  "labels,<n>,<n>,0\n",
                  whole.out))
      << whole.out;
  EXPECT_EQ(whole.err, "");
  // A bit in the largest table file, which is that of the blocks.
  std::filesystem::path largest;
  for (const std::filesystem::path& file : FilesOf(folder_ / "D", ".sst")) {
    if (largest.empty() || file_size(file) > file_size(largest)) largest = file;
  }
  FlipBit(largest, file_size(largest) * 4);
  const ChildResult damaged = Run({"--check"});
  EXPECT_EQ(damaged.status, 1);
  EXPECT_NE(damaged.err.find("is damaged and is dropped; it is computed again"), std::string::npos)
      << damaged.err;
  EXPECT_EQ(Run({"--check", "-c", "SHOW MODELS"}).status, 2);
}

TEST_F(ShellTest, OutputToAFile) {
  const ChildResult result = Run({"--format", "csv", "-c", "\\o out.csv", "-c", "SHOW SCHEMAS",
                                  "-c", "\\o", "-c", "\\echo back"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "back\n");
  EXPECT_EQ(ReadText(folder_ / "out.csv"), "name,model,modules,created\n");
  EXPECT_EQ(Run({"-c", "\\o no/such/file"}).status, 1);
}

TEST_F(ShellTest, FullDiskIsAnErrorAndAClosedPipeIsNot) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  const std::string pcsh = PROMPTDB_PCSH;
  const ChildResult full =
      RunChild({"/bin/sh", "-c", pcsh + " --db D -c 'SHOW SETTINGS' > /dev/full"}, options_);
  EXPECT_EQ(full.status, 1);
  EXPECT_EQ(
      full.err,
      "error: input/output error: cannot write to standard output: No space left on device\n");
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "SHOW SETTINGS;\n";
  Write("many.pql", many);
  const ChildResult closed = RunChild(
      {"/bin/sh", "-c", "{ " + pcsh + " --db D -f many.pql; echo $? > status; } | head -n 1"},
      options_);
  EXPECT_EQ(closed.status, 0);
  EXPECT_EQ(SplitLines(closed.out).size(), 1u);
  EXPECT_EQ(closed.err, "");
  EXPECT_EQ(ReadText(folder_ / "status"), std::to_string(128 + SIGPIPE) + "\n");
}

TEST_F(ShellTest, SecondProcessIsToldThatTheDatabaseIsBusy) {
  TerminalChild holder({PROMPTDB_PCSH, "--db", "D"}, options_);
  ASSERT_TRUE(holder.WaitFor("promptdb=> ")) << holder.output();
  const ChildResult second = Run({"-c", "SHOW MODELS"});
  EXPECT_EQ(second.status, 1);
  EXPECT_EQ(second.out, "");
  EXPECT_EQ(second.err.rfind("error: busy: ", 0), 0u) << second.err;
  holder.Send("\\q\r");
  EXPECT_EQ(holder.Wait(), 0);
  EXPECT_EQ(Run({"-c", "SHOW MODELS"}).status, 0);
}

// ---- On a terminal -----------------------------------------------------------------------------

class InteractiveShellTest : public ShellTest {
 protected:
  // A shell at its first prompt.
  std::unique_ptr<TerminalChild> Start(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {PROMPTDB_PCSH, "--db", "D"});
    auto shell = std::make_unique<TerminalChild>(arguments, options_);
    EXPECT_TRUE(shell->WaitFor("promptdb=> ")) << shell->output();
    return shell;
  }
};

#define EXPECT_SHOWS(shell, text) EXPECT_TRUE((shell).WaitFor(text)) << (shell).output()
#define ASSERT_SHOWS(shell, text) ASSERT_TRUE((shell).WaitFor(text)) << (shell).output()

TEST_F(InteractiveShellTest, BannerPromptsAndManyLines) {
  TerminalChild shell({PROMPTDB_PCSH, "--db", "D"}, options_);
  EXPECT_SHOWS(shell, "PromptDB ");
  EXPECT_SHOWS(shell, "database D (new)");
  EXPECT_SHOWS(shell, "\\?");
  ASSERT_SHOWS(shell, "promptdb=> ");
  shell.Send("SHOW\r");
  ASSERT_SHOWS(shell, "promptdb-> ");
  shell.Send("SCHEMAS;\r");
  EXPECT_SHOWS(shell, "name | model | modules | created");
  EXPECT_SHOWS(shell, "(0 rows)");
  ASSERT_SHOWS(shell, "promptdb=> ");
  shell.Send("DROP MODEL IF EXISTS m -- 'no quote\r");
  ASSERT_SHOWS(shell, "promptdb-> ");
  shell.Send("; SHOW MODULES FROM 'x\r");
  EXPECT_SHOWS(shell, "DROP MODEL");
  ASSERT_SHOWS(shell, "promptdb'> ");
  // Ctrl-C drops what was typed, and the shell stays.
  shell.Send("\x03");
  EXPECT_SHOWS(shell, "^C");
  ASSERT_SHOWS(shell, "promptdb=> ");
  shell.Send("\x03");
  ASSERT_SHOWS(shell, "^C");
  ASSERT_SHOWS(shell, "promptdb=> ");
  shell.Send("SHOW NOTHING;\r");
  EXPECT_SHOWS(shell, "error: syntax error: unexpected \"NOTHING\"");
  ASSERT_SHOWS(shell, "promptdb=> ");
  shell.Send("\x04");
  EXPECT_EQ(shell.Wait(), 0);
}

TEST_F(InteractiveShellTest, CompletionAndCommands) {
  MakeSchema();
  const std::unique_ptr<TerminalChild> shell = Start();
  shell->Send("SEL\t");
  EXPECT_SHOWS(*shell, "ECT ");
  shell->Send("generate from \t");
  EXPECT_SHOWS(*shell, "s ");
  shell->Send("use \t");
  EXPECT_SHOWS(*shell, "beach");
  EXPECT_SHOWS(*shell, "park");
  ASSERT_SHOWS(*shell, "use ");
  shell->Send("\x03");
  ASSERT_SHOWS(*shell, "^C");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\d s\r");
  EXPECT_SHOWS(*shell, "beach");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\d S.Lily\r");
  EXPECT_SHOWS(*shell, "There was a girl");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\d m\r");
  EXPECT_SHOWS(*shell, "architecture");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\d PC_stats\r");
  EXPECT_SHOWS(*shell, "what is counted");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\dt\r");
  EXPECT_SHOWS(*shell, "pc_columns");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\d\r");
  EXPECT_SHOWS(*shell, "m.gguf");
  EXPECT_SHOWS(*shell, "created");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\d lilly\r");
  EXPECT_SHOWS(*shell, "error: no model, schema, module or system table is named \"lilly\"");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\?\r");
  EXPECT_SHOWS(*shell, "\\timing [on|off]");
  shell->Send("\\h warm\r");
  EXPECT_SHOWS(*shell, "WARM schema [MODULE m, ...];");
  shell->Send("\\timing\r");
  EXPECT_SHOWS(*shell, "Timing is on.");
  shell->Send("\\x\r");
  EXPECT_SHOWS(*shell, "Expanded display is on.");
  shell->Send("\\set reuse exact\r");
  EXPECT_SHOWS(*shell, "SET\r\n");
  EXPECT_SHOWS(*shell, "time: ");
  shell->Send("SHOW SETTINGS;\r");
  EXPECT_SHOWS(*shell, "-[ RECORD 1 ]");
  EXPECT_SHOWS(*shell, "| exact");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\\timng\r");
  EXPECT_SHOWS(*shell, "hint: Did you mean \\timing?");
  shell->Send("exit\r");
  EXPECT_EQ(shell->Wait(), 0);
}

TEST_F(InteractiveShellTest, HistoryOutlivesTheShell) {
  std::unique_ptr<TerminalChild> shell = Start();
  shell->Send("SHOW\rMODELS;\r");
  ASSERT_SHOWS(*shell, "(0 rows)");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  shell->Send("\x04");
  EXPECT_EQ(shell->Wait(), 0);
  EXPECT_EQ(ReadText(folder_ / ".pcsh_history"), "SHOW\\nMODELS;\n")
      << "one entry for one statement";
  shell = Start();
  shell->Send("\x1b[A\r");  // up
  EXPECT_SHOWS(*shell, "MODELS;");
  EXPECT_SHOWS(*shell, "(0 rows)");
  shell->Send("\\q\r");
  EXPECT_EQ(shell->Wait(), 0);
}

TEST_F(InteractiveShellTest, TextStreamsAndCtrlCKeepsTheShell) {
  MakeSchema();
  const std::unique_ptr<TerminalChild> shell = Start();
  shell->Send("SELECT GENERATE (max_tokens => 5, ignore_eos => true) FROM s USE lily;\r");
  EXPECT_SHOWS(*shell, "(5 tokens, length; ");
  EXPECT_SHOWS(*shell, "first token ");
  ASSERT_SHOWS(*shell, "promptdb=> ");
  EXPECT_EQ(shell->output().find("finish_reason"), std::string::npos) << "no table beside the text";
  for (int round = 0; round < 2; ++round) {
    shell->Mark();
    shell->Send("SELECT GENERATE (max_tokens => 3500, ignore_eos => true) FROM s USE lily;\r");
    ASSERT_SHOWS(*shell, "lily;\r\n");
    // Some of the text is there before the statement is stopped: it streams.
    ASSERT_TRUE(shell->WaitForMore(20)) << shell->output();
    shell->Send("\x03");
    ASSERT_SHOWS(*shell, "error: canceled: ");
    ASSERT_SHOWS(*shell, "promptdb=> ");
    EXPECT_EQ(shell->SinceMark().find("3500 tokens"), std::string::npos);
  }
  shell->Send("SHOW SCHEMAS;\r");
  EXPECT_SHOWS(*shell, "(1 row)");
  shell->Send("\\q\r");
  EXPECT_EQ(shell->Wait(), 0);
}

TEST_F(InteractiveShellTest, NothingThatIsPrintedDrivesTheTerminal) {
  Write("evil.pql",
        "\\echo \x1b]0;title\x07 \xc2\x9b"
        "2J\n");
  const std::unique_ptr<TerminalChild> shell = Start();
  shell->Send("\\i evil.pql\r");
  EXPECT_SHOWS(*shell, "\\x1b]0;title\\x07 \\u009b2J\r\n");
  // In a pipe the same bytes pass as they are.
  shell->Send("\\q\r");
  EXPECT_EQ(shell->Wait(), 0);
  EXPECT_EQ(Run({"-f", "evil.pql"}).out,
            "\x1b]0;title\x07 \xc2\x9b"
            "2J\n");
}

TEST_F(ShellTest, CtrlCEndsABatchAsTheSignalWould) {
  MakeSchema();
  // On a terminal, so that the key reaches it as a signal.
  TerminalChild batch({PROMPTDB_PCSH, "--db", "D", "-c", "\\echo started", "-c",
                       "SELECT GENERATE (max_tokens => 3500, ignore_eos => true) FROM s USE lily",
                       "-c", "\\echo never"},
                      options_);
  ASSERT_SHOWS(batch, "started");
  batch.Send("\x03");
  EXPECT_EQ(batch.Wait(), 128 + SIGINT) << batch.output();
  EXPECT_EQ(batch.output().find("never"), std::string::npos);
  EXPECT_EQ(Run({"-c", "SHOW SCHEMAS"}).status, 0) << "the database was closed, or recovers";
}

}  // namespace
}  // namespace promptdb
