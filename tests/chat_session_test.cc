// Chats among sessions, models and crashes: forks share their states, a turn is said whole or not
// at all, and no state is left over.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "tests/chat_bench.h"
#include "tests/support/expect_error.h"
#include "tests/support/killed_child.h"

namespace promptdb {
namespace {

// ---- Forks and ends ---------------------------------------------------------------------

TEST(ChatSessionTest, ForksShareStatesUntilTheyPart) {
  Bench bench(Tiny("llama", 1024));
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a, 'free';");
  bench.Run(
      "CONTINUE c (max_tokens => 4) PROMPT 'one'; CONTINUE c (max_tokens => 4) PROMPT 'two';");
  const size_t states = bench.StatesOnDisk();
  const StateCacheStats before = bench.cache().stats();
  bench.Run("FORK c AS d;");
  EXPECT_EQ(bench.StatesOnDisk(), states);
  EXPECT_EQ(bench.cache().stats().disk_bytes, before.disk_bytes);
  EXPECT_EQ(bench.cache().stats().writes, before.writes);
  EXPECT_EQ(bench.Chat("c").turns, bench.Chat("d").turns);

  // The same words make the same state, other words another one.
  bench.Run("CONTINUE c (max_tokens => 4) PROMPT 'three';");
  bench.Run("CONTINUE d (max_tokens => 4) PROMPT 'three';");
  EXPECT_EQ(bench.StatesOnDisk(), states + 1);
  bench.Run("CONTINUE d (max_tokens => 4) PROMPT 'four';");
  EXPECT_EQ(bench.StatesOnDisk(), states + 2);

  // The first to end takes nothing from the other; the last takes all.
  bench.Run("END CHAT c;");
  EXPECT_EQ(bench.StatesOnDisk(), states + 2);
  const ChatDefinition left = bench.Chat("d");
  const RecordingSink next = bench.Run("CONTINUE d (max_tokens => 4) PROMPT 'five';");
  EXPECT_EQ(CachedTokens(next), static_cast<int64_t>(TokensOf(left).size() - left.pending.size()));
  bench.ExpectNoStateIsLeftOver();
  bench.Run("END CHAT d;");
  for (const StateManifest& state : bench.cache().List()) EXPECT_FALSE(state.of_chat);
  EXPECT_FALSE(bench.cache().LastUnderLabel("chat c turn 1"));
  EXPECT_FALSE(bench.cache().LastUnderLabel("chat d turn 4"));
}

TEST(ChatSessionTest, ACanceledTurnWasNeverSaid) {
  Bench bench(Tiny("llama", 1024));
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a; CONTINUE c (max_tokens => 4) PROMPT 'one';");
  const ChatDefinition before = bench.Chat("c");
  const size_t states = bench.StatesOnDisk();
  RecordingSink sink;
  sink.on_piece = [&] { sink.is_canceled = true; };
  Session session(&bench.database());
  ExpectError(ErrorCode::kCanceled, {"stopped"}, [&] {
    session.Execute("CONTINUE c (max_tokens => 40, ignore_eos => on) PROMPT 'two';", sink);
  });
  EXPECT_EQ(bench.Chat("c"), before);
  EXPECT_EQ(bench.StatesOnDisk(), states);
  bench.Run("CONTINUE c (max_tokens => 4) PROMPT 'two';");
  EXPECT_EQ(bench.Chat("c").turns.size(), 2u);
}

TEST(ChatSessionTest, AChatInUseIsBusy) {
  Bench bench(Tiny("llama", 1024));
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a;");
  int tried = 0;
  RecordingSink sink;
  sink.on_piece = [&] {
    if (tried++ > 0) return;
    for (const char* statement : {"CONTINUE c PROMPT 'x';", "END CHAT c;", "BEGIN CHAT c FROM s;",
                                  "DROP MODEL m CASCADE;"}) {
      ExpectError(ErrorCode::kBusy, {"chat \"c\" is in use"}, [&] { bench.Run(statement); });
    }
    bench.Run("FORK c AS d; CONTINUE d (max_tokens => 2) PROMPT 'x';");
  };
  Session session(&bench.database());
  session.Execute("CONTINUE c (max_tokens => 8, ignore_eos => on) PROMPT 'one';", sink);
  EXPECT_GT(tried, 0);
  EXPECT_EQ(bench.Chat("c").turns.size(), 1u);
  EXPECT_EQ(bench.Chat("d").turns.size(), 1u);
}

TEST(ChatSessionTest, ManySessionsNeverMixAChat) {
  Bench bench(Tiny("llama", 4096));
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a;");
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&] {
      for (int step = 0; step < 12; ++step) {
        try {
          bench.Run("CONTINUE c (max_tokens => 2) PROMPT 'x';");
          ++done;
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kBusy) << error.message();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const ChatDefinition chat = bench.Chat("c");
  EXPECT_EQ(static_cast<int>(chat.turns.size()), done.load());
  EXPECT_GE(done.load(), 12);
  for (size_t i = 1; i < chat.turns.size(); ++i) {
    EXPECT_EQ(chat.turns[i].start,
              chat.turns[i - 1].start + static_cast<int>(chat.turns[i - 1].tokens.size()));
  }
  bench.ExpectNoStateIsLeftOver();
}

// ---- The model behind a chat -------------------------------------------------------------------

TEST(ChatSessionTest, OtherWeightsComputeTheStatesAgain) {
  TinyModel tiny = Tiny("llama", 1024);
  Bench bench(tiny);
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a; CONTINUE c (max_tokens => 4) PROMPT 'one';");
  const ChatDefinition before = bench.Chat("c");
  tiny.seed = 99;
  const std::string other = bench.path() + ".other";
  WriteGguf(tiny, other, TensorDtype::kF32);
  bench.Run("CREATE OR REPLACE MODEL m FROM " + QuoteText(other) + ";");
  const RecordingSink answer = bench.Run("CONTINUE c (max_tokens => 4) PROMPT 'two';");
  EXPECT_TRUE(
      std::any_of(answer.notices.begin(), answer.notices.end(), [](const std::string& notice) {
        return notice.find("has changed since chat \"c\"") != std::string::npos;
      }));
  EXPECT_EQ(CachedTokens(answer), 0);
  const ChatDefinition after = bench.Chat("c");
  EXPECT_EQ(after.turns[0].tokens, before.turns[0].tokens);
  EXPECT_NE(after.turns[0].state, before.turns[0].state);
  bench.ExpectNoStateIsLeftOver();
  const RecordingSink next = bench.Run("CONTINUE c (max_tokens => 4) PROMPT 'three';");
  EXPECT_TRUE(next.notices.empty());
  EXPECT_GT(CachedTokens(next), 0);
  const auto checkpoint = Checkpoint::Open(other);
  const SlowPass truth(*checkpoint, bench.Chat("c"), {});
  const std::vector<float> last = truth.Row(truth.tokens.size() - 2);
  EXPECT_EQ(std::max_element(last.begin(), last.end()) - last.begin(), truth.tokens.back());
}

TEST(ChatSessionTest, AnotherTokenizerIsRefused) {
  Bench bench(Tiny("llama", 1024));
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a; CONTINUE c (max_tokens => 4) PROMPT 'one';");
  const ChatDefinition before = bench.Chat("c");
  const std::string other = bench.path() + ".other";
  WriteGguf(Tiny("qwen2", 1024), other, TensorDtype::kF32);
  bench.Run("CREATE OR REPLACE MODEL m FROM " + QuoteText(other) + ";");
  ExpectError(ErrorCode::kInvalidArgument, {"another tokenizer", "chat \"c\""},
              [&] { bench.Run("CONTINUE c PROMPT 'two';"); });
  EXPECT_EQ(bench.Chat("c"), before);
}

// ---- Crashes -----------------------------------------------------------------------------------

constexpr char kTurn[] = "CONTINUE c (max_tokens => 3, ignore_eos => on) PROMPT 'go on';";

// Run by the next test in a process of its own, which is killed: continues the chat, and writes the
// number of each turn to the pipe once it is said.
TEST(ChatSessionTest, DISABLED_ContinuesUntilKilled) {
  const char* folder = std::getenv("PROMPTDB_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  Database database(folder);
  for (int turn = 0; turn < 200; ++turn) {
    Say(database, kTurn);
    const auto told = static_cast<uint16_t>(ChatNamed(database, "c").turns.size());
    if (write(3, &told, sizeof(told)) != sizeof(told)) return;
  }
}

TEST(ChatSessionTest, AProcessKilledInMidTurnLeavesTheLastTurnThatWasSaid) {
  const uint32_t seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const TemporaryFolder folder("killed");
  const std::string model = (folder / "m.gguf").string();
  WriteGguf(Tiny("llama", 16384), model, TensorDtype::kF32);
  const auto begin = [&](Database& database) {
    Say(database, "CREATE MODEL m FROM " + QuoteText(model) + ";" + kSchema +
                      "BEGIN CHAT c FROM s USE a, 'free';");
  };
  const std::string path = (folder / "db").string();
  {
    Database database(path);
    begin(database);
  }
  ASSERT_EQ(setenv("PROMPTDB_TEST_FOLDER", path.c_str(), 1), 0);
  size_t turns = 0, lost_states = 0;
  for (int round = 0; round < 8; ++round) {
    std::vector<uint16_t> told;
    ASSERT_NO_FATAL_FAILURE(RunUntilKilled("ChatSessionTest.DISABLED_ContinuesUntilKilled",
                                           std::chrono::microseconds(random() % 60'000), &told));

    Database database(path);
    const ChatDefinition chat = ChatNamed(database, "c");
    // The turn after the last that was told may have been said, or not.
    ASSERT_GE(chat.turns.size(), told.back());
    ASSERT_LE(chat.turns.size(), told.back() + 1u);
    turns = chat.turns.size();
    std::set<Digest> named;
    for (const auto* segments : {&chat.opening, &chat.turns}) {
      for (const ChatSegment& segment : *segments) {
        named.insert(segment.state);
        // The states came first.
        if (database.rep().cache.Probe(segment.state).tier == Tier::kMiss) ++lost_states;
      }
    }
    for (const Digest& state : database.rep().cache.ChatStates()) {
      EXPECT_TRUE(named.contains(state)) << "a state is left over";
    }
    EXPECT_EQ(database.rep().cache.stats().corrupt, 0);
  }
  EXPECT_EQ(lost_states, 0u);
  // What was said is what is said without crashes.
  std::vector<TokenId> tokens;
  {
    Database database(path);
    tokens = TokensOf(ChatNamed(database, "c"));
  }
  Database calm(folder / "calm");
  begin(calm);
  for (size_t turn = 0; turn < turns; ++turn) Say(calm, kTurn);
  EXPECT_EQ(TokensOf(ChatNamed(calm, "c")), tokens);
  std::printf("%zu turns over 8 kills\n", turns);
}

}  // namespace
}  // namespace promptdb
