// A file is written as a whole or stays what it was.
#include "base/whole_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

size_t FilesIn(const fs::path& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(WholeFileTest, MakesAndReplaces) {
  const TemporaryFolder folder("whole");
  WriteWholeFile(folder / "a", "one");
  EXPECT_EQ(ReadText(folder / "a"), "one");
  WriteWholeFile(folder / "a", std::string(3 << 20, 'x'));
  EXPECT_EQ(ReadText(folder / "a"), std::string(3 << 20, 'x'));
  WriteWholeFile(folder / "a", "");
  EXPECT_EQ(ReadText(folder / "a"), "");
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

TEST(WholeFileTest, ALinkKeepsItsFile) {
  const TemporaryFolder folder("whole");
  fs::create_directory(folder / "inside");
  WriteWholeFile(folder / "inside/a", "one");
  fs::create_symlink(folder / "inside/a", folder / "link");
  WriteWholeFile(folder / "link", "two");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(ReadText(folder / "inside/a"), "two");
}

TEST(WholeFileTest, WhatCannotBeWrittenLeavesWhatWasThere) {
  const TemporaryFolder folder("whole");
  WriteWholeFile(folder / "a", "one");
  // No file of this process may grow beyond 1 MiB: a full disk, to the writer.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1 << 20, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(WriteWholeFile(folder / "a", std::string(2 << 20, 'x')), Error);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(ReadText(folder / "a"), "one");
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

TEST(WholeFileTest, GrowsInPiecesAndCanBeCut) {
  const TemporaryFolder folder("whole");
  WholeFileWriter file(folder / "a", WholeFileWriter::Existing::kRefuse);
  file.Write("one");
  file.Write("wrong");
  file.CutTo(3);
  file.Write("two");
  EXPECT_EQ(file.size(), 6);
  EXPECT_FALSE(fs::exists(folder / "a"));
  file.Finish();
  EXPECT_EQ(ReadText(folder / "a"), "onetwo");
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

TEST(WholeFileTest, RefusesWhatIsThereFirstAndLast) {
  const TemporaryFolder folder("whole");
  const auto refused = [](const std::function<void()>& action) {
    ExpectError(ErrorCode::kInvalidArgument, {"exists already"}, action);
  };
  {
    WholeFileWriter late(folder / "a", WholeFileWriter::Existing::kRefuse);
    WriteWholeFile(folder / "a", "one");
    late.Write("two");
    refused([&] { late.Finish(); });
  }
  refused([&] { WholeFileWriter(folder / "a", WholeFileWriter::Existing::kRefuse); });
  refused([&] { WholeFileWriter(folder.path(), WholeFileWriter::Existing::kRefuse); });
  EXPECT_EQ(ReadText(folder / "a"), "one");
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

TEST(WholeFileTest, SaysWhyItCannotWrite) {
  const TemporaryFolder folder("whole");
  try {
    WriteWholeFile(folder / "none/a", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "cannot write \"" + (folder / "none/a").string() + "\": No such file or directory");
  }
  EXPECT_THROW(WriteWholeFile(folder.path(), "x"), Error);
  EXPECT_THROW(WriteWholeFile("/dev/null", "x"), Error);
  EXPECT_THROW(WriteWholeFile("", "x"), Error);
}

TEST(WholeFileTest, ManyWritersLeaveOneWholeFile) {
  const TemporaryFolder folder("whole");
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      for (int k = 0; k < 20; ++k) {
        WriteWholeFile(folder / "a", std::string(100'000, static_cast<char>('a' + i)));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string text = ReadText(folder / "a");
  EXPECT_EQ(text, std::string(100'000, text.at(0)));
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

}  // namespace
}  // namespace promptdb
