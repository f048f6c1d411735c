// Runs the examples of docs/promptql.md, block by block, on one database:
//
//   ```sql        statements, which must succeed. Every block is a session (a pcsh) of its own
//   ```sql error  statements of which the last must fail
//   ```xml NAME   a file of that name, in the folder where the sessions run
//   ```text       what the block before it printed: its notices and rows, or its error
//
// In a text block … stands for anything in a line, a line of it alone for any lines, and <ms> for a
// time. Runs of blanks and of dashes have no length, so that a table is the same whatever room a
// time or a word of a model with random weights takes.
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

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// A line without what depends on the widths of a table's columns.
std::string WithoutWidths(const std::string& line) {
  std::string out;
  for (const char c : line) {
    if (c == ' ' && out.empty()) continue;
    if ((c == ' ' || c == '-') && !out.empty() && out.back() == c) continue;
    out += c;
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

// "<stdin>:2: error: …" as a manual has it: without the script.
std::string WithoutScript(const std::string& line) {
  const size_t error = line.find(": error: ");
  return line.starts_with("<stdin>:") && error != line.npos ? line.substr(error + 2) : line;
}

std::vector<std::string> ManualLines(std::vector<std::string> lines) {
  for (std::string& line : lines) {
    ReplaceAll(line, "…", "<*>");
    line = WithoutWidths(line);
  }
  return lines;
}

std::vector<std::string> ComparableLines(const std::string& printed) {
  std::vector<std::string> lines = PrintedLines(printed);
  for (std::string& line : lines) line = WithoutWidths(WithoutScript(line));
  return lines;
}

// `actual` without the lines for which a line of <*> alone stands in `expected`: those up to the
// first that the line after it matches. The lines of <*> stay in their place.
std::vector<std::string> WithoutElided(const std::vector<std::string>& expected,
                                       const std::vector<std::string>& actual) {
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] != "<*>") {
      if (at < actual.size()) out.push_back(actual[at++]);
    } else if (i + 1 == expected.size()) {
      at = actual.size();
      out.push_back(expected[i]);
    } else {
      while (at < actual.size() && !MatchesMask(expected[i + 1], actual[at])) ++at;
      out.push_back(expected[i]);
    }
  }
  out.insert(out.end(), actual.begin() + static_cast<long>(at), actual.end());
  return out;
}

TEST(ManualTest, EveryExampleDoesWhatTheManualSays) {
  const fs::path source = PROMPTDB_SOURCE_DIR;
  std::ifstream in(source / "docs/promptql.md", std::ios::binary);
  ASSERT_TRUE(in) << "docs/promptql.md is missing";
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const std::vector<DocumentBlock> blocks = ReadDocumentBlocks(text);

  const TemporaryFolder folder("manual");
  const fs::path model = folder / "tiny.gguf";
  ASSERT_EQ(RunChild({PROMPTDB_MAKE_TINY_MODEL, model}).status, 0);
  ChildOptions options;
  options.folder = folder.path();
  options.environment = {{"HOME", folder.path().string()}};

  std::string printed;  // by the last block that was run
  int run = 0, compared = 0;
  for (const DocumentBlock& block : blocks) {
    const std::string at = "docs/promptql.md:" + std::to_string(block.line);
    if (block.language == "sql" || block.language == "sql error") {
      options.input.clear();
      for (const std::string& line : block.lines) options.input += line + "\n";
      const ChildResult result = RunChild({PROMPTDB_PCSH}, options);
      const int wanted = block.language == "sql" ? 0 : 1;
      ASSERT_EQ(result.status, wanted) << at << "\n" << result.out << result.err;
      printed = result.err + result.out;
      ++run;
    } else if (block.language.starts_with("xml ")) {
      std::ofstream out(folder / block.language.substr(4));
      for (const std::string& line : block.lines) out << line << "\n";
    } else if (block.language == "text") {
      const std::vector<std::string> expected = ManualLines(block.lines);
      ExpectPrinted("docs/promptql.md", block.line, expected,
                    WithoutElided(expected, ComparableLines(printed)));
      ++compared;
    } else {
      EXPECT_EQ(block.language, "") << at << ": no kind of block";
    }
  }
  EXPECT_GT(run, 30) << "the manual's examples are gone";
  EXPECT_GT(compared, 20) << "the manual's outputs are gone";
}

}  // namespace
}  // namespace promptdb
