// The pieces of pcsh that can be tested without a database: options, formats, the progress bar,
// completion, history and help. tests/shell_test.cc drives the whole program.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "executor/result.h"
#include "parser/parser.h"
#include "shell/completion.h"
#include "shell/display_text.h"
#include "shell/history_file.h"
#include "shell/options.h"
#include "shell/output.h"
#include "shell/progress_bar.h"
#include "shell/result_printer.h"
#include "shell/row_formatter.h"
#include "shell/shell_commands.h"
#include "shell/statement_help.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

using Type = Column::Type;

// ---- Options -----------------------------------------------------------------------------------

TEST(OptionsTest, InputsKeepTheirOrder) {
  const Options options = ParseOptions({"--db", "D", "-c", "SHOW MODELS", "-fscript.pql", "-c",
                                        "-- x", "--file=-", "--format=json", "--echo", "--timing"});
  EXPECT_EQ(options.database, "D");
  ASSERT_EQ(options.inputs.size(), 4u);
  EXPECT_EQ(options.inputs[0].value, "SHOW MODELS");
  EXPECT_EQ(options.inputs[1].kind, BatchInput::Kind::kFile);
  EXPECT_EQ(options.inputs[1].value, "script.pql");
  EXPECT_EQ(options.inputs[2].value, "-- x");
  EXPECT_EQ(options.inputs[3].value, "-");
  EXPECT_EQ(options.format, OutputFormat::kJson);
  EXPECT_TRUE(options.echo);
  EXPECT_TRUE(options.timing);
  EXPECT_EQ(ParseOptions({}).database, "./promptdb-data");
  EXPECT_EQ(ParseOptions({}).format, OutputFormat::kTable);
}

TEST(OptionsTest, MistakesSayWhatAndHow) {
  struct Case {
    std::vector<std::string> arguments;
    std::string message, hint;
  };
  const std::vector<Case> cases = {
      {{"--fromat", "csv"}, "unknown option --fromat", "Did you mean --format?"},
      {{"--zebra"}, "unknown option --zebra", "pcsh --help lists the options."},
      {{"-x"}, "unknown option -x", "pcsh --help lists the options."},
      {{"--echo=1"}, "option --echo takes no value", ""},
      {{"-c"}, "option -c needs a value", ""},
      {{"--db="}, "--db needs a folder, and got an empty name", ""},
      {{"data"},
       "unexpected argument \"data\"",
       "A database folder follows --db, a script -f, statements -c."},
      {{"--format", "cvs"},
       "unknown format \"cvs\"; the formats are table, csv, json, jsonl, text",
       "Did you mean csv?"},
      {{"--connect", "h:1", "--db", "D"},
       "--db and --connect can't both be",
       "A server has its own database."},
  };
  for (const Case& c : cases) {
    try {
      ParseOptions(c.arguments);
      ADD_FAILURE() << "accepted " << c.arguments[0];
    } catch (const UsageError& error) {
      EXPECT_EQ(error.what(), c.message);
      EXPECT_EQ(error.hint(), c.hint) << c.message;
    }
  }
}

// ---- Text on a terminal ------------------------------------------------------------------------

TEST(DisplayTextTest, Widths) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("日本"), 4u);
  EXPECT_EQ(DisplayWidth("😀"), 2u);
  EXPECT_EQ(DisplayWidth("e\xcc\x81"), 1u);  // e and a combining acute
  EXPECT_EQ(DisplayWidth("Ж"), 1u);
  EXPECT_EQ(CutToWidth("日本語", 5), "日本…");
  EXPECT_EQ(CutToWidth("abcdef", 4), "abc…");
  EXPECT_EQ(CutToWidth("abc", 3), "abc");
}

