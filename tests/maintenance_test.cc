// CHECK DATABASE, VACUUM, BACKUP, RESTORE and durability, on databases that are whole and on some
// that are not.
#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <thread>

#include "tests/chat_bench.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

constexpr char kTwoSchemas[] =
    "CREATE SCHEMA s USING m (SYSTEM 'You are kind.', MODULE a AS 'alpha beta', MODULE b AS 'x');"
    "CREATE SCHEMA other USING m (MODULE c AS 'gamma delta');"
    "WARM s; WARM other;";
constexpr char kAsk[] = "SELECT GENERATE (max_tokens => 6) FROM s USE a, b PROMPT 'go on'";

std::string AnswerWithoutCache(Database& database) {
  return TextOf(Say(database, std::string(kAsk) + " WITH (cache = off);"));
}

// Damaged objects by kind: "states 1, blocks 2"; "" where all are whole.
std::string Damaged(const RecordingSink& check) {
  std::string text;
  for (const std::vector<Value>& row : check.rows) {
    const int64_t damaged = std::get<int64_t>(row[3]);
    if (damaged == 0) continue;
    text +=
        (text.empty() ? "" : ", ") + std::get<std::string>(row[0]) + " " + std::to_string(damaged);
  }
  return text;
}

int64_t Checked(const RecordingSink& check, const std::string& kind) {
  for (const std::vector<Value>& row : check.rows) {
    if (std::get<std::string>(row[0]) == kind) return std::get<int64_t>(row[1]);
  }
  return -1;
}

bool HasNotice(const RecordingSink& sink, const std::vector<std::string>& parts) {
  return std::any_of(sink.notices.begin(), sink.notices.end(), [&](const std::string& notice) {
    return std::all_of(parts.begin(), parts.end(),
                       [&](const std::string& part) { return notice.find(part) != notice.npos; });
  });
}

void Put(Database& database, Family family, const std::string& key, const std::string& value) {
  Rocks::Batch batch;
  batch.Put(family, key, value);
  database.rep().rocks.Write(std::move(batch));
}

// The first key of a family, and its value.
std::pair<std::string, std::string> FirstRow(Database& database, Family family) {
  std::pair<std::string, std::string> first;
  database.rep().rocks.Scan(family, "", [&](std::string_view key, std::string_view value) {
    first = {std::string(key), std::string(value)};
    return false;
  });
  return first;
}

// A sink that wants to stop at the n-th progress.
class StoppingSink : public RecordingSink {
 public:
  explicit StoppingSink(int at) : left_(at) {}
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {
    if (--left_ <= 0) is_canceled = true;
  }

 private:
  int left_;
};

// ---- CHECK DATABASE
// ------------------------------------------------------------------------------

TEST(CheckTest, AWholeDatabaseIsCountedAndKept) {
  Bench bench(Tiny("llama", 512));
  EXPECT_EQ(Damaged(bench.Run("CHECK DATABASE;")), "");
  bench.Run(kTwoSchemas);
  bench.Run("BEGIN CHAT t FROM s USE a; CONTINUE t (max_tokens => 3) PROMPT 'hello';");
  for (int round = 0; round < 2; ++round) {
    const size_t states = bench.StatesOnDisk();
    const RecordingSink check = bench.Run("CHECK DATABASE;");
    EXPECT_EQ(Damaged(check), "");
    EXPECT_TRUE(check.notices.empty()) << check.notices.at(0);
    EXPECT_EQ(Checked(check, "catalog rows"), 4);  // a model, two schemas, a chat
    EXPECT_EQ(Checked(check, "states"), static_cast<int64_t>(states));
    EXPECT_GE(Checked(check, "blocks"), static_cast<int64_t>(states));
    EXPECT_EQ(bench.StatesOnDisk(), states);
    bench.Restart();  // then there are table files, too
  }
  EXPECT_GT(Checked(bench.Run("CHECK DATABASE;"), "table files"), 0);
}

