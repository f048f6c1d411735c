// Runs every tests/statements/*.test, each as a test of its own, and tests the runner itself.
//
// PROMPTDB_UPDATE_GOLDENS=1 rewrites what the files expect instead of comparing: look at the diff
// before you commit it.
#include "tests/support/statement_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/support/masked_lines.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

std::vector<std::filesystem::path> FindStatementFiles() {
  std::vector<std::filesystem::path> files;
  const std::filesystem::path folder =
      std::filesystem::path(PROMPTDB_SOURCE_DIR) / "tests/statements";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".test") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class StatementFileTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(StatementFileTest, AnswersAsExpected) {
  std::ifstream in(GetParam(), std::ios::binary);
  ASSERT_TRUE(in) << GetParam();
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const StatementFileOutcome outcome = RunStatementFile(text, SharedFolder());
  if (std::getenv("PROMPTDB_UPDATE_GOLDENS") != nullptr && outcome.updated) {
    // By renaming: another run of the tests may be reading the file.
    if (*outcome.updated == text) GTEST_SKIP() << "nothing to rewrite: " << GetParam();
    std::filesystem::path fresh = GetParam();
    fresh += ".new";
    std::ofstream(fresh, std::ios::binary) << *outcome.updated;
    std::filesystem::rename(fresh, GetParam());
    GTEST_SKIP() << "rewritten: " << GetParam();
  }
  for (const StatementFileOutcome::Failure& failure : outcome.failures) {
    ADD_FAILURE_AT(GetParam().c_str(), failure.line) << failure.message;
  }
  if (!outcome.skipped.empty() && outcome.failures.empty()) {
    GTEST_SKIP() << outcome.skipped << "; blocks that were run: " << outcome.blocks;
  }
  EXPECT_GT(outcome.blocks, 0) << "the file tests nothing";
}

INSTANTIATE_TEST_SUITE_P(Files, StatementFileTest, testing::ValuesIn(FindStatementFiles()),
                         [](const testing::TestParamInfo<std::filesystem::path>& file) {
                           std::string name = file.param.stem().string();
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); },
                               '_');
                           return name;
                         });

// ---- The runner itself -------------------------------------------------------------------------

TEST(MaskedLinesTest, MasksMatchWhatTheySay) {
  EXPECT_TRUE(MatchesMask("a <ms> ms", "a 3.25 ms"));
  EXPECT_TRUE(MatchesMask("a <ms> ms", "a 3 ms"));
  EXPECT_FALSE(MatchesMask("a <ms> ms", "a  ms"));
  EXPECT_FALSE(MatchesMask("a <ms> ms", "a x ms"));
  EXPECT_FALSE(MatchesMask("a <ms>", "a 3.25 ms"));
  EXPECT_TRUE(MatchesMask("<n>/<n>", "12/345"));
  EXPECT_FALSE(MatchesMask("<n>", "12.5"));
  EXPECT_FALSE(MatchesMask("<n>", ""));
  EXPECT_TRUE(MatchesMask("x<*>y", "xy"));
  EXPECT_TRUE(MatchesMask("x<*>y", "x..y..y"));
  EXPECT_FALSE(MatchesMask("x<*>y", "x..y.."));
  EXPECT_TRUE(MatchesMask("<unk> <n>", "<unk> 7"));
  EXPECT_FALSE(MatchesMask("<unk>", "unk"));
  EXPECT_FALSE(MatchesMask("same", "same "));
}

TEST(MaskedLinesTest, UpdateKeepsMasksAndMasksTimes) {
  const std::vector<std::string> old_lines = {"rows=<n>", "gone", "total <ms> ms"};
  const std::vector<std::string> actual = {"rows=5", "new 1.5 ms", "total 7.25 ms",
                                           "ttft_ms=0.125"};
  const std::vector<std::string> expected = {"rows=<n>", "new <ms> ms", "total <ms> ms",
                                             "ttft_ms=<ms>"};
  EXPECT_EQ(UpdateMasked(old_lines, actual), expected);
}

TEST(MaskedLinesTest, DiffShowsBothSides) {
  EXPECT_EQ(DiffMasked({"a", "b <n>", "c"}, {"a", "b 1", "d"}), "  a\n  b 1\n- c\n+ d\n");
}

TEST(StatementFileRunnerTest, ReportsTheLineAndTheDifference) {
  const StatementFileOutcome outcome = RunStatementFile(
      "# comment\n"
      "query columns name,model\n"
      "SHOW SCHEMAS;\n"
      "----\n"
      "ghost\tm\n"
      "\n"
      "statement ok\n"
      "SHOW NOTHING;\n"
      "\n"
      "statement error\n"
      "SHOW MODELS;\n"
      "----\n"
      "error: no\n",
      std::nullopt);
  ASSERT_EQ(outcome.failures.size(), 3u);
  EXPECT_EQ(outcome.failures[0].line, 2);
  EXPECT_EQ(outcome.failures[0].message, "the result differs (- expected, + actual)\n- ghost\tm\n");
  EXPECT_EQ(outcome.failures[1].line, 7);
  EXPECT_EQ(outcome.failures[1].message.rfind("the statement failed\nerror: syntax error", 0), 0u)
      << outcome.failures[1].message;
  EXPECT_EQ(outcome.failures[2].line, 10);
  ASSERT_TRUE(outcome.updated.has_value());
  EXPECT_EQ(outcome.updated->find("ghost"), std::string::npos);
}

TEST(StatementFileRunnerTest, PathsReadTheSameInEveryRun) {
  const StatementFileOutcome outcome = RunStatementFile(
      "statement error\n"
      "CREATE MODEL m FROM '{dir}/none.gguf' WITH (colour = 'red');\n"
      "----\n"
      "<*>\n",
      std::nullopt);
  ASSERT_TRUE(outcome.updated.has_value());
  EXPECT_NE(outcome.updated->find("line 1: CREATE MODEL m FROM '{dir}/none.gguf'"),
            std::string::npos)
      << *outcome.updated;
}

TEST(StatementFileRunnerTest, SkipsWithoutSharedData) {
  const std::string text =
      "skipif no-shared\n"
      "statement ok\n"
      "NOT A STATEMENT;\n"
      "\n"
      "statement ok\n"
      "SHOW MODELS;\n"
      "\n"
      "require shared\n"
      "statement ok\n"
      "NOT A STATEMENT;\n";
  const StatementFileOutcome without = RunStatementFile(text, std::nullopt);
  EXPECT_TRUE(without.failures.empty());
  EXPECT_EQ(without.blocks, 1);
  EXPECT_FALSE(without.skipped.empty());
  const StatementFileOutcome with = RunStatementFile(text, std::filesystem::path("."));
  EXPECT_EQ(with.failures.size(), 2u);
  EXPECT_TRUE(with.skipped.empty());
}

TEST(StatementFileRunnerTest, MistakesInTheFileAreFailures) {
  for (const char* text :
       {"statment ok\n", "query\nSHOW MODELS;\n", "model\n", "model m colour=1\n",
        "require money\n", "query columns ghost\nSHOW MODELS;\n----\n"}) {
    EXPECT_EQ(RunStatementFile(text, std::nullopt).failures.size(), 1u) << text;
  }
}

}  // namespace
}  // namespace promptdb
