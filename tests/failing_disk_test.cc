// A disk that fails (EIO, no space, half reads and writes) and one that loses
// its power, under the real database: tests/support/simulated_disk.h. Whatever
// fails, and whenever, the outcome is a right answer or an error that says so;
// and what was acknowledged is there afterwards.
//
// PROMPTDB_DISK_ROUNDS sets how often each kind of fault comes (2) and how many
// power cuts there are (ten times that, in each mode), PROMPTDB_SEED what
// happens.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <random>

#include "tests/chat_bench.h"
#include "tests/support/child_process.h"
#include "tests/support/damage.h"
#include "tests/support/random_cases.h"
#include "tests/support/simulated_disk.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

constexpr char kAsk[] =
    "SELECT GENERATE (max_tokens => 4, ignore_eos => on) "
    "FROM s USE a, b PROMPT 'so'";

uint32_t Seed() {
  const auto seed = static_cast<uint32_t>(
      FromEnvironment("PROMPTDB_SEED", static_cast<int>(std::random_device{}() >> 1)));
  std::printf("seed %u\n", seed);
  std::fflush(stdout);  // RocksDB's own checks end the process
  return seed;
}

std::string Words(int count, int salt) {
  std::string words;
  for (int i = 0; i < count; ++i) words += " w" + std::to_string((i * 7 + salt) % 10);
  return words;
}

// What a database must hold: schemas, and how many turns its chats have.
struct Contents {
  std::set<std::string> schemas;
  std::map<std::string, size_t> turns;

  bool operator==(const Contents&) const = default;

  static Contents Of(Database& database) {
    Contents contents;
    for (const std::string& name : database.rep().SchemaNames()) contents.schemas.insert(name);
    for (const ChatDefinition& chat : database.rep().catalog.Chats()) {
      contents.turns[chat.name] = chat.turns.size();
    }
    return contents;
  }
};

// A statement, and what the database holds once it has succeeded.
struct Step {
  std::string statement;
  std::function<void(Contents&)> effect;
};

std::vector<Step> Workload() {
  const auto nothing = [](Contents&) {};
  std::vector<Step> steps;
  const auto create = [&](const std::string& name, int words) {
    steps.push_back({"CREATE SCHEMA " + name + " USING m (MODULE a AS '" +
                         Words(words, static_cast<int>(steps.size())) + "', MODULE b AS 'ends');",
                     [=](Contents& contents) { contents.schemas.insert(name); }});
    steps.push_back({"WARM " + name + ";", nothing});
  };
  const auto turn = [&](const std::string& chat) {
    steps.push_back({"CONTINUE " + chat + " (max_tokens => 2, ignore_eos => on) PROMPT 'and then';",
                     [=](Contents& contents) { ++contents.turns[chat]; }});
  };
  steps.push_back({std::string(kAsk) + ";", nothing});
  create("small", 10);
  create("large", 150);
  steps.push_back(
      {"BEGIN CHAT c FROM s USE a;", [](Contents& contents) { contents.turns["c"] = 0; }});
  turn("c");
  steps.push_back(
      {"DROP SCHEMA small;", [](Contents& contents) { contents.schemas.erase("small"); }});
  create("late", 20);
  steps.push_back({"ALTER SCHEMA late RENAME TO renamed;", [](Contents& contents) {
                     contents.schemas.erase("late");
                     contents.schemas.insert("renamed");
                   }});
  steps.push_back(
      {"DROP SCHEMA large;", [](Contents& contents) { contents.schemas.erase("large"); }});
  turn("c");
  steps.push_back({"VACUUM;", nothing});
  create("last", 140);
  steps.push_back({std::string(kAsk) + ";", nothing});
  return steps;
}

class DiskTest : public testing::Test {
 protected:
  DiskTest() : folder_("disk") {
    const std::string model = (folder_ / "m.gguf").string();
    WriteGguf(TinyModel::WithLargeStates(), model, TensorDtype::kF32);
    {
      Database database(folder_ / "base");
      Say(database, "CREATE MODEL m FROM " + QuoteText(model) +
                        "; CREATE SCHEMA s USING m (MODULE a AS 'the base of all" + Words(150, 3) +
                        "', MODULE b AS 'b'); WARM s;");
      answer_ = TextOf(Say(database, std::string(kAsk) + " WITH (cache = off);"));
      base_ = Contents::Of(database);
    }
    // Twice, so that something lies in table files.
    const Database database(folder_ / "base");
  }
  ~DiskTest() override { WatchDisk(""); }

