// What disks and operating systems do to a database: files that are gone, cut or changed, a folder
// that can't be written, a disk that is full. Each ends in states that are computed again or in an
// error that says what is wrong; never in a wrong answer, and never in the end of the process.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <sstream>

#include "storage/log_records.h"
#include "tests/chat_bench.h"
#include "tests/support/child_process.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

constexpr char kMake[] =
    "CREATE SCHEMA s USING m (SYSTEM 'You are kind.', MODULE a AS 'alpha beta', MODULE b AS 'x');"
    "WARM s;";
constexpr char kAsk[] = "SELECT GENERATE (max_tokens => 6) FROM s USE a, b PROMPT 'go on'";

// A database with a model, a schema and its states, closed; its answer is that of no cache.
class FaultTest : public testing::Test {
 protected:
  FaultTest() : folder_("fault") {
    const std::string model = (folder_ / "m.gguf").string();
    WriteGguf(Tiny("llama", 512), model, TensorDtype::kF32);
    Database database(folder_ / "db");
    Say(database, "CREATE MODEL m FROM " + QuoteText(model) + ";" + kMake);
    answer_ = TextOf(Say(database, std::string(kAsk) + " WITH (cache = off);"));
  }

  // Opens it twice, so that everything lies in table files.
  void Settle() { const Database database(folder_ / "db"); }

  // A test of this program, run in a process of its own on the database.
  ChildResult RunTest(const std::string& name, const fs::path& database) {
    ChildOptions options;
    options.environment = {{"PROMPTDB_TEST_FOLDER", database.string()},
                           {"PROMPTDB_TEST_MODEL", (folder_ / "m.gguf").string()}};
    return RunChild({fs::read_symlink("/proc/self/exe").string(), "--gtest_filter=" + name,
                     "--gtest_also_run_disabled_tests"},
                    options);
  }

  const TemporaryFolder folder_;
  std::string answer_;
};

// Opens a copy of the database that `damage` was done to. "right", or the error that refused it.
std::string Outcome(const fs::path& database, const std::string& answer,
                    const std::function<void(const fs::path&)>& damage,
                    bool may_lose_the_end = false) {
  const TemporaryFolder copies("damaged");
  CopyFolder(database, copies / "db");
  damage(copies / "db");
  try {
    Database opened(copies / "db");
    EXPECT_EQ(TextOf(Say(opened, std::string(kAsk) + ";")), answer);
    EXPECT_EQ(TextOf(Say(opened, std::string(kAsk) + ";")), answer);
    Say(opened, "CREATE SCHEMA later USING m (MODULE a AS 'one'); WARM later;");
  } catch (const Error& error) {
    // A log that was cut is like one that was never written further.
    const bool is_lost = may_lose_the_end && error.code() == ErrorCode::kUnknownName;
    EXPECT_TRUE(is_lost || error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kIo ||
                error.code() == ErrorCode::kUnsupported)
        << error.message();
    EXPECT_NE(error.hint(), "") << error.message();
    return std::string(ErrorCodeName(error.code()));
  }
  return "right";
}

TEST_F(FaultTest, MissingFilesAreNamedOrNotMissed) {
  Settle();
  for (const fs::path& file : FilesOf(folder_ / "db", "")) {
    const std::string name = file.filename().string();
    SCOPED_TRACE(name);
    const std::string outcome = Outcome(
        folder_ / "db", answer_, [&](const fs::path& database) { fs::remove(database / name); });
    const bool is_needed =
        name.ends_with(".sst") || name == "CURRENT" || name.starts_with("MANIFEST-");
    EXPECT_EQ(outcome, is_needed ? "corrupt data" : "right");
  }
}

TEST_F(FaultTest, CutAndChangedFilesNeverGiveAWrongAnswer) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  int right = 0, refused = 0;
  for (const bool settled : {false, true}) {
    if (settled) Settle();
    for (const fs::path& file : FilesOf(folder_ / "db", "")) {
      const std::string name = file.filename().string();
      const uint64_t size = fs::file_size(file);
      if (size == 0 || name.starts_with("LOG")) continue;
      for (int round = 0; round < 5; ++round) {
        const uint64_t bit = random() % (size * 8);
        SCOPED_TRACE(name + (round == 0 ? " cut at bit " : " flipped in bit ") +
                     std::to_string(bit));
        const std::string outcome = Outcome(
            folder_ / "db", answer_,
            [&](const fs::path& database) {
              if (round == 0) fs::resize_file(database / name, bit / 8);
              if (round > 0) FlipBit(database / name, bit);
            },
            name.ends_with(".log") || (round == 0 && name.starts_with("MANIFEST-")));
        ++(outcome == "right" ? right : refused);
      }
    }
  }
  std::printf("%d answered rightly, %d refused\n", right, refused);
  EXPECT_GT(right, 0);
  EXPECT_GT(refused, 0);
}