TEST(CheckTest, ADamagedStateIsNamedDroppedAndComputedAgain) {
  Bench bench(Tiny("llama", 512));
  bench.Run(kTwoSchemas);
  const std::string answer = AnswerWithoutCache(bench.database());
  // A block that RocksDB finds right, and our digest wrong; one that is missing; a manifest.
  for (const int kind : {0, 1, 2}) {
    bench.Run("WARM s;");
    const auto victim = bench.cache().List().at(static_cast<size_t>(kind));
    const std::string key = victim.key.ToBytes() + std::string(4, '\0');
    Rocks& rocks = bench.database().rep().rocks;
    Rocks::Batch batch;
    if (kind == 0) {
      std::string block = *rocks.Get(Family::kBlocks, key);
      block.back() = static_cast<char>(block.back() ^ 1);
      batch.Put(Family::kBlocks, key, block);
    } else if (kind == 1) {
      batch.Delete(Family::kBlocks, key);
    } else {
      batch.Put(Family::kStates, victim.key.ToBytes(), "no manifest");
    }
    rocks.Write(std::move(batch));
    const RecordingSink check = bench.Run("CHECK DATABASE;");
    EXPECT_EQ(Damaged(check), kind == 2 ? "states 1" : "states 1, blocks 1");
    EXPECT_TRUE(HasNotice(check, {kind == 2 ? victim.key.ToHex() : '"' + victim.label + '"',
                                  "is dropped", "computed again"}))
        << check.notices.at(0);
    EXPECT_EQ(bench.cache().Probe(victim.key).tier, Tier::kMiss);
    EXPECT_EQ(TextOf(bench.Run(std::string(kAsk) + ";")), answer);
    EXPECT_EQ(Damaged(bench.Run("CHECK DATABASE;")), "");
  }
}

TEST(CheckTest, WhatOpeningHasDroppedIsToldOnce) {
  Bench bench(Tiny("llama", 512));
  bench.Run(kTwoSchemas);
  const std::string key = FirstRow(bench.database(), Family::kStates).first;
  Put(bench.database(), Family::kStates, key, "no manifest");
  bench.Restart();
  const RecordingSink check = bench.Run("CHECK DATABASE;");
  EXPECT_EQ(Damaged(check), "states 1");
  EXPECT_TRUE(HasNotice(check, {Digest::FromBytes(key).ToHex(), "manifest"}));
  EXPECT_EQ(Damaged(bench.Run("CHECK DATABASE;")), "");
}

TEST(CheckTest, DamagedCatalogRowsAndLabelsAreNamed) {
  Bench bench(Tiny("llama", 512));
  bench.Run(kTwoSchemas);
  const std::string label = FirstRow(bench.database(), Family::kLabels).first;
  Put(bench.database(), Family::kCatalog, "schema/s", "{");
  Put(bench.database(), Family::kLabels, label, "nonsense");
  const RecordingSink check = bench.Run("CHECK DATABASE;");
  EXPECT_EQ(Damaged(check), "catalog rows 1, labels 1");
  EXPECT_TRUE(HasNotice(check, {"\"schema/s\"", "damaged"}));
  EXPECT_TRUE(HasNotice(check, {'"' + label + '"', "dropped"}));
  EXPECT_EQ(Damaged(bench.Run("CHECK DATABASE;")), "catalog rows 1");
}

TEST(CheckTest, CanBeStoppedAndTellsOfProgress) {
  Bench bench(Tiny("llama", 512));
  bench.Run(kTwoSchemas);
  bench.Restart();
  for (int at = 1; at < 6; ++at) {
    StoppingSink sink(at);
    Session session(&bench.database());
    ExpectError(ErrorCode::kCanceled, {"stopped"},
                [&] { session.Execute("CHECK DATABASE;", sink); });
  }
  EXPECT_EQ(Damaged(bench.Run("CHECK DATABASE;")), "");
}