TEST(DisplayTextTest, NothingThatDrivesATerminalIsLeft) {
  EXPECT_EQ(EscapeControls("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(EscapeControls("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(EscapeControls("\x07\x7f\r"), "\\x07\\x7f\\x0d");
  EXPECT_EQ(EscapeControls("\xc2\x9b"
                           "31m"),
            "\\u009b31m");                                   // a C1 control
  EXPECT_EQ(EscapeControls("x\xe2\x80\xaey"), "x\\u202ey");  // right-to-left override
  EXPECT_EQ(EscapeControls("\xff\xfe"
                           "é"),
            "\\xff\\xfeé");  // not UTF-8
  EXPECT_EQ(EscapeControls(std::string_view("\0", 1)), "\\x00");
  // Every byte, alone: nothing below a blank but tab and line break may come out.
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    for (const char out : EscapeControls(std::string_view(&c, 1))) {
      const bool harmless = (out >= 0x20 && out < 0x7f) || out == '\n' || out == '\t';
      EXPECT_TRUE(harmless) << "byte " << byte;
    }
  }
}

// ---- Formats -----------------------------------------------------------------------------------

std::string Format(const std::function<std::unique_ptr<RowFormatter>(Output&)>& make,
                   const std::vector<Column>& columns, const std::vector<std::vector<Value>>& rows,
                   bool abort = false) {
  const TemporaryFolder folder("format");
  const std::string file = (folder / "out").string();
  {
    Output out(file);
    const std::unique_ptr<RowFormatter> formatter = make(out);
    formatter->Begin(columns);
    for (const std::vector<Value>& row : rows) formatter->Row(row);
    abort ? formatter->Abort() : formatter->End();
  }
  return ReadText(file);
}

const std::vector<Column> kColumns = {
    {"name", Type::kText}, {"tokens", Type::kInteger}, {"ms", Type::kReal}, {"note", Type::kText}};
const std::vector<std::vector<Value>> kRows = {
    {std::string("a"), int64_t{5}, 0.12345678, std::string("two\nlines")},
    {std::string("日本"), int64_t{-1500}, 2.0, Value{}},
    {std::string("say \"hi\", ok"), Value{}, 1e-9, std::string("")}};

TEST(FormatTest, Table) {
  const auto table = [](Output& out) { return MakeTableFormatter(out, Expanded::kOff, 80); };
  EXPECT_EQ(Format(table, kColumns, kRows),
            "     name     | tokens |  ms   | note\n"
            "--------------+--------+-------+-------\n"
            " a            |      5 | 0.123 | two  +\n"
            "              |        |       | lines\n"
            " 日本         |  -1500 |     2 |\n"
            " say \"hi\", ok |        |     0 |\n"
            "(3 rows)\n");
  EXPECT_EQ(Format(table, {{"name", Type::kText}}, {}), " name\n------\n(0 rows)\n");
  EXPECT_EQ(Format(table, {{"n", Type::kInteger}}, {{int64_t{12}}}), " n\n----\n 12\n(1 row)\n");
  // Controls would break the alignment, and worse.
  EXPECT_EQ(Format(table, {{"t", Type::kText}}, {{std::string("\x1b[2Jx\ty")}}),
            "         t\n-------------------\n \\x1b[2Jx        y\n(1 row)\n");
}

TEST(FormatTest, Expanded) {
  const auto expanded = [](Output& out) { return MakeTableFormatter(out, Expanded::kOn, 80); };
  EXPECT_EQ(Format(expanded, {{"finish_reason", Type::kText}, {"n", Type::kInteger}},
                   {{std::string("stop\nhere"), int64_t{7}}, {std::string("x"), int64_t{10}}}),
            "-[ RECORD 1 ]-+-----\n"
            "finish_reason | stop+\n"
            "              | here\n"
            "n             | 7\n"
            "-[ RECORD 2 ]-+-----\n"
            "finish_reason | x\n"
            "n             | 10\n");
  EXPECT_EQ(Format(expanded, {{"n", Type::kInteger}}, {}), "(0 rows)\n");
  const auto automatic = [](size_t width) {
    return [width](Output& out) { return MakeTableFormatter(out, Expanded::kAuto, width); };
  };
  EXPECT_EQ(Format(automatic(12), {{"n", Type::kText}}, {{std::string("0123456789")}}),
            "     n\n------------\n 0123456789\n(1 row)\n");
  EXPECT_EQ(
      Format(automatic(11), {{"n", Type::kText}}, {{std::string("0123456789")}}).substr(0, 13),
      "-[ RECORD 1 ]");
}

TEST(FormatTest, Csv) {
  EXPECT_EQ(Format(MakeCsvFormatter, kColumns, kRows),
            "name,tokens,ms,note\n"
            "a,5,0.12345678,\"two\nlines\"\n"
            "日本,-1500,2,\n"
            "\"say \"\"hi\"\", ok\",,1e-09,\"\"\n");
  // What leaves is what the model wrote: a file is no terminal.
  EXPECT_EQ(Format(MakeCsvFormatter, {{"t", Type::kText}}, {{std::string("\x1b[31m")}}),
            "t\n\x1b[31m\n");
}

TEST(FormatTest, Json) {
  const auto array = [](Output& out) { return MakeJsonFormatter(out, false); };
  const auto lines = [](Output& out) { return MakeJsonFormatter(out, true); };
  EXPECT_EQ(
      Format(array, kColumns, kRows),
      "[\n"
      "  {\"name\": \"a\", \"tokens\": 5, \"ms\": 0.12345678, \"note\": \"two\\nlines\"},\n"
      "  {\"name\": \"日本\", \"tokens\": -1500, \"ms\": 2, \"note\": null},\n"
      "  {\"name\": \"say \\\"hi\\\", ok\", \"tokens\": null, \"ms\": 1e-09, \"note\": \"\"}\n"
      "]\n");
  EXPECT_EQ(Format(array, kColumns, {}), "[]\n");
  EXPECT_EQ(Format(array, {{"n", Type::kInteger}}, {{int64_t{1}}}, true), "[\n  {\"n\": 1}\n]\n");
  EXPECT_EQ(Format(lines, {{"t", Type::kText}},
                   {{std::string("\x1b\x7f\xc2\x9b\xff")}, {std::string("é\\")}}),
            "{\"t\": \"\\u001b\\u007f\\u009b\xef\xbf\xbd\"}\n{\"t\": \"é\\\\\"}\n");
  EXPECT_EQ(Format(lines, {{"r", Type::kReal}, {"b", Type::kBoolean}},
                   {{std::nan(""), true}, {std::numeric_limits<double>::infinity(), false}}),
            "{\"r\": null, \"b\": true}\n{\"r\": null, \"b\": false}\n");
}

TEST(FormatTest, Text) {
  EXPECT_EQ(Format(MakeTextFormatter, kColumns, kRows),
            "a\t5\t0.12345678\ttwo\\nlines\n日本\t-1500\t2\t\nsay \"hi\", ok\t\t1e-09\t\n");
  EXPECT_EQ(Format(MakeTextFormatter, {{"plan", Type::kText}}, {{std::string("a\\b\n  c")}}),
            "a\\b\n  c\n");
}

TEST(FormatTest, FooterOfAGeneration) {
  const std::vector<Column> columns = {{"text", Type::kText},
                                       {"finish_reason", Type::kText},
                                       {"prompt_tokens", Type::kInteger},
                                       {"cached_tokens", Type::kInteger},
                                       {"output_tokens", Type::kInteger},
                                       {"ttft_ms", Type::kReal},
                                       {"total_ms", Type::kReal}};
  EXPECT_EQ(
      GenerationFooter(columns, {std::string("x"), std::string("stop"), int64_t{46}, int64_t{41},
                                 int64_t{23}, 3.14, 20.42}),
      "(23 tokens, stop; 41 of 46 prompt tokens from cache; first token 3.1 ms, total 20.4 ms)");
  EXPECT_EQ(GenerationFooter(columns, {std::string("x"), std::string("length"), int64_t{1},
                                       int64_t{0}, int64_t{1}, Value{}, 7.0}),
            "(1 token, length; 1 prompt token; total 7.0 ms)");
}

TEST(OutputTest, RemembersTheFirstFailure) {
  const int fd = open("/dev/full", O_WRONLY);
  if (fd < 0) GTEST_SKIP() << "there is no /dev/full";
  {
    Output out(fd);
    out.Write("x");
    EXPECT_EQ(out.error(), 0);
    out.Flush();
    EXPECT_EQ(out.error(), ENOSPC);
    out.Write("more");
    out.Flush();
  }
  close(fd);
}

// ---- Progress bar ------------------------------------------------------------------------------

class ProgressBarTest : public testing::Test {
 protected:
  ProgressBar Make(ProgressBar::Style style) {
    return ProgressBar(
        style, [this](std::string_view text) { written_ += text; }, [this] { return columns_; },
        [this] { return now_; });
  }
  void Pass(int milliseconds) { now_ += std::chrono::milliseconds(milliseconds); }
  std::string Take() { return std::exchange(written_, ""); }

  ProgressBar::Clock::time_point now_{std::chrono::hours(1)};
  int columns_ = 80;
  std::string written_;
};

TEST_F(ProgressBarTest, SaysStageShareRateAndTimeLeft) {
  ProgressBar bar = Make({.unicode = false, .color = false, .erase = true});
  bar.Begin();
  bar.Update("encoding s.m", 0, 4096, "tokens");
  Pass(299);
  bar.Update("encoding s.m", 100, 4096, "tokens");
  EXPECT_EQ(Take(), "") << "nothing in the first 300 ms";
  Pass(701);
  bar.Update("encoding s.m", 1024, 4096, "tokens");
  EXPECT_EQ(Take(), "\rencoding s.m  #####---------------  25%  1024 tokens/s  3 s left\x1b[K");
  Pass(99);
  bar.Update("encoding s.m", 2048, 4096, "tokens");
  EXPECT_EQ(Take(), "") << "at most ten times a second";
  Pass(901);
  bar.Update("encoding s.m", 4096, 4096, "tokens");
  EXPECT_EQ(Take(), "\rencoding s.m  #################### 100%  2048 tokens/s\x1b[K");
  // Another stage of the same statement starts its own clock, and is shown at once.
  Pass(100);
  bar.Update("loading m", 0, 10, "MB");
  EXPECT_EQ(Take(), "\rloading m  --------------------   0%\x1b[K");
  bar.Erase();
  EXPECT_EQ(Take(), "\r\x1b[K");
  bar.Erase();
  EXPECT_EQ(Take(), "") << "there was nothing left to erase";
}

TEST_F(ProgressBarTest, FitsTheTerminalAndItsAbilities) {
  ProgressBar dumb = Make({.unicode = false, .color = false, .erase = false});
  Pass(400);
  columns_ = 20;
  dumb.Update("a stage with a long name", 1, 2, "tokens");
  EXPECT_EQ(Take(), "\ra stage with a lon…");
  dumb.Erase();
  EXPECT_EQ(Take(), "\r                   \r");
  columns_ = 80;
  ProgressBar full = Make({.unicode = true, .color = true, .erase = true});
  Pass(400);
  full.Update("#1", 1, 10, "MB");
  EXPECT_EQ(Take(), "\r#1  \x1b[32m██\x1b[0m░░░░░░░░░░░░░░░░░░  10%\x1b[K");
  // Sizes unknown, and stage names that could drive the terminal.
  ProgressBar bar = Make({.unicode = false, .color = false, .erase = true});
  Pass(1000);
  bar.Update("x\x1b[2J", 0, 0, "bytes");
  Pass(2000);
  bar.Update("x\x1b[2J", 3 << 20, 0, "bytes");
  EXPECT_EQ(Take(), "\rx\\x1b[2J  0 bytes\x1b[K\rx\\x1b[2J  3.0 MiB  1.5 MiB/s\x1b[K");
  Pass(100);
  bar.Update("slow", 0, 100000, "tokens");
  Pass(1000);
  bar.Update("slow", 25, 100000, "tokens");
  EXPECT_NE(Take().find("25 tokens/s  1 h 6 min left"), std::string::npos);
}

// ---- Completion --------------------------------------------------------------------------------

const Session::Names kNames = {{"stories"},
                               {"trips", "Odd Name"},
                               {"trips.beach", "trips.city", "trips.away.amazon", "Odd Name.x"},
                               {"reuse", "threads"},
                               {"pc_modules", "pc_stats"},
                               {"pc_modules.module", "pc_modules.tokens", "pc_stats.name"},
                               {"tour", "My chat"}};

std::vector<std::string> Candidates(std::string_view typed) {
  return Complete(typed, kNames).candidates;
}

TEST(CompletionTest, KeywordsFollowTheCaseThatIsTyped) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(Candidates("SEL"), Words{"SELECT"});
  EXPECT_EQ(Candidates("sel"), Words{"select"});
  EXPECT_EQ(Candidates("Sel"), Words{"SELECT"});
  EXPECT_EQ(Candidates("SHOW M"), (Words{"MODELS", "MODULES"}));
  EXPECT_EQ(Candidates("show m"), (Words{"models", "modules"}));
  EXPECT_EQ(Candidates("show "),
            (Words{"cache", "chats", "models", "modules", "schemas", "settings", "stats"}));
  EXPECT_EQ(Candidates("SHOW MODELS; sel"), Words{"select"});
  EXPECT_EQ(Complete("SHOW M", kNames).word_bytes, 1u);
}

