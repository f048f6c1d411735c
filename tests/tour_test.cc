// Runs the tour of README.md, block by block: everything between <!-- tour --> and <!-- /tour -->.
//
//   ```sql       statements, which must succeed; run by pcsh on one database, tour/ in a fresh
//   folder
//   ```console   "$ command" lines, which must succeed in a shell that finds pcsh, ./build, ./tests
//   and
//                ../shared; a command goes on in the next line after a backslash or in an open
//                quote. Lines below a command are what it prints
//   ```text      what the block before it printed
//
// What is printed is compared line by line, with the masks of tests/support/masked_lines.h. Other
// blocks are left alone.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/child_process.h"
#include "tests/support/document_blocks.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

// True while a command goes on in the next line.
bool GoesOn(const std::string& command) {
  char quote = '\0';
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == '\\' && quote != '\'') {
      if (i + 1 == command.size()) return true;
      ++i;
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = '\0';
    }
  }
  return quote != '\0';
}

struct Command {
  std::string text;
  std::vector<std::string> expected;
  int line = 0;
};

std::vector<Command> ReadCommands(const DocumentBlock& block) {
  std::vector<Command> commands;
  int number = block.line;
  for (const std::string& line : block.lines) {
    ++number;
    if (!commands.empty() && commands.back().expected.empty() && GoesOn(commands.back().text)) {
      const std::string continued = line.starts_with("> ") ? line.substr(2) : line;
      commands.back().text += "\n" + continued;
    } else if (line.starts_with("$ ")) {
      commands.push_back({line.substr(2), {}, number});
    } else if (!commands.empty()) {
      commands.back().expected.push_back(line);
    } else {
      ADD_FAILURE() << "README.md:" << number << ": a console block begins with a \"$ \" line";
    }
  }
  return commands;
}

TEST(TourTest, EveryBlockOfTheReadmeWorks) {
  const fs::path source = PROMPTDB_SOURCE_DIR;
  std::ifstream in(source / "README.md", std::ios::binary);
  ASSERT_TRUE(in) << "README.md is missing";
  const std::string text(std::istreambuf_iterator<char>(in), {});
  bool has_tour = false;
  const std::vector<DocumentBlock> blocks = ReadDocumentBlocks(text, "tour", &has_tour);
  ASSERT_TRUE(has_tour) << "README.md has no <!-- tour --> marker";
  ASSERT_FALSE(blocks.empty()) << "the tour has no block";
  bool needs_shared = false;
  for (const DocumentBlock& block : blocks) {
    for (const std::string& line : block.lines) {
      needs_shared = needs_shared || line.find("../shared") != line.npos;
    }
  }
  const std::optional<fs::path> shared = SharedFolder();
  if (needs_shared && !shared) GTEST_SKIP() << "the tour uses ../shared, which is absent";

  // The folder looks like the repository where the tour needs it to.
  const TemporaryFolder folder("tour");
  const fs::path work = folder / "promptdb";
  fs::create_directory(work);
  if (shared) fs::create_directory_symlink(fs::absolute(*shared), folder / "shared");
  fs::create_directory_symlink(PROMPTDB_BINARY_DIR, work / "build");
  fs::create_directory_symlink(source / "tests", work / "tests");
  const std::string path = fs::path(PROMPTDB_PCSH).parent_path().string() + ":" +
                           fs::path(PROMPTDB_MAKE_TINY_MODEL).parent_path().string() + ":" +
                           std::getenv("PATH");
  ChildOptions options;
  options.folder = work;
  options.environment = {{"PATH", path}, {"HOME", folder.path().string()}};

  std::string printed;  // by the last block that was run
  int run = 0;
  for (const DocumentBlock& block : blocks) {
    if (block.language == "sql") {
      options.input.clear();
      for (const std::string& line : block.lines) options.input += line + "\n";
      const ChildResult result = RunChild({PROMPTDB_PCSH}, options);
      options.input.clear();
      ASSERT_EQ(result.status, 0) << "README.md:" << block.line << "\n" << result.out << result.err;
      printed = result.out;
      ++run;
    } else if (block.language == "console") {
      printed.clear();
      for (const Command& command : ReadCommands(block)) {
        const ChildResult result = RunChild({"/bin/sh", "-c", command.text}, options);
        ASSERT_EQ(result.status, 0) << "README.md:" << command.line << ": " << command.text << "\n"
                                    << result.out << result.err;
        if (!command.expected.empty()) {
          ExpectPrinted("README.md", command.line, command.expected, PrintedLines(result.out));
        }
        printed += result.out;
        ++run;
      }
    } else if (block.language == "text") {
      ExpectPrinted("README.md", block.line, block.lines, PrintedLines(printed));
    }
  }
  EXPECT_GT(run, 0) << "the tour runs nothing";
}

// ---- The reader itself -------------------------------------------------------------------------

TEST(TourReaderTest, FindsTheBlocksBetweenTheMarkers) {
  bool has_tour = false;
  const std::vector<DocumentBlock> blocks = ReadDocumentBlocks(
      "```sql\nno\n```\n<!-- tour -->\n```console\n$ a\n```\n\n```text\nx\n```\n<!-- /tour -->\n",
      "tour", &has_tour);
  EXPECT_TRUE(has_tour);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0].language, "console");
  EXPECT_EQ(blocks[0].line, 5);
  EXPECT_EQ(blocks[1].lines, std::vector<std::string>{"x"});
}

TEST(TourReaderTest, CommandsMayHaveManyLines) {
  const std::vector<Command> commands = ReadCommands(
      {"console",
       {"$ pcsh -c \"SHOW", "MODELS\" \\", "> --timing", "out 1", "$ b 'it", "s'", "out 2"},
       1});
  ASSERT_EQ(commands.size(), 2u);
  EXPECT_EQ(commands[0].text, "pcsh -c \"SHOW\nMODELS\" \\\n--timing");
  EXPECT_EQ(commands[0].expected, std::vector<std::string>{"out 1"});
  EXPECT_EQ(commands[1].text, "b 'it\ns'");
  EXPECT_EQ(commands[1].line, 6);
}

}  // namespace
}  // namespace promptdb