// A bit of a table file of blocks: the states in it are lost, and nothing else. VACUUM refuses to
// compact such a file, since RocksDB would then take no more changes.
TEST(CheckTest, ADamagedTableFileCostsStatesAndARestoredBackupIsWhole) {
  const TemporaryFolder folder("tables");
  const std::string model = (folder / "m.gguf").string();
  WriteGguf(Tiny("llama", 512), model, TensorDtype::kF32);
  std::string answer;
  std::vector<std::string> names;
  {
    Database database(folder / "db");
    Say(database, "CREATE MODEL m FROM " + QuoteText(model) + ";" + kTwoSchemas);
    answer = AnswerWithoutCache(database);
  }
  {
    Database database(folder / "db");  // writes what is in the log into tables
    for (const Rocks::TableFile& table : database.rep().rocks.Tables()) {
      if (table.family == Family::kBlocks) names.push_back(table.name);
    }
  }
  ASSERT_EQ(names.size(), 1u);
  // What is no block (the index, the properties) stands at the end.
  const uint64_t bytes = fs::file_size(folder / ("db/" + names[0])) - 2048;
  for (const uint64_t place : {uint64_t{100}, bytes / 2, bytes - 1}) {
    SCOPED_TRACE(place);
    const fs::path damaged = folder / ("damaged" + std::to_string(place));
    CopyFolder(folder / "db", damaged);
    FlipBit(damaged / names[0], place * 8 + 5);
    const fs::path backup = damaged.string() + "-backup";
    {
      Database database(damaged);
      const RecordingSink check = Say(database, "CHECK DATABASE;");
      EXPECT_NE(Damaged(check).find("table files 1, states "), std::string::npos) << Damaged(check);
      EXPECT_TRUE(HasNotice(check, {names[0], "blocks of states"}));
      EXPECT_TRUE(HasNotice(check, {"BACKUP", "RESTORE"}));
      EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer);
      EXPECT_EQ(Damaged(Say(database, "CHECK DATABASE;")), "table files 1");
      ExpectError(ErrorCode::kCorrupt, {"damaged table files"}, [&] { Say(database, "VACUUM;"); });
      Say(database, "CREATE SCHEMA still_writable USING m (MODULE a AS 'a');");
      Say(database, "BACKUP DATABASE TO " + QuoteText(backup.string()) + ";");
    }
    {
      Database database(damaged);  // it opens again, whatever the damage
      EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer);
    }
    Database restored(damaged.string() + "-restored");
    Say(restored, "RESTORE FROM " + QuoteText(backup.string()) + ";");
    EXPECT_EQ(Damaged(Say(restored, "CHECK DATABASE;")), "");
    EXPECT_EQ(TextOf(Say(restored, std::string(kAsk) + ";")), answer);
    Say(restored, "VACUUM;");
  }
}

// ---- BACKUP and RESTORE
// --------------------------------------------------------------------------

class BackupTest : public testing::Test {
 protected:
  BackupTest() : folder_("backup"), bench_(Tiny("llama", 512)) {
    bench_.Run(kTwoSchemas);
    bench_.Run("BEGIN CHAT t FROM s USE a; CONTINUE t (max_tokens => 3) PROMPT 'hello';");
    answer_ = AnswerWithoutCache(bench_.database());
  }
  std::string Place(const std::string& name) { return QuoteText((folder_ / name).string()); }

  const TemporaryFolder folder_;
  Bench bench_;
  std::string answer_;
};