TEST(CompletionTest, NamesOfTheCatalog) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(Candidates("SELECT GENERATE FROM "), (Words{"\"Odd Name\"", "trips"}));
  EXPECT_EQ(Candidates("SELECT GENERATE FROM T"), Words{"trips"});
  EXPECT_EQ(Candidates("SELECT GENERATE FROM trips USE "),
            (Words{"ASSISTANT", "USER", "away.amazon", "beach", "city"}));
  EXPECT_EQ(Candidates("SELECT GENERATE FROM trips USE beach, c"), Words{"city"});
  EXPECT_EQ(Candidates("SELECT GENERATE FROM \"Odd Name\" USE x"), Words{"x"});
  EXPECT_EQ(Candidates("CREATE SCHEMA s USING s"), Words{"stories"});
  EXPECT_EQ(Candidates("DROP MODEL "), Words{"stories"});
  EXPECT_EQ(Candidates("EXPORT "), (Words{"SCHEMA", "STATES"}));
  EXPECT_EQ(Candidates("EXPORT STATES "), Words{"FROM"});
  EXPECT_EQ(Candidates("EXPORT STATES FROM c"), Candidates("WARM c"));
  EXPECT_EQ(Candidates("EXPORT STATES FROM cities "), (Words{"MODULE", "TO"}));
  EXPECT_EQ(Candidates("EXPORT STATES FROM cities MODULE "), Candidates("WARM cities MODULE "));
  EXPECT_EQ(Candidates("IMPORT "), (Words{"SCHEMA", "STATES"}));
  EXPECT_TRUE(Candidates("IMPORT STATES FROM ").empty());
  EXPECT_EQ(Candidates("ANALYZE "), Words{"MODEL"});
  EXPECT_EQ(Candidates("ANALYZE MODEL s"), Words{"stories"});
  EXPECT_EQ(Candidates("ANALYZE MODEL stories "), (Words{"FROM", "WITH"}));
  EXPECT_TRUE(Candidates("ANALYZE MODEL stories FROM ").empty());
  EXPECT_EQ(Candidates("WARM trips MODULE b"), Words{"beach"});
  EXPECT_EQ(Candidates("DESCRIBE MODULE trips.c"), Words{"trips.city"});
  EXPECT_EQ(Candidates("DESCRIBE SCHEMA \"O"), Words{"\"Odd Name\""});
  EXPECT_EQ(Candidates("set thr"), Words{"threads"});
  EXPECT_EQ(Candidates("CONTINUE "), (Words{"\"My chat\"", "tour"}));
  EXPECT_EQ(Candidates("CONTINUE tour "), Words{"PROMPT"});
  EXPECT_EQ(Candidates("FORK t"), Words{"tour"});
  EXPECT_EQ(Candidates("END "), Words{"CHAT"});
  EXPECT_EQ(Candidates("END CHAT t"), Words{"tour"});
  EXPECT_TRUE(Candidates("BEGIN CHAT t").empty());
  EXPECT_EQ(Candidates("BEGIN CHAT x FROM t"), Words{"trips"});
  EXPECT_EQ(Candidates("SELECT GENERATE FROM trips\nUSE be"), Words{"beach"});
}