  // Nothing is damaged but, if they may be, states; and answers are right.
  void ExpectSound(Database& database, bool may_lose_states) {
    const RecordingSink check = Say(database, "CHECK DATABASE;");
    for (const std::vector<Value>& row : check.rows) {
      const auto kind = std::get<std::string>(row[0]);
      if (may_lose_states && (kind == "states" || kind == "blocks")) continue;
      EXPECT_EQ(std::get<int64_t>(row[3]), 0)
          << kind << (check.notices.empty() ? "" : check.notices[0]);
    }
    EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_);
  }

  const TemporaryFolder folder_;
  std::string answer_;
  Contents base_;
};

// ---- Faults
// ------------------------------------------------------------------------------------

void ExpectPlainError(const Error& error) {
  EXPECT_TRUE(error.code() == ErrorCode::kIo || error.code() == ErrorCode::kCorrupt)
      << ErrorCodeName(error.code()) << ": " << error.message();
  EXPECT_NE(error.hint(), "") << error.message();
  EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
}

class FaultyRun {
 public:
  FaultyRun(const fs::path& folder, const Contents& base, const std::string& answer)
      : folder_(folder), expected_(base), answer_(answer) {}

  // Runs all steps on the database, each of which may fail.
  void Run() {
    try {
      Database database(folder_);
      // A database that opens has everything.
      EXPECT_EQ(Contents::Of(database), expected_);
      for (const Step& step : Workload()) RunStep(step, database);
    } catch (const Error& error) {
      ExpectPlainError(error);
      ++errors_;
    }
  }

  // What is there once the disk is well again.
  void ExpectKept(Database& database) const {
    const Contents found = Contents::Of(database);
    for (const std::string& name : expected_.schemas) {
      EXPECT_TRUE(found.schemas.contains(name) || doubtful_.contains(name)) << name;
    }
    for (const std::string& name : found.schemas) {
      EXPECT_TRUE(expected_.schemas.contains(name) || doubtful_.contains(name)) << name;
    }
    for (const auto& [chat, turns] : expected_.turns) {
      const auto there = found.turns.find(chat);
      ASSERT_NE(there, found.turns.end()) << chat;
      EXPECT_GE(there->second, turns) << chat;
    }
  }

  int errors() const { return errors_; }

 private:
  void RunStep(const Step& step, Database& database) {
    Contents after = expected_;
    step.effect(after);
    try {
      const RecordingSink sink = Say(database, step.statement);
      expected_ = after;
      if (step.statement.starts_with("SELECT")) {
        EXPECT_EQ(TextOf(sink), answer_);
      }
    } catch (const Error& error) {
      ++errors_;
      // What an earlier failure has left out can't be used now.
      if (error.code() == ErrorCode::kUnknownName) return;
      ExpectPlainError(error);
      // A failed statement may turn out to have been written all the same.
      for (const auto* of : {&expected_.schemas, &after.schemas}) {
        for (const std::string& name : *of) {
          if (!expected_.schemas.contains(name) || !after.schemas.contains(name)) {
            doubtful_.insert(name);
          }
        }
      }
    }
  }

  const fs::path folder_;
  Contents expected_;
  const std::string answer_;
  std::set<std::string> doubtful_;
  int errors_ = 0;
};

struct FaultKind {
  DiskCall call;
  int error;
};

constexpr FaultKind kFaults[] = {
    {DiskCall::kOpen, EIO},  {DiskCall::kRead, EIO},     {DiskCall::kMap, EIO},
    {DiskCall::kWrite, EIO}, {DiskCall::kWrite, ENOSPC}, {DiskCall::kWrite, 0},
    {DiskCall::kSync, EIO},  {DiskCall::kName, EIO},     {DiskCall::kName, ENOSPC}};

TEST_F(DiskTest, AFailingDiskGivesErrorsOrRightAnswersAndLosesNothing) {
  std::mt19937 random(Seed());
  const int rounds = FromEnvironment("PROMPTDB_DISK_ROUNDS", 2);
  std::map<DiskCall, int64_t> calls;
  {
    CopyFolder(folder_ / "base", folder_ / "whole");
    WatchDisk(folder_ / "whole");
    FaultyRun run(folder_ / "whole", base_, answer_);
    run.Run();
    EXPECT_EQ(run.errors(), 0);
    for (int i = 0; i < kDiskCalls; ++i) {
      calls[static_cast<DiskCall>(i)] = DiskCallsMade(static_cast<DiskCall>(i));
      EXPECT_GT(calls[static_cast<DiskCall>(i)], 0) << DiskCallName(static_cast<DiskCall>(i));
    }
  }
  int run = 0, came = 0, with_error = 0;
  for (const FaultKind& kind : kFaults) {
    for (const bool lasts : {false, true}) {
      for (int round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
        const int64_t at =
            1 + static_cast<int64_t>(random() % static_cast<uint64_t>(calls[kind.call]));
        SCOPED_TRACE(std::string(DiskCallName(kind.call)) + " " + std::to_string(at) + " of " +
                     std::to_string(calls[kind.call]) + ", error " + std::to_string(kind.error) +
                     (lasts ? ", from then on" : ""));
        const fs::path database = folder_ / ("run" + std::to_string(run++));
        CopyFolder(folder_ / "base", database);
        WatchDisk(database);
        SetDiskFault(DiskFault{kind.call, at, kind.error, lasts});
        FaultyRun faulty(database, base_, answer_);
        faulty.Run();
        came += HasDiskFailed() ? 1 : 0;
        with_error += faulty.errors() > 0 ? 1 : 0;
        if (kind.error == 0) {
          EXPECT_EQ(faulty.errors(), 0);  // half a read is no failure
        }
        SetDiskFault(std::nullopt);
        try {
          Database again(database);
          faulty.ExpectKept(again);
          ExpectSound(again, /*may_lose_states=*/false);
          Say(again,
              "CREATE SCHEMA afterwards USING m (MODULE a AS 'x'); WARM "
              "afterwards;");
        } catch (const Error& error) {
          ADD_FAILURE() << "after the fault: " << error.message();
        }
        WatchDisk("");
        fs::remove_all(database);
      }
    }
  }
  std::printf("%d runs; the fault came in %d, and an error in %d\n", run, came, with_error);
  EXPECT_GT(with_error, 0);
}