TEST_F(BackupTest, ARestoredDatabaseIsTheSame) {
  const RecordingSink backup = bench_.Run("BACKUP DATABASE TO " + Place("deep/in/backup/") + ";");
  EXPECT_EQ(std::get<std::string>(backup.rows.at(0)[0]), (folder_ / "deep/in/backup").string());
  EXPECT_GT(std::get<int64_t>(backup.rows.at(0)[3]), 0);  // linked
  EXPECT_TRUE(HasNotice(backup, {"backed up", "/s)", "hard links"}));
  bench_.Run("DROP SCHEMA other;");  // the backup is of the time before

  {
    Database restored(folder_ / "db");
    const RecordingSink result = Say(restored, "RESTORE FROM " + Place("deep/in/backup") + ";");
    EXPECT_TRUE(HasNotice(result, {"restored", "/s)"}));
    EXPECT_EQ(std::get<int64_t>(result.rows.at(0)[1]), 2);  // schemas
    EXPECT_EQ(std::get<int64_t>(result.rows.at(0)[2]), 1);  // chats
    EXPECT_EQ(std::get<int64_t>(result.rows.at(0)[5]), 0);  // damaged
  }
  Database restored(folder_ / "db");
  EXPECT_EQ(Damaged(Say(restored, "CHECK DATABASE;")), "");
  const RecordingSink asked = Say(restored, std::string(kAsk) + ";");
  EXPECT_EQ(TextOf(asked), answer_);
  EXPECT_GT(CachedTokens(asked), 0);
  EXPECT_EQ(ChatNamed(restored, "t"), bench_.Chat("t"));
  const auto label = restored.rep().cache.LastUnderLabel("other.c");
  EXPECT_TRUE(label);
  // A backup is a database, too, and using one doesn't change the other.
  Database copy(folder_ / "deep/in/backup");
  Say(copy, "DROP MODEL m CASCADE; VACUUM;");
  EXPECT_EQ(Damaged(bench_.Run("CHECK DATABASE;")), "");
  EXPECT_EQ(TextOf(bench_.Run(std::string(kAsk) + ";")), answer_);
}

TEST_F(BackupTest, FoldersThatDoNotFitAreRefused) {
  fs::create_directory(folder_ / "full");
  std::ofstream(folder_ / "full/file") << "text";
  std::ofstream(folder_ / "file") << "text";
  fs::create_directory(folder_ / "empty");
  for (const std::string name : {"full", "file"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"new or empty", name},
                [&] { bench_.Run("BACKUP TO " + Place(name) + ";"); });
  }
  ExpectError(ErrorCode::kIo, {"file/below"},
              [&] { bench_.Run("BACKUP TO " + Place("file/below/it") + ";"); });
  const fs::path own = bench_.database().folder();
  for (const fs::path& path : {own, own / "backup", own / ".." / own.filename() / "x"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"own folder"},
                [&] { bench_.Run("BACKUP TO " + QuoteText(path.string()) + ";"); });
  }
  EXPECT_EQ(FilesOf(folder_ / "full", "").size(), 1u);
  bench_.Run("BACKUP TO " + Place("empty") + ";");

  ExpectError(ErrorCode::kInvalidArgument, {"without models and schemas"},
              [&] { bench_.Run("RESTORE FROM " + Place("empty") + ";"); });
  Database database(folder_ / "db");
  for (const std::string name : {"none", "full", "file"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"no database in", name},
                [&] { Say(database, "RESTORE FROM " + Place(name) + ";"); });
  }
  EXPECT_FALSE(fs::exists(folder_ / "none"));
  Say(database, "RESTORE FROM " + Place("empty") + ";");
}

TEST_F(BackupTest, AStoppedRestoreChangesNothing) {
  bench_.Run("BACKUP TO " + Place("backup") + ";");
  Database database(folder_ / "db");
  for (int at = 1; at < 5; ++at) {
    StoppingSink sink(at);
    Session session(&database);
    ExpectError(ErrorCode::kCanceled, {"stopped"},
                [&] { session.Execute("RESTORE FROM " + Place("backup") + ";", sink); });
    EXPECT_TRUE(database.rep().cache.List().empty());
    EXPECT_TRUE(database.rep().catalog.IsEmpty());
  }
  Say(database, "RESTORE FROM " + Place("backup") + ";");
  EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_);
}