TEST(CompletionTest, SystemTablesAndTheirColumns) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(Candidates("SELECT * FROM p"), (Words{"pc_modules", "pc_stats"}));
  EXPECT_EQ(Candidates("SELECT count(*) FROM "),
            (Words{"\"Odd Name\"", "pc_modules", "pc_stats", "trips"}));
  EXPECT_TRUE(Candidates("SELECT GENERATE FROM p").empty());
  EXPECT_EQ(Candidates("EXPLAIN SELECT * FROM pc_s"), Words{"pc_stats"});
  EXPECT_EQ(Candidates("SELECT * FROM pc_stats "),
            (Words{"GROUP BY", "LIMIT", "ORDER BY", "WHERE"}));
  EXPECT_EQ(Candidates("SELECT * FROM pc_modules WHERE "), (Words{"module", "tokens"}));
  EXPECT_EQ(Candidates("select * from PC_Modules where module = 'x' and t"), Words{"tokens"});
  EXPECT_EQ(Candidates("SELECT * FROM pc_modules WHERE tokens I"), (Words{"IN", "IS"}));
  EXPECT_EQ(Candidates("SELECT * FROM pc_stats ORDER "), Words{"BY"});
  EXPECT_EQ(Candidates("SELECT * FROM pc_stats ORDER BY "), Words{"name"});
  EXPECT_TRUE(Candidates("SELECT * FROM pc_stats LIMIT ").empty());
  EXPECT_EQ(Candidates("\\d pc_m"), Words{"pc_modules"});
}

