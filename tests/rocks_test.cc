#include "storage/rocks.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

extern char** environ;

namespace promptdb {
namespace {

Error ErrorOfOpening(const std::filesystem::path& folder) {
  try {
    const Rocks rocks(folder);
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(folder.string()), std::string::npos) << error.message();
    EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
    return error;
  }
  return Error(ErrorCode::kInternal, "it opened");
}

void PutRow(Rocks& rocks, Family family, const std::string& key, const std::string& value) {
  Rocks::Batch batch;
  batch.Put(family, key, value);
  rocks.Write(std::move(batch));
}

TEST(RocksTest, RowsOfEveryFamilySurviveReopening) {
  const TemporaryFolder folder("rocks");
  const auto path = folder / "new/nested/db";
  const Family families[] = {Family::kMeta, Family::kCatalog, Family::kStates, Family::kBlocks,
                             Family::kLabels};
  {
    Rocks rocks(path);
    Rocks::Batch batch;
    for (const Family family : families) {
      batch.Put(family, "key", std::to_string(static_cast<int>(family)));
    }
    rocks.Write(std::move(batch));
  }
  const Rocks rocks(path);
  for (const Family family : families) {
    EXPECT_EQ(rocks.Get(family, "key"), std::to_string(static_cast<int>(family)));
    EXPECT_EQ(rocks.Get(family, "other"), std::nullopt);
    std::string seen;
    EXPECT_TRUE(rocks.View(family, "key", [&](std::string_view value) { seen = value; }));
    EXPECT_EQ(seen, std::to_string(static_cast<int>(family)));
    EXPECT_FALSE(rocks.View(family, "ke", [&](std::string_view) { FAIL(); }));
  }
}

TEST(RocksTest, BulkLoadedKeysMixWithWrittenOnesAndSurviveReopening) {
  const TemporaryFolder folder("rocks");
  const std::string large(3'000'000, 'x'), newer(2'000'000, 'y');
  {
    Rocks rocks(folder.path());
    PutRow(rocks, Family::kBlocks, "b", "written");
    rocks.BulkLoad(Family::kBlocks, {{"a", large}, {"b", large}, {"c", "small"}});
    rocks.BulkLoad(Family::kBlocks, {{"a", newer}});
    PutRow(rocks, Family::kBlocks, "c", "written later");
    EXPECT_TRUE(std::filesystem::is_empty(folder / "ingest"));
    EXPECT_GE(rocks.DiskBytes(Family::kBlocks), 8'000'000);
    EXPECT_LT(rocks.DiskBytes(Family::kBlocks), 9'000'000);
  }
  const Rocks rocks(folder.path());
  EXPECT_EQ(rocks.Get(Family::kBlocks, "a"), newer);
  EXPECT_EQ(rocks.Get(Family::kBlocks, "b"), large);
  EXPECT_EQ(rocks.Get(Family::kBlocks, "c"), "written later");
}

TEST(RocksTest, ScansPrefixesInOrderAndFindsTheNextKey) {
  const TemporaryFolder folder("rocks");
  Rocks rocks(folder.path());
  for (const char* key : {"b1", "a", "b3", "b2", "c"}) PutRow(rocks, Family::kCatalog, key, key);
  std::string seen;
  const auto visit = [&](std::string_view key, std::string_view value) {
    EXPECT_EQ(key, value);
    seen += std::string(key) + " ";
    return key != "b3";
  };
  rocks.Scan(Family::kCatalog, "b", visit);
  EXPECT_EQ(seen, "b1 b2 b3 ");
  seen.clear();
  rocks.Scan(Family::kCatalog, "", visit);
  EXPECT_EQ(seen, "a b1 b2 b3 ");
  EXPECT_EQ(rocks.FirstKeyFrom(Family::kCatalog, "b2"), "b2");
  EXPECT_EQ(rocks.FirstKeyFrom(Family::kCatalog, "b4"), "c");
  EXPECT_EQ(rocks.FirstKeyFrom(Family::kCatalog, "d"), std::nullopt);
}

TEST(RocksTest, ErasedRangesGoAndGiveTheirSpaceBack) {
  const TemporaryFolder folder("rocks");
  const std::string large(3'000'000, 'x');
  Rocks rocks(folder.path());
  rocks.BulkLoad(Family::kBlocks, {{"a1", large}, {"a2", large}});
  rocks.BulkLoad(Family::kBlocks, {{"b1", large}, {"b2", large}});
  PutRow(rocks, Family::kBlocks, "a3", "written");
  rocks.EraseRange(Family::kBlocks, "a", "b");
  EXPECT_EQ(rocks.FirstKeyFrom(Family::kBlocks, ""), "b1");
  EXPECT_EQ(rocks.Get(Family::kBlocks, "b2"), large);
  EXPECT_LT(rocks.DiskBytes(Family::kBlocks), 7'000'000);
  Rocks::Batch batch;
  batch.DeleteRange(Family::kBlocks, "b", "b2");
  batch.Delete(Family::kBlocks, "none");
  rocks.Write(std::move(batch));
  EXPECT_EQ(rocks.FirstKeyFrom(Family::kBlocks, ""), "b2");
}

TEST(RocksTest, LeftoversOfACrashAreRemoved) {
  const TemporaryFolder folder("rocks");
  { const Rocks rocks(folder.path()); }
  WriteText(folder / "ingest/17.sst", "half a file");
  Rocks rocks(folder.path());
  EXPECT_TRUE(std::filesystem::is_empty(folder / "ingest"));
  rocks.BulkLoad(Family::kBlocks, {{"a", "value"}});
  EXPECT_EQ(rocks.Get(Family::kBlocks, "a"), "value");
}

TEST(RocksTest, SecondOpenerInTheProcessIsTurnedAway) {
  const TemporaryFolder folder("rocks");
  const Rocks rocks(folder.path());
  const Error error = ErrorOfOpening(folder.path());
  EXPECT_EQ(error.code(), ErrorCode::kBusy);
  EXPECT_EQ(error.message(),
            "database \"" + folder.path().string() + "\" is open in another process");
  EXPECT_NE(error.hint(), "");
}

// Run by the next test in a process of its own.
TEST(RocksTest, DISABLED_OpensTheFolderOfTheEnvironment) {
  const char* folder = std::getenv("PROMPTDB_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  EXPECT_EQ(ErrorOfOpening(folder).code(), ErrorCode::kBusy);
}

TEST(RocksTest, SecondProcessIsTurnedAway) {
  const TemporaryFolder folder("rocks");
  const Rocks rocks(folder.path());
  ASSERT_EQ(setenv("PROMPTDB_TEST_FOLDER", folder.path().c_str(), 1), 0);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::string filter = "--gtest_filter=RocksTest.DISABLED_OpensTheFolderOfTheEnvironment";
  std::string disabled = "--gtest_also_run_disabled_tests";
  char* arguments[] = {const_cast<char*>(program.c_str()), filter.data(), disabled.data(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(RocksTest, FilesAndForeignFoldersAreRefusedAndLeftAlone) {
  const TemporaryFolder folder("rocks");
  WriteText(folder / "file", "text");
  EXPECT_EQ(ErrorOfOpening(folder / "file").code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(ErrorOfOpening(folder / "file/below").code(), ErrorCode::kIo);

  std::filesystem::create_directory(folder / "photos");
  WriteText(folder / "photos/cat.jpg", "meow");
  const Error error = ErrorOfOpening(folder / "photos");
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(error.message().find("cat.jpg"), std::string::npos);
  EXPECT_NE(error.hint(), "");
  int files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(folder / "photos")) {
    ++files;
  }
  EXPECT_EQ(files, 1);
}

TEST(RocksTest, ADatabaseOfAnotherProgramIsRefusedUnchanged) {
  for (const bool with_rows : {false, true}) {
    const TemporaryFolder folder("rocks");
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, folder.path().string(), &opened).ok());
    std::unique_ptr<rocksdb::DB> other(opened);
    if (with_rows) {
      ASSERT_TRUE(other->Put({}, "their key", "their value").ok());
    } else {
      rocksdb::ColumnFamilyHandle* family = nullptr;
      ASSERT_TRUE(other->CreateColumnFamily({}, "theirs", &family).ok());
      ASSERT_TRUE(other->DestroyColumnFamilyHandle(family).ok());
    }
    other.reset();
    EXPECT_EQ(ErrorOfOpening(folder.path()).code(), ErrorCode::kInvalidArgument);
    std::vector<std::string> families;
    ASSERT_TRUE(rocksdb::DB::ListColumnFamilies({}, folder.path().string(), &families).ok());
    EXPECT_EQ(families.size(), with_rows ? 1u : 2u);
  }
}

TEST(RocksTest, AnEmptyDatabaseLeftByAnInterruptedCreationIsFinished) {
  const TemporaryFolder folder("rocks");
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* opened = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, folder.path().string(), &opened).ok());
  delete opened;
  Rocks rocks(folder.path());
  PutRow(rocks, Family::kLabels, "key", "value");
  EXPECT_EQ(rocks.Get(Family::kLabels, "key"), "value");
}

TEST(RocksTest, NewerFormatsAreRefused) {
  const TemporaryFolder folder("rocks");
  {
    Rocks rocks(folder.path());
    EXPECT_EQ(rocks.Get(Family::kMeta, "format_version"), "1");
    PutRow(rocks, Family::kMeta, "format_version", "2");
  }
  EXPECT_EQ(ErrorOfOpening(folder.path()).code(), ErrorCode::kUnsupported);

  // Also when that release has a column family more, which this one could not open.
  std::vector<std::string> families;
  ASSERT_TRUE(rocksdb::DB::ListColumnFamilies({}, folder.path().string(), &families).ok());
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : families) descriptors.push_back({name, {}});
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open({}, folder.path().string(), descriptors, &handles, &opened).ok());
  handles.push_back(nullptr);
  ASSERT_TRUE(opened->CreateColumnFamily({}, "newer", &handles.back()).ok());
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    ASSERT_TRUE(opened->DestroyColumnFamilyHandle(handle).ok());
  }
  delete opened;
  EXPECT_EQ(ErrorOfOpening(folder.path()).code(), ErrorCode::kUnsupported);
}