// The same under the real shell, by LD_PRELOAD.
TEST_F(DiskTest, TheShellAnswersOrSaysWhatFailed) {
  int answered = 0, refused = 0, run = 0;
  const std::string script =
      std::string(kAsk) + "; CREATE SCHEMA t USING m (MODULE a AS 'new words'); WARM t;";
  for (const std::string fault :
       {"read 3 5 1", "read 40 5 1", "read 5 0 1", "open 4 5 0", "open 9 5 1", "map 1 5 0",
        "map 1 5 1", "write 2 5 1", "write 9 28 1", "write 12 5 0", "sync 2 5 0", "sync 5 5 1",
        "name 1 5 1"}) {
    SCOPED_TRACE(fault);
    const fs::path database = folder_ / ("shell" + std::to_string(run++));
    CopyFolder(folder_ / "base", database);
    ChildOptions options;
    options.environment = {{"LD_PRELOAD", PROMPTDB_SIMULATED_DISK},
                           {"PROMPTDB_DISK_FOLDER", database.string()},
                           {"PROMPTDB_DISK_FAULT", fault},
                           {"HOME", folder_.path().string()}};
    const ChildResult result = RunChild(
        {PROMPTDB_PCSH, "--db", database.string(), "--format", "text", "-c", script}, options);
    EXPECT_LT(result.status, 128) << "ended by a signal: " << result.err;
    // A row that was printed is right.
    if (!result.out.empty()) {
      EXPECT_TRUE(result.out.starts_with(answer_)) << result.out;
    }
    const auto errors = [&] {
      int count = 0;
      for (size_t at = 0; (at = result.err.find("error: ", at)) != std::string::npos; ++at) ++count;
      return count;
    };
    if (result.status == 0) {
      EXPECT_NE(result.out, "");
      ++answered;
    } else {
      EXPECT_GE(errors(), 1) << result.err;
      EXPECT_NE(result.err.find("hint: "), std::string::npos) << result.err;
      ++refused;
    }
    Database again(database);
    ExpectSound(again, /*may_lose_states=*/false);
  }
  std::printf("%d answered, %d refused\n", answered, refused);
  EXPECT_GT(refused, 0);
}

// A table file of which the disk gives no more pages: reading it through its
// mapping is SIGBUS.
TEST_F(DiskTest, MappedPagesThatCannotBeReadCostStatesAlone) {
  for (const uint64_t left : {uint64_t{4096}, uint64_t{0}}) {
    const fs::path folder = folder_ / ("mapped" + std::to_string(left));
    CopyFolder(folder_ / "base", folder);
    {
      Database database(folder);
      std::vector<fs::path> tables;
      for (const Rocks::TableFile& table : database.rep().rocks.Tables()) {
        if (table.family == Family::kBlocks) tables.push_back(folder / table.name);
      }
      ASSERT_FALSE(tables.empty());
      for (const fs::path& table : tables) fs::resize_file(table, left);
      EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_);
      EXPECT_GT(database.rep().cache.stats().corrupt, 0);
      EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_);
      const RecordingSink check = Say(database, "CHECK DATABASE;");
      EXPECT_GT(std::get<int64_t>(check.rows.at(0)[3]), 0) << "damaged table files";
      EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_);
    }
  }
}

// ---- Power cuts
// --------------------------------------------------------------------------------

struct PowerCut {
  fs::path folder;
  size_t acknowledged = 0;  // statements
  std::string kept;         // what of the unsynced
};