TEST(CompletionTest, NothingInsideTextsAndComments) {
  EXPECT_TRUE(Candidates("SELECT GENERATE FROM trips PROMPT 'SEL").empty());
  EXPECT_TRUE(Candidates("SELECT GENERATE FROM trips PROMPT $$SEL").empty());
  EXPECT_TRUE(Candidates("-- SEL").empty());
  EXPECT_TRUE(Candidates("/* SEL").empty());
  EXPECT_EQ(Candidates("SELECT GENERATE FROM trips PROMPT 'it''s' wi").size(), 1u);
}

TEST(CompletionTest, FilesAndCommands) {
  const TemporaryFolder folder("completion");
  std::ofstream(folder / "model.gguf") << "x";
  std::filesystem::create_directory(folder / "sub");
  const std::string path = folder.path().string() + "/";
  const Completion file = Complete("CREATE MODEL m FROM '" + path + "mo", kNames);
  EXPECT_EQ(file.candidates, std::vector<std::string>{path + "model.gguf"});
  EXPECT_EQ(file.append, "'");
  const Completion sub = Complete("\\i " + path + "s", kNames);
  EXPECT_EQ(sub.candidates, std::vector<std::string>{path + "sub/"});
  EXPECT_EQ(sub.append, "");
  EXPECT_EQ(Candidates("\\ti"), std::vector<std::string>{"\\timing"});
  EXPECT_EQ(Candidates("\\de"), std::vector<std::string>{"\\demo"});
  EXPECT_EQ(Candidates("\\compare SELECT GENERATE FROM trips USE be"),
            std::vector<std::string>{"beach"});
  EXPECT_EQ(Candidates("SHOW\n\\compare sel"), std::vector<std::string>{"select"});
  EXPECT_EQ(Candidates("\\x a"), std::vector<std::string>{"auto"});
  EXPECT_EQ(Candidates("\\d st"), std::vector<std::string>{"stories"});
  EXPECT_EQ(Candidates("\\h create m"), std::vector<std::string>{"CREATE MODEL"});
  EXPECT_EQ(CommonPrefix({"models", "modules"}), "mod");
  EXPECT_EQ(CommonPrefix({"é1", "è1"}), "");
}

