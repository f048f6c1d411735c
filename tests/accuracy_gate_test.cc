// ANALYZE MODEL, and the notice of queries whose way of reuse was measured to lose too much. The
// answers that count as right are the model's own with reuse = none, so that a model with random
// weights is always right with it, and hardly ever in modular reuse.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/chat_bench.h"

namespace promptdb {
namespace {

constexpr char kDocuments[] =
    "MODULE a AS 'The river Ombra is long.\n', MODULE b AS 'Tarin Bosk is the mayor.\n', "
    "MODULE c AS 'A lamp costs nine coins.\n'";
constexpr char kAsk[] = "SELECT GENERATE (max_tokens => 2) FROM s USE a, b PROMPT 'Who?'";

class AccuracyGateTest : public testing::Test {
 protected:
  AccuracyGateTest() : bench_(Tiny("llama", 512)) {
    bench_.Run("CREATE SCHEMA s USING m (" + std::string(kDocuments) + ");");
  }

  // Questions whose right answers are those of reuse = none, or nothing that could be said.
  std::string WriteQuestions(bool are_answerable) {
    const std::string path = (folder_ / "q.jsonl").string();
    std::ofstream file(path);
    for (const char* question : {"Who?", "Where?", "What costs nine coins?", "Is it long?"}) {
      const std::string prompt = std::string("Question: ") + question + "\nAnswer:";
      const std::string answer =
          TextOf(bench_.Run("SELECT GENERATE (max_tokens => 24, stop => '\n') FROM s USE a, b, c "
                            "PROMPT " +
                            QuoteText(prompt) + " WITH (reuse = none)"));
      const nlohmann::json line = {
          {"input", question},
          {"documents",
           {"The river Ombra is long.", "Tarin Bosk is the mayor.\n", "A lamp costs nine coins."}},
          {"answers", {are_answerable ? answer : "no random model says this"}}};
      file << line.dump() << "\n";
    }
    return QuoteText(path);
  }

  std::vector<std::string> NoticesOf(const std::string& statements) {
    return bench_.Run(statements).notices;
  }

  void ExpectWarning(const std::string& statements, const std::string& part) {
    const auto notices = NoticesOf(statements);
    ASSERT_EQ(notices.size(), 1u) << statements;
    EXPECT_NE(notices[0].find(part), std::string::npos) << notices[0];
  }