TEST_F(BackupTest, QuotasOfItsUsersHoldAtOnce) {
  bench_.Run(
      "CREATE USER ada PASSWORD 'x' WITH (admin = on); CREATE USER bob WITH (state_bytes = '32kB');"
      "GRANT USAGE ON SCHEMA s TO bob; BACKUP TO " +
      Place("backup") + ";");
  Database database(folder_ / "db");
  Say(database, "RESTORE FROM " + Place("backup") + ";");
  Session bob(&database, "bob");
  RecordingSink sink;
  for (const char* question : {"a first question", "the second one", "and a third"}) {
    bob.Execute("SELECT GENERATE (max_tokens => 30, ignore_eos => true) FROM s PROMPT '" +
                    std::string(question) + "' WITH (reuse = exact);",
                sink);
  }
  const auto bytes = std::get<int64_t>(
      Say(database, "SELECT stored_bytes FROM pc_users WHERE name = 'bob';").rows.at(0)[0]);
  EXPECT_GT(bytes, 0);
  EXPECT_LE(bytes, 32 << 10);
}

TEST_F(BackupTest, MissingWeightsAreToldOf) {
  bench_.Run("BACKUP TO " + Place("backup") + ";");
  fs::rename(bench_.path(), folder_ / "moved.gguf");
  Database database(folder_ / "db");
  EXPECT_TRUE(HasNotice(Say(database, "RESTORE FROM " + Place("backup") + ";"),
                        {"model \"m\"", bench_.path(), "CREATE OR REPLACE MODEL"}));
  Say(database, "CREATE OR REPLACE MODEL m FROM " + Place("moved.gguf") + ";");
  const RecordingSink asked = Say(database, std::string(kAsk) + ";");
  EXPECT_EQ(TextOf(asked), answer_);
  EXPECT_GT(CachedTokens(asked), 0);
}

// A file is missing, cut or has a flipped bit: the restored database is right, or there is none.
TEST_F(BackupTest, ATornBackupIsRestoredRightlyOrChangesNothing) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  bench_.Run("BACKUP TO " + Place("backup") + ";");
  int restored = 0, with_damage = 0, refused = 0;
  for (const fs::path& whole : FilesOf(folder_ / "backup", "")) {
    for (const int kind : {0, 1, 2, 2, 2, 2}) {
      const TemporaryFolder copies("torn");
      CopyFolder(folder_ / "backup", copies / "backup");
      const fs::path torn = copies / ("backup/" + whole.filename().string());
      const uint64_t size = fs::file_size(torn);
      if (kind == 0) fs::remove(torn);
      if (kind == 1 && size > 0) fs::resize_file(torn, random() % size);
      if (kind == 2 && size > 0) FlipBit(torn, random() % (size * 8));
      SCOPED_TRACE(torn.filename().string() + " " + std::to_string(kind));
      Database database(copies / "db");
      try {
        const RecordingSink result =
            Say(database, "RESTORE FROM " + QuoteText((copies / "backup").string()) + ";");
        ++restored;
        with_damage += std::get<int64_t>(result.rows.at(0)[5]) > 0;
      } catch (const Error& error) {
        ++refused;
        EXPECT_TRUE(database.rep().catalog.IsEmpty());
        EXPECT_TRUE(database.rep().cache.List().empty());
        continue;
      }
      EXPECT_EQ(Damaged(Say(database, "CHECK DATABASE;")), "");
      EXPECT_NO_THROW(EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_));
    }
  }
  std::printf("%d restored, %d of them without some states; %d refused\n", restored, with_damage,
              refused);
  EXPECT_GT(with_damage, 0);
  EXPECT_GT(refused, 0);
}