// ---- History, commands, help -------------------------------------------------------------------

TEST(HistoryFileTest, KeepsLinesOfAStatementTogether) {
  const TemporaryFolder folder("history");
  const std::filesystem::path file = folder / "h";
  const std::vector<std::string> entries = {"SHOW MODELS;", "SELECT 'a\\n'\n  FROM b;", "\\d x\\",
                                            "é"};
  for (const std::string& entry : entries) EXPECT_TRUE(AppendHistory(file, entry));
  EXPECT_EQ(LoadHistory(file), entries);
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u) << "prompts are private";
  EXPECT_TRUE(LoadHistory(folder / "absent").empty());
  EXPECT_FALSE(AppendHistory(folder / "no" / "such", "x"));
}

TEST(HistoryFileTest, IsBounded) {
  const TemporaryFolder folder("history");
  const std::filesystem::path file = folder / "h";
  const size_t written = 2 * kHistoryEntries + 5;
  for (size_t i = 0; i < written; ++i) AppendHistory(file, "entry " + std::to_string(i));
  const std::vector<std::string> loaded = LoadHistory(file);
  ASSERT_EQ(loaded.size(), kHistoryEntries);
  EXPECT_EQ(loaded.back(), "entry " + std::to_string(written - 1));
  const std::string text = ReadText(file);
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')), kHistoryEntries);
}