  TemporaryFolder folder_{"gate"};
  Bench bench_;
};

using Names = std::vector<std::string>;

TEST_F(AccuracyGateTest, WarnsByExactMatch) {
  EXPECT_EQ(NoticesOf(kAsk), Names());
  const RecordingSink analyzed =
      bench_.Run("ANALYZE MODEL m FROM " + WriteQuestions(true) + " WITH (questions = 3)");
  EXPECT_EQ(analyzed.notices, Names());
  ASSERT_EQ(analyzed.rows.size(), 5u);
  for (const std::vector<Value>& row : analyzed.rows) {
    const auto mode = std::get<std::string>(row[0]);
    EXPECT_EQ(std::get<std::string>(row[1]), "f32");
    EXPECT_EQ(std::get<int64_t>(row[2]), 3);
    if (mode == "modular" || mode == "portable") {
      EXPECT_LT(std::get<double>(row[3]), 80);
      EXPECT_GT(std::get<double>(row[6]), 0.01);
    } else {
      EXPECT_EQ(std::get<double>(row[3]), 100) << mode;
      EXPECT_EQ(std::get<double>(row[6]), 0) << mode;
    }
    EXPECT_TRUE(IsNull(row[8]));
  }

  const std::string warning =
      "reuse = 'none' 100.0 % (accuracy_tolerance is 2); WITH (reuse = "
      "'exact')";
  ExpectWarning(kAsk, warning);
  ExpectWarning("SELECT GENERATE (max_tokens => 2) FROM s USE a, b PROMPT IN ('Who?', 'Where?')",
                warning);
  // What loses nothing is not warned of: another way of reuse, and a prompt that sees all.
  EXPECT_EQ(NoticesOf(std::string(kAsk) + " WITH (reuse = exact)"), Names());
  EXPECT_EQ(NoticesOf(std::string(kAsk) + " WITH (reuse = none)"), Names());
  EXPECT_EQ(NoticesOf("SELECT GENERATE (max_tokens => 2) FROM s USE b PROMPT 'Who?'"), Names());
  bench_.Run("CREATE SCHEMA t USING m (" + std::string(kDocuments) +
             ", SCAFFOLD both (a, b)); CREATE SCHEMA p USING m (MODULE a (x TOKENS(2)) AS 'It is "
             "{x}.');");
  EXPECT_EQ(NoticesOf("SELECT GENERATE (max_tokens => 2) FROM t USE a, b PROMPT 'Who?'"), Names());
  ExpectWarning("SELECT GENERATE (max_tokens => 2) FROM t USE a, b, c PROMPT 'Who?'", warning);
  ExpectWarning("SELECT GENERATE (max_tokens => 2) FROM p USE a(x => 'q') PROMPT 'Who?'", warning);
  // Only answers are warned of.
  EXPECT_EQ(NoticesOf("SELECT TOKENS FROM s USE a, b PROMPT 'Who?'"), Names());
  EXPECT_EQ(NoticesOf("EXPLAIN " + std::string(kAsk)), Names());

  // The setting is the session's.
  EXPECT_EQ(NoticesOf("SET accuracy_tolerance = 100; " + std::string(kAsk)), Names());
  ExpectWarning("SET accuracy_tolerance = 12.5; " + std::string(kAsk),
                "(accuracy_tolerance is 12.5)");
  ExpectWarning("SET accuracy_tolerance = 100; RESET accuracy_tolerance; " + std::string(kAsk),
                warning);

  // A chat whose opening loses something does so in every turn.
  bench_.Run("BEGIN CHAT k FROM s USE a, b; BEGIN CHAT l FROM s USE a");
  ExpectWarning("CONTINUE k (max_tokens => 2) PROMPT 'Who?'", warning);
  ExpectWarning("CONTINUE k (max_tokens => 2) PROMPT 'Who?'", warning);
  EXPECT_EQ(NoticesOf("CONTINUE l (max_tokens => 2) PROMPT 'Who?'"), Names());
  EXPECT_EQ(NoticesOf("CONTINUE l (max_tokens => 2) PROMPT 'Who?'"), Names());

  bench_.Restart();
  ExpectWarning(kAsk, warning);
}

TEST_F(AccuracyGateTest, WarnsByDivergenceWhereNothingIsAnswered) {
  bench_.Run("ANALYZE MODEL m FROM " + WriteQuestions(false));
  ExpectWarning(kAsk, "nats of KL divergence away from reuse = 'none' (kl_tolerance is 0.1); WITH");
  EXPECT_EQ(NoticesOf("SET kl_tolerance = 100; " + std::string(kAsk)), Names());
  EXPECT_EQ(NoticesOf("SET kl_tolerance = 100; SET accuracy_tolerance = 0; " + std::string(kAsk)),
            Names());
}

TEST_F(AccuracyGateTest, OtherWeightsVoidIt) {
  bench_.Run("ANALYZE MODEL m FROM " + WriteQuestions(false));
  EXPECT_EQ(NoticesOf(kAsk).size(), 1u);
  const auto is_current = [&] {
    return std::get<bool>(bench_.Run("SELECT current FROM pc_accuracy").rows.at(0)[0]);
  };
  EXPECT_TRUE(is_current());
  // The same weights with other states were not measured.
  bench_.Run("CREATE OR REPLACE MODEL m FROM " + QuoteText(bench_.path()) +
             " WITH (kv_dtype = 'bf16')");
  EXPECT_EQ(NoticesOf(kAsk), Names());
  EXPECT_FALSE(is_current());
  bench_.Run("CREATE OR REPLACE MODEL m FROM " + QuoteText(bench_.path()));
  EXPECT_EQ(NoticesOf(kAsk).size(), 1u);
  EXPECT_TRUE(is_current());
  // Files that change under a model that is open.
  TinyModel other = Tiny("llama", 512);
  other.seed = 77;
  WriteGguf(other, bench_.path(), TensorDtype::kF32);
  const auto notices = NoticesOf(kAsk);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_NE(notices[0].find("have changed"), std::string::npos) << notices[0];
  EXPECT_EQ(NoticesOf(kAsk), Names());
  EXPECT_FALSE(is_current());
  bench_.Run("ANALYZE MODEL m FROM " + WriteQuestions(false));
  EXPECT_EQ(NoticesOf(kAsk).size(), 1u);
  bench_.Run("DROP MODEL m CASCADE");
  EXPECT_TRUE(bench_.Run("SELECT * FROM pc_accuracy").rows.empty());
}

TEST_F(AccuracyGateTest, NothingIsKeptOfAMeasurementThatIsStopped) {
  const std::string questions = WriteQuestions(true);
  RecordingSink sink;
  sink.is_canceled = true;
  EXPECT_THROW(Session(&bench_.database()).Execute("ANALYZE MODEL m FROM " + questions, sink),
               Error);
  EXPECT_TRUE(bench_.Run("SELECT * FROM pc_accuracy").rows.empty());
}

}  // namespace
}  // namespace promptdb