// A bit in any block of states must cost no more than states.
TEST_F(FaultTest, DamagedBlocksOfStatesNeverKeepTheDatabaseShut) {
  Settle();
  std::string name;
  {
    Database database(folder_ / "db");
    for (const Rocks::TableFile& table : database.rep().rocks.Tables()) {
      if (table.family == Family::kBlocks) name = table.name;
    }
  }
  ASSERT_NE(name, "");
  std::mt19937_64 random(7);
  // What is no block (the index, the properties) stands at the end.
  const uint64_t bytes = fs::file_size(folder_ / ("db/" + name)) - 2048;
  for (int round = 0; round < 30; ++round) {
    const uint64_t bit = random() % (bytes * 8);
    SCOPED_TRACE(bit);
    EXPECT_EQ(Outcome(folder_ / "db", answer_,
                      [&](const fs::path& database) { FlipBit(database / name, bit); }),
              "right");
  }
}

// Of a settled database; empty where there is none.
fs::path ManifestIn(const fs::path& database) {
  for (const fs::path& file : FilesOf(database, "")) {
    if (file.filename().string().starts_with("MANIFEST-")) return file;
  }
  return {};
}

// RocksDB takes a cut MANIFEST for one that was never written further. One in which the database's
// beginning is missing must not pass for that of a new database.
TEST(ManifestTest, ACutManifestIsNeverTakenForThatOfANewDatabase) {
  const TemporaryFolder folder("manifest");
  const auto put = [](Rocks& rocks, const std::string& key) {
    Rocks::Batch batch;
    batch.Put(Family::kCatalog, key, "value");
    batch.Put(Family::kLabels, key, "value");
    rocks.Write(std::move(batch));
  };
  {
    Rocks rocks(folder / "db");
    put(rocks, "a");
  }
  { const Rocks rocks(folder / "db"); }
  const fs::path manifest = ManifestIn(folder / "db");
  ASSERT_NE(manifest, "");
  int refused = 0;
  for (uint64_t size = 0; size < fs::file_size(manifest); size += 17) {
    const fs::path copy = folder / std::to_string(size);
    CopyFolder(folder / "db", copy);
    fs::resize_file(copy / manifest.filename(), size);
    bool is_readable = true;
    try {
      Rocks::OpenReadOnly(copy);
    } catch (const Error&) {
      is_readable = false;
    }
    try {
      const Rocks rocks(copy);
      EXPECT_TRUE(is_readable) << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.message();
      EXPECT_NE(error.hint(), "");
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

// A length that reaches beyond the file makes RocksDB take a record for a torn one.
TEST(ManifestTest, AFlippedLengthIsDamageAndNoEnd) {
  const TemporaryFolder folder("manifest");
  {
    Rocks rocks(folder / "db");
    Rocks::Batch batch;
    batch.Put(Family::kCatalog, "key", "value");
    rocks.Write(std::move(batch));
  }
  { const Rocks rocks(folder / "db"); }
  const fs::path manifest = ManifestIn(folder / "db");
  ASSERT_NE(manifest, "");
  const std::string bytes = ReadText(manifest);
  ASSERT_FALSE(HasRecordsAfterATornOne(bytes));
  int records = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t next = at + 7 + static_cast<unsigned char>(bytes[at + 4]) +
                        256 * static_cast<unsigned char>(bytes[at + 5]);
    ++records;
    if (next < bytes.size()) {  // the last one can't be told from one that is torn
      const fs::path copy = folder / std::to_string(at);
      CopyFolder(folder / "db", copy);
      FlipBit(copy / manifest.filename(), (at + 5) * 8 + 6);
      SCOPED_TRACE("a flipped length at byte " + std::to_string(at));
      ExpectError(ErrorCode::kCorrupt, {copy.string()}, [&] { const Rocks rocks(copy); });
    }
    at = next;
  }
  EXPECT_GT(records, 5);
}

// ---- The write-ahead log ---------------------------------------------------------------------

TEST(LogTest, ATornTailLosesTheLastChangesAlone) {
  const TemporaryFolder folder("log");
  constexpr int kRows = 40;
  {
    Rocks rocks(folder / "db");
    for (int i = 10; i < 10 + kRows; ++i) {
      Rocks::Batch batch;
      batch.Put(Family::kCatalog, "a" + std::to_string(i), std::string(100, 'x'));
      batch.Put(Family::kLabels, "b" + std::to_string(i), std::string(100, 'y'));
      rocks.Write(std::move(batch));
    }
    CopyFolder(folder / "db", folder / "crashed");  // as a crash would leave it
  }
  const auto logs = FilesOf(folder / "crashed", ".log");
  ASSERT_EQ(logs.size(), 1u);
  const uint64_t size = fs::file_size(logs[0]);
  int refused = 0, last_rows = -1;
  // The rows that are there, from the first on; both halves of each.
  const auto rows_of = [&](const fs::path& path) {
    const Rocks rocks(path);
    int rows = 0;
    while (rows < kRows && rocks.Get(Family::kCatalog, "a" + std::to_string(10 + rows))) ++rows;
    for (int i = 0; i < kRows; ++i) {
      const bool has_a = rocks.Get(Family::kCatalog, "a" + std::to_string(10 + i)).has_value();
      const bool has_b = rocks.Get(Family::kLabels, "b" + std::to_string(10 + i)).has_value();
      EXPECT_EQ(has_a, i < rows) << i;
      EXPECT_EQ(has_b, i < rows) << i;
    }
    return rows;
  };
  for (uint64_t cut = 0; cut <= size; cut += 331) {
    const fs::path copy = folder / ("cut" + std::to_string(cut));
    CopyFolder(folder / "crashed", copy);
    fs::resize_file(copy / logs[0].filename(), size - std::min(cut, size));
    const int rows = rows_of(copy);
    if (last_rows >= 0) {
      EXPECT_LE(rows, last_rows);
    }
    if (cut == 0) {
      EXPECT_EQ(rows, kRows);
    }
    last_rows = rows;
  }
  EXPECT_LT(last_rows, 3);
  // Damage before the tail is told, or nothing after it is believed.
  for (uint64_t at = 50; at < size; at += 1009) {
    const fs::path copy = folder / ("flipped" + std::to_string(at));
    CopyFolder(folder / "crashed", copy);
    FlipBit(copy / logs[0].filename(), at * 8 + 2);
    try {
      EXPECT_LT(rows_of(copy), kRows);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.message();
      EXPECT_NE(error.hint(), "");
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

// ---- Folders that can't be written -------------------------------------------------------------

// Run by the next test in a process of its own, without a superuser's rights.
TEST(FaultChildTest, DISABLED_OpensWithoutTheRightToWrite) {
  const char* folder = std::getenv("PROMPTDB_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  if (geteuid() == 0) {
    ASSERT_EQ(setresuid(65534, 65534, 65534), 0);
  }
  ASSERT_NE(access(folder, R_OK | X_OK), -1);
  ASSERT_EQ(access(folder, W_OK), -1);
  ExpectError(ErrorCode::kIo, {folder, "ermission"}, [&] { const Database database(folder); });
  ExpectError(ErrorCode::kIo, {"ermission"},
              [&] { const Database database(fs::path(folder) / "new"); });
  std::puts("refused twice");
}

TEST_F(FaultTest, AReadOnlyFolderIsAnError) {
  fs::permissions(folder_.path(), fs::perms(0755));
  fs::permissions(folder_ / "db", fs::perms(0555));
  const ChildResult result =
      RunTest("FaultChildTest.DISABLED_OpensWithoutTheRightToWrite", folder_ / "db");
  fs::permissions(folder_ / "db", fs::perms(0755));
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_NE(result.out.find("refused twice"), std::string::npos);
  EXPECT_EQ(Outcome(folder_ / "db", answer_, [](const fs::path&) {}), "right");
}

// ---- Full disks --------------------------------------------------------------------------------

// Run by the tests below in a process of its own: adds schemas until the disk is full. With
// PROMPTDB_TEST_FILE_LIMIT no file may become larger than that.
TEST(FaultChildTest, DISABLED_FillsTheDisk) {
  if (const char* limit = std::getenv("PROMPTDB_TEST_FILE_LIMIT")) {
    const auto bytes = static_cast<rlim_t>(std::atoll(limit));
    const rlimit most{bytes, bytes};
    signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &most), 0);
  }
  Database database(std::getenv("PROMPTDB_TEST_FOLDER"));
  int made = 0;
  bool is_full = false;
  while (!is_full && made < 2000) {
    const std::string name = "made" + std::to_string(made);
    std::string words;
    // Other words for each: what lies alike shares its states.
    for (int i = 0; i < 60; ++i) words += " w" + std::to_string(made * 31 + i);
    try {
      Say(database, "CREATE SCHEMA " + name + " USING m (MODULE a AS '" + words + "');");
      std::cout << "made " << name << "\n";
      ++made;
      Say(database, "WARM " + name + ";");
    } catch (const Error& error) {
      is_full = true;
      EXPECT_EQ(error.code(), ErrorCode::kIo) << error.message();
      EXPECT_NE(error.hint(), "");
      std::cout << "full: " << error.message() << "\n";
    }
  }
  EXPECT_TRUE(is_full);
  // What needs no disk goes on.
  EXPECT_NE(TextOf(Say(database, std::string(kAsk) + " WITH (cache = off);")), "");
  EXPECT_NE(TextOf(Say(database, std::string(kAsk) + ";")), "");
  ExpectError(ErrorCode::kIo, {"failed while"},
              [&] { Say(database, "CREATE SCHEMA late USING m (MODULE a AS 'x');"); });
}

// All that the child has told of is there, whole, and can be written to again.
void ExpectWholeAfterwards(const fs::path& folder, const ChildResult& child,
                           const std::string& answer) {
  EXPECT_EQ(child.status, 0) << child.out << child.err;
  EXPECT_NE(child.out.find("full: "), std::string::npos) << child.out;
  Database database(folder);
  std::istringstream lines(child.out);
  std::string word, name;
  int made = 0;
  while (lines >> word) {
    if (word != "made" || !(lines >> name)) continue;
    ++made;
    EXPECT_TRUE(database.rep().catalog.FindSchema(name)) << name;
  }
  EXPECT_GT(made, 0);
  for (const std::vector<Value>& row : Say(database, "CHECK DATABASE;").rows) {
    EXPECT_EQ(std::get<int64_t>(row[3]), 0) << std::get<std::string>(row[0]);
  }
  EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer);
  Say(database, "CREATE SCHEMA later USING m (MODULE a AS 'x'); WARM later;");
  std::printf("%d schemas were made before the disk was full\n", made);
}

TEST_F(FaultTest, AFileThatMayNotGrowEndsTheStatementAlone) {
  ASSERT_EQ(setenv("PROMPTDB_TEST_FILE_LIMIT", "400000", 1), 0);
  const ChildResult child = RunTest("FaultChildTest.DISABLED_FillsTheDisk", folder_ / "db");
  unsetenv("PROMPTDB_TEST_FILE_LIMIT");
  ExpectWholeAfterwards(folder_ / "db", child, answer_);
}

// A file system of its own, for as long as this lives; not mounted where that is not allowed.
class SmallDisk {
 public:
  explicit SmallDisk(const fs::path& folder) : folder_(folder) {
    fs::create_directory(folder);
    is_mounted_ = mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=3m") == 0;
  }
  ~SmallDisk() {
    if (is_mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool is_mounted() const { return is_mounted_; }
  bool Enlarge() { return mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, "size=64m") == 0; }

 private:
  fs::path folder_;
  bool is_mounted_ = false;
};

TEST_F(FaultTest, AFullDiskEndsTheStatementAlone) {
  SmallDisk disk(folder_ / "disk");
  if (!disk.is_mounted()) GTEST_SKIP() << "no file system can be mounted here";
  CopyFolder(folder_ / "db", folder_ / "disk/db");
  const ChildResult child = RunTest("FaultChildTest.DISABLED_FillsTheDisk", folder_ / "disk/db");
  ASSERT_TRUE(disk.Enlarge());
  ExpectWholeAfterwards(folder_ / "disk/db", child, answer_);
}

}  // namespace
}  // namespace promptdb