TEST(ShellCommandTest, Arguments) {
  const CommandLine command = ParseCommandLine("\\set  name 'it''s on'  ");
  EXPECT_EQ(command.name, "\\set");
  EXPECT_EQ(command.arguments, (std::vector<std::string>{"name", "it's on"}));
  EXPECT_EQ(command.rest, "name 'it''s on'");
  EXPECT_EQ(ParseCommandLine("\\q;").name, "\\q");
  EXPECT_TRUE(ParseCommandLine("\\d").arguments.empty());
  for (const std::string& name : ShellCommandNames()) {
    EXPECT_NE(ShellCommandHelp().find("  " + name + " "), std::string::npos)
        << name << " has no help";
  }
}

TEST(StatementHelpTest, EveryExampleIsAStatementThatWorks) {
  for (const StatementHelp& help : StatementHelpTopics()) {
    const std::vector<ast::Statement> parsed = Parse(help.example);
    ASSERT_EQ(parsed.size(), 1u) << help.name;
    EXPECT_TRUE(help.example.starts_with(help.name.substr(0, help.name.find(' ')))) << help.name;
    EXPECT_NE(StatementHelpText("").find(help.name), std::string::npos);
  }
  EXPECT_NE(StatementHelpText("create  schema;").find("CREATE SCHEMA declares"), std::string::npos);
  EXPECT_EQ(StatementHelpText("create schema").find("CREATE MODEL"), std::string::npos);
  EXPECT_EQ(StatementHelpText("bogus"), "");
}

}  // namespace
}  // namespace promptdb
