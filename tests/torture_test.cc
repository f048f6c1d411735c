// A database whose process is killed at random moments, again and again: it opens, what was
// acknowledged is there, every state is whole, and answers are those of no cache.
//
// PROMPTDB_TORTURE_ROUNDS sets how many times (15), PROMPTDB_SEED what happens.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "tests/chat_bench.h"
#include "tests/support/random_cases.h"

extern char** environ;

namespace promptdb {
namespace {

// Starts the child, kills it `delay` after its first line, and returns what it has written.
std::string WrittenUntilKilled(const std::string& folder, uint32_t seed,
                               std::chrono::microseconds delay) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  // Room for all that it writes, or it would wait for a reader.
  EXPECT_GT(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  std::string program = PROMPTDB_TORTURE_CHILD, path = folder, number = std::to_string(seed);
  char* arguments[] = {program.data(), path.data(), number.data(), nullptr};
  pid_t child = 0;
  const int spawned = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  EXPECT_EQ(spawned, 0);
  // Killing process 0 would kill us.
  if (spawned != 0) return "";
  std::string written;
  char buffer[1 << 16];
  ssize_t got = read(ends[0], buffer, 1);
  EXPECT_EQ(got, 1) << "the child ended before its first statement";
  if (got == 1) written.push_back(buffer[0]);
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  while ((got = read(ends[0], buffer, sizeof buffer)) > 0) {
    written.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  return written;
}

// What the database must hold by what the child has told.
class Expectation {
 public:
  // Returns the kind of statement that was running when the child was killed, or "none".
  std::string Read(const std::string& written) {
    std::istringstream lines(written);
    std::string stage, kind, name, running = "none", running_name;
    while (lines >> stage >> kind >> name) {
      if (stage == "try") {
        running = kind;
        running_name = name;
        continue;
      }
      running = "none";
      ++acknowledged_;
      if (kind == "create") schemas_.insert(name);
      if (kind == "drop" || kind == "rename") schemas_.erase(name);
      if (kind == "rename") schemas_.insert("r" + name);
      if (kind == "chat") ++turns_[name];
    }
    doubtful_.clear();
    if (running == "create" || running == "drop") doubtful_ = {running_name};
    if (running == "rename") doubtful_ = {running_name, "r" + running_name};
    return running;
  }

  void ExpectIn(Database& database) {
    std::set<std::string> there;
    for (const std::string& name : database.rep().SchemaNames()) there.insert(name);
    EXPECT_EQ(there.erase("base"), 1u);
    if (doubtful_.size() == 2) {
      // Renamed or not, but never both or neither.
      EXPECT_EQ(there.count(doubtful_[0]) + there.count(doubtful_[1]), 1u) << doubtful_[0];
    }
    std::set<std::string> sure_there = there, sure = schemas_;
    for (const std::string& name : doubtful_) {
      sure_there.erase(name);
      sure.erase(name);
    }
    EXPECT_EQ(sure_there, sure);
    schemas_ = there;
    // Turns that were told of are said; the last may be said without having been told of.
    for (const ChatDefinition& chat : database.rep().catalog.Chats()) {
      int& turns = turns_[chat.name];
      EXPECT_GE(static_cast<int>(chat.turns.size()), turns) << chat.name;
      EXPECT_LE(static_cast<int>(chat.turns.size()), turns + 1) << chat.name;
      turns = static_cast<int>(chat.turns.size());
    }
  }

  int acknowledged() const { return acknowledged_; }
  const std::set<std::string>& schemas() const { return schemas_; }

 private:
  std::set<std::string> schemas_;
  std::vector<std::string> doubtful_;
  std::map<std::string, int> turns_;
  int acknowledged_ = 0;
};

TEST(TortureTest, AProcessKilledAtAnyMomentLosesNothingThatItAcknowledged) {
  const int rounds = FromEnvironment("PROMPTDB_TORTURE_ROUNDS", 15);
  const auto seed = static_cast<uint32_t>(
      FromEnvironment("PROMPTDB_SEED", static_cast<int>(std::random_device{}() >> 1)));
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const TemporaryFolder folder("torture");
  const std::string model = (folder / "m.gguf").string(), path = (folder / "db").string();
  WriteGguf(TinyModel::WithLargeStates(), model, TensorDtype::kF32);
  {
    Database database(path);
    Say(database, "CREATE MODEL m FROM " + QuoteText(model) +
                      "; CREATE SCHEMA base USING m (MODULE a AS 'the base of chats');");
  }
  Expectation expectation;
  std::map<std::string, int> killed_in;
  int64_t states_checked = 0, blocks_checked = 0, cached_tokens = 0;
  for (int round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const std::string written = WrittenUntilKilled(path, static_cast<uint32_t>(round + 1),
                                                   std::chrono::microseconds(random() % 400'000));
    ++killed_in[expectation.Read(written)];

    Database database(path);
    expectation.ExpectIn(database);
    const RecordingSink check = Say(database, "CHECK DATABASE;");
    for (const std::vector<Value>& row : check.rows) {
      EXPECT_EQ(std::get<int64_t>(row[3]), 0) << std::get<std::string>(row[0]);
    }
    for (const std::string& notice : check.notices) {
      EXPECT_EQ(notice.find("damaged"), notice.npos) << notice;
    }
    states_checked += std::get<int64_t>(check.rows.at(2)[1]);
    blocks_checked += std::get<int64_t>(check.rows.at(3)[1]);
    std::vector<std::string> names(expectation.schemas().begin(), expectation.schemas().end());
    std::shuffle(names.begin(), names.end(), random);
    for (size_t i = 0; i < names.size() && i < 2; ++i) {
      const std::string ask = "SELECT GENERATE (max_tokens => 4, ignore_eos => on) FROM " +
                              names[i] + " USE a, b PROMPT 'so'";
      const RecordingSink cached = Say(database, ask + ";");
      EXPECT_EQ(TextOf(cached), TextOf(Say(database, ask + " WITH (cache = off);"))) << names[i];
      cached_tokens += CachedTokens(cached);
    }
  }
  std::printf(
      "%d rounds, %d statements acknowledged; %lld states of %lld blocks checked, %lld "
      "tokens from the cache\nkilled in",
      rounds, expectation.acknowledged(), static_cast<long long>(states_checked),
      static_cast<long long>(blocks_checked), static_cast<long long>(cached_tokens));
  for (const auto& [kind, count] : killed_in) std::printf(" %s: %d", kind.c_str(), count);
  std::printf("\n");
  EXPECT_GT(expectation.acknowledged(), 0);
  EXPECT_GT(states_checked, 0);
}

}  // namespace
}  // namespace promptdb