TEST_F(BackupTest, WhatIsWrittenMeanwhileIsInTheBackupWholeOrNotAtAll) {
  std::thread writer([&] {
    for (int i = 0; i < 15; ++i) {
      const std::string name = "w" + std::to_string(i);
      bench_.Run("CREATE SCHEMA " + name + " USING m (MODULE a AS 'word " + name + "'); WARM " +
                 name + ";");
    }
  });
  for (int i = 0; i < 4; ++i) bench_.Run("BACKUP TO " + Place("b" + std::to_string(i)) + ";");
  writer.join();
  for (int i = 0; i < 4; ++i) {
    Database database(folder_ / ("db" + std::to_string(i)));
    const RecordingSink result =
        Say(database, "RESTORE FROM " + Place("b" + std::to_string(i)) + ";");
    EXPECT_EQ(std::get<int64_t>(result.rows.at(0)[5]), 0);
    EXPECT_EQ(Damaged(Say(database, "CHECK DATABASE;")), "");
  }
}

// ---- VACUUM and durability
// -----------------------------------------------------------------------

TEST(VacuumTest, GivesSpaceBackAndForgetsLabelsOfNothing) {
  Bench bench(Tiny("llama", 512));
  bench.Run(kTwoSchemas);
  bench.Run("BEGIN CHAT t FROM s USE a; CONTINUE t (max_tokens => 3) PROMPT 'hello';");
  const std::string answer = AnswerWithoutCache(bench.database());
  for (int i = 0; i < 3; ++i) {
    bench.Restart();
    bench.Run(
        "CREATE SCHEMA gone USING m (MODULE a AS 'one two three', MODULE b AS 'four');"
        "WARM gone; DROP SCHEMA gone;");
  }
  const RecordingSink check = bench.Run("CHECK DATABASE;");
  EXPECT_EQ(Damaged(check), "");
  EXPECT_TRUE(HasNotice(check, {"VACUUM removes"}));
  const RecordingSink vacuum = bench.Run("VACUUM;");
  EXPECT_LT(std::get<int64_t>(vacuum.rows.at(0)[1]), std::get<int64_t>(vacuum.rows.at(0)[0]));
  EXPECT_GE(std::get<int64_t>(vacuum.rows.at(0)[2]), 2);
  EXPECT_FALSE(bench.cache().LastUnderLabel("gone.a"));
  EXPECT_TRUE(bench.cache().LastUnderLabel("s.a"));
  EXPECT_TRUE(bench.cache().LastUnderLabel("chat t turn 1"));
  EXPECT_TRUE(bench.Run("CHECK DATABASE;").notices.empty());
  bench.Restart();
  EXPECT_EQ(Damaged(bench.Run("CHECK DATABASE;")), "");
  EXPECT_EQ(TextOf(bench.Run(std::string(kAsk) + ";")), answer);
  EXPECT_EQ(std::get<int64_t>(bench.Run("VACUUM;").rows.at(0)[2]), 0);
}

TEST(DurabilityTest, IsOfTheWholeDatabaseUntilItIsClosed) {
  Bench bench(Tiny("llama", 512));
  const auto shown = [&] {
    return std::get<std::string>(
        bench.Run("SELECT value FROM pc_settings WHERE name = 'durability';").rows.at(0)[0]);
  };
  EXPECT_EQ(shown(), "sync");
  bench.Run("SET durability = 'async';");
  EXPECT_EQ(shown(), "async");  // in another session
  bench.Run(kTwoSchemas);
  const std::string answer = TextOf(bench.Run(std::string(kAsk) + ";"));
  bench.Run("RESET durability;");
  EXPECT_EQ(shown(), "sync");
  bench.Run("SET durability = 'async';");
  bench.Restart();
  EXPECT_EQ(shown(), "sync");
  const RecordingSink asked = bench.Run(std::string(kAsk) + ";");
  EXPECT_EQ(TextOf(asked), answer);
  EXPECT_GT(CachedTokens(asked), 0);
  ExpectError(ErrorCode::kInvalidArgument, {"'sync' or 'async'"},
              [&] { bench.Run("SET durability = 'never';"); });
}

}  // namespace
}  // namespace promptdb