class PowerCutTest : public DiskTest {
 protected:
  // Runs the workload, and cuts the power in about `cuts` places on the way.
  std::vector<PowerCut> RunAndCut(const std::string& durability, int cuts, std::mt19937& random) {
    const auto run = [&](const fs::path& folder, std::atomic<size_t>* acknowledged) {
      CopyFolder(folder_ / "base", folder);
      WatchDisk(folder);
      Database database(folder);
      Session session(&database);
      RecordingSink sink;
      session.Execute("SET durability = '" + durability + "';", sink);
      for (const Step& step : Workload()) {
        session.Execute(step.statement, sink);
        if (acknowledged != nullptr) ++*acknowledged;
      }
    };
    std::atomic<int64_t> changes = 0;
    OnDiskChange([&] { ++changes; });
    run(folder_ / (durability + "-counted"), nullptr);
    OnDiskChange({});
    WatchDisk("");
    std::vector<PowerCut> made;
    std::atomic<size_t> acknowledged = 0;
    const auto chance = static_cast<uint32_t>(std::max<int64_t>(1, changes / cuts));
    OnDiskChange([&] {
      if (random() % chance != 0) return;
      PowerCut cut;
      cut.acknowledged = acknowledged;
      cut.folder = folder_ / (durability + std::to_string(made.size()));
      const auto seed = static_cast<uint32_t>(random());
      cut.kept = seed % 3 == 0 ? "nothing" : "some";
      WriteWhatPowerLossLeaves(cut.folder, seed);
      made.push_back(cut);
    });
    run(folder_ / durability, &acknowledged);
    OnDiskChange({});
    WatchDisk("");
    std::printf("%s: %lld changes of the disk, %zu power cuts\n", durability.c_str(),
                static_cast<long long>(changes), made.size());
    return made;
  }

  // What the database holds after each number of statements.
  std::vector<Contents> History() const {
    std::vector<Contents> history = {base_};
    for (const Step& step : Workload()) {
      history.push_back(history.back());
      step.effect(history.back());
    }
    return history;
  }
};

TEST_F(PowerCutTest, WhatWasAcknowledgedSurvives) {
  std::mt19937 random(Seed());
  const std::vector<Contents> history = History();
  const std::vector<Step> steps = Workload();
  int64_t warm = 0;
  for (const PowerCut& cut :
       RunAndCut("sync", 10 * FromEnvironment("PROMPTDB_DISK_ROUNDS", 2), random)) {
    SCOPED_TRACE(cut.folder.filename().string() + " after " + std::to_string(cut.acknowledged) +
                 " statements, keeping " + cut.kept);
    try {
      Database database(cut.folder);
      const Contents found = Contents::Of(database);
      const size_t next = std::min(cut.acknowledged + 1, steps.size());
      EXPECT_TRUE(found == history[cut.acknowledged] || found == history[next]);
      // States that were told of are there: of the schema that was there from
      // the beginning, and of the one that was made last.
      for (size_t i = 0; i < cut.acknowledged; ++i) {
        if (!steps[i].statement.starts_with("WARM ")) continue;
        const std::string name = steps[i].statement.substr(5, steps[i].statement.size() - 6);
        if (!found.schemas.contains(name)) continue;
        EXPECT_EQ(std::get<int64_t>(Say(database, steps[i].statement).rows.at(0)[1]), 0) << name;
        ++warm;
      }
      ExpectSound(database, /*may_lose_states=*/false);
    } catch (const Error& error) {
      ADD_FAILURE() << error.message();
    }
    if (testing::Test::HasFailure()) break;
    fs::remove_all(cut.folder);
  }
  EXPECT_GT(warm, 0);
}

TEST_F(PowerCutTest, WithoutSyncsWholeStatementsAreLostFromTheEnd) {
  std::mt19937 random(Seed());
  const std::vector<Contents> history = History();
  int lost = 0;
  for (const PowerCut& cut :
       RunAndCut("async", 10 * FromEnvironment("PROMPTDB_DISK_ROUNDS", 2), random)) {
    SCOPED_TRACE(cut.folder.filename().string() + " after " + std::to_string(cut.acknowledged) +
                 " statements, keeping " + cut.kept);
    try {
      Database database(cut.folder);
      const Contents found = Contents::Of(database);
      bool is_prefix = false;
      for (size_t i = 0; i <= std::min(cut.acknowledged + 1, history.size() - 1); ++i) {
        is_prefix = is_prefix || found == history[i];
      }
      EXPECT_TRUE(is_prefix);
      if (found != history[cut.acknowledged]) ++lost;
      ExpectSound(database, /*may_lose_states=*/true);
      ExpectSound(database, /*may_lose_states=*/false);
    } catch (const Error& error) {
      ADD_FAILURE() << error.message();
    }
    if (testing::Test::HasFailure()) break;
    fs::remove_all(cut.folder);
  }
  std::printf("%d cuts lost statements\n", lost);
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace promptdb