TEST(RocksTest, DamageIsReportedWithAHint) {
  const auto damaged = [](const std::function<void(const TemporaryFolder&)>& damage) {
    const TemporaryFolder folder("rocks");
    {
      Rocks rocks(folder.path());
      PutRow(rocks, Family::kCatalog, "key", "value");
      rocks.BulkLoad(Family::kBlocks, {{"a", std::string(100'000, 'x')}});
    }
    damage(folder);
    const Error error = ErrorOfOpening(folder.path());
    EXPECT_NE(error.hint(), "");
    return error.code();
  };
  const auto each = [](const TemporaryFolder& folder, const std::string& prefix, auto&& change) {
    int changed = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      if (!entry.path().filename().string().starts_with(prefix)) continue;
      change(entry.path());
      ++changed;
    }
    EXPECT_GT(changed, 0);
  };
  EXPECT_EQ(
      damaged([](const TemporaryFolder& folder) { std::filesystem::remove(folder / "CURRENT"); }),
      ErrorCode::kCorrupt);
  EXPECT_EQ(
      damaged([](const TemporaryFolder& folder) { WriteText(folder / "CURRENT", "nonsense"); }),
      ErrorCode::kCorrupt);
  EXPECT_EQ(damaged([&](const TemporaryFolder& folder) {
              each(folder, "MANIFEST-", [](const auto& path) { WriteText(path, "nonsense"); });
            }),
            ErrorCode::kCorrupt);
  EXPECT_EQ(damaged([&](const TemporaryFolder& folder) {
              each(folder, "MANIFEST-", [](const auto& path) { std::filesystem::remove(path); });
            }),
            ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace promptdb
