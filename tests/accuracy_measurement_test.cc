// What the ways of reuse change, against the slow reference.
#include "executor/accuracy_measurement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "accuracy/answer_scores.h"
#include "executor/reference.h"
#include "tests/chat_bench.h"

namespace promptdb {
namespace {

class SilentProgress : public ProgressListener {
 public:
  void OnProgress(std::string_view, int64_t done, int64_t total, std::string_view) override {
    last_done = done;
    last_total = total;
  }
  bool IsCanceled() const override { return last_done >= cancel_at; }

  int64_t last_done = 0;
  int64_t last_total = 0;
  int64_t cancel_at = INT64_MAX;
};

AccuracyTask Questions() {
  return {
      {"The river Ombra is long.\n", "Tarin Bosk is the mayor.\n", "A lamp costs nine coins.\n"},
      {{"Question: Who is the mayor?\nAnswer:", {"Tarin Bosk", "Tarin"}},
       {"Question: What costs nine coins?\nAnswer:", {"a lamp"}}}};
}

// The prompt's tokens by what SELECT TOKENS says, and one slow pass over them and what follows.
class SlowPrompt {
 public:
  SlowPrompt(const AccuracyTask& task, const AccuracyProbe& probe, const std::string& path)
      : checkpoint_(Checkpoint::Open(path)) {
    const TemporaryFolder folder("slow");
    Database database(folder / "db");
    std::string parts, use;
    for (size_t i = 0; i < task.documents.size(); ++i) {
      const std::string name = "m" + std::to_string(i);
      parts += (i > 0 ? ", MODULE " : "MODULE ") + name + " AS " + QuoteText(task.documents[i]);
      use += (i > 0 ? ", " : "") + name;
    }
    Say(database,
        "CREATE MODEL m FROM " + QuoteText(path) + "; CREATE SCHEMA s USING m (" + parts + ");");
    const RecordingSink sink =
        Say(database, "SELECT TOKENS FROM s USE " + use + " PROMPT " + QuoteText(probe.prompt));
    for (const std::vector<Value>& row : sink.rows) {
      positions_.push_back(static_cast<int32_t>(std::get<int64_t>(row[0])));
      tokens_.push_back(static_cast<int32_t>(std::get<int64_t>(row[1])));
      parts_.push_back(std::get<std::string>(row[3]));
    }
    tokenizer_ = Tokenizer::FromGguf(*checkpoint_->gguf_vocabulary());
  }

  // Logits after every token; `more` follows the prompt. Under the block mask of modular reuse, or
  // causal.
  std::vector<std::vector<double>> Logprobs(bool modular, const std::vector<int32_t>& more) const {
    std::vector<int32_t> tokens = tokens_, positions = positions_;
    std::vector<std::string> parts = parts_;
    for (const int32_t token : more) {
      tokens.push_back(token);
      positions.push_back(positions.back() + 1);
      parts.emplace_back("(prompt)");
    }
    AttentionMask mask = CausalMask(static_cast<int>(tokens.size()));
    for (size_t i = 0; modular && i < tokens.size(); ++i) {
      if (parts[i] == "(prompt)") continue;
      for (size_t j = 0; j < i; ++j) mask[i][j] = parts[i] == parts[j] || parts[j] == "(bos)";
    }
    const std::vector<float> logits = ReferenceForward(*checkpoint_, tokens, positions, mask);
    const size_t vocab = logits.size() / tokens.size();
    std::vector<std::vector<double>> all;
    for (size_t row = 0; row < tokens.size(); ++row) {
      double sum = 0;
      for (size_t i = 0; i < vocab; ++i) sum += std::exp(double{logits[row * vocab + i]});
      all.emplace_back();
      for (size_t i = 0; i < vocab; ++i) {
        all.back().push_back(logits[row * vocab + i] - std::log(sum));
      }
    }
    return all;
  }

  // The greedy answer under the causal mask, up to a line break or an end token, which is in it.
  std::vector<int32_t> Answer(int max_tokens) const {
    std::vector<int32_t> answer;
    while (static_cast<int>(answer.size()) < max_tokens) {
      const std::vector<double> last = Logprobs(false, answer).back();
      const auto token =
          static_cast<int32_t>(std::max_element(last.begin(), last.end()) - last.begin());
      answer.push_back(token);
      if (tokenizer_->IsEnd(token) || tokenizer_->TokenBytes(token).find('\n') != std::string::npos)
        break;
    }
    return answer;
  }

  const std::vector<int32_t>& tokens() const { return tokens_; }
  size_t first_of_prompt() const {
    return static_cast<size_t>(std::find(parts_.begin(), parts_.end(), "(prompt)") -
                               parts_.begin());
  }

 private:
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<int32_t> tokens_, positions_;
  std::vector<std::string> parts_;
};

double Divergence(const std::vector<double>& p, const std::vector<double>& q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

const AccuracyRow& RowOf(const std::vector<AccuracyRow>& rows, const std::string& mode,
                         const std::string& kv_dtype) {
  for (const AccuracyRow& row : rows) {
    if (row.mode == mode && row.kv_dtype == kv_dtype) return row;
  }
  throw std::out_of_range(mode + " " + kv_dtype);
}

class AccuracyMeasurementTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    TinyModel tiny = TinyModel::Of(GetParam());
    tiny.context = 512;
    path_ = (folder_ / "m.gguf").string();
    WriteGguf(tiny, path_, TensorDtype::kF32);
    ModelDefinition definition;
    definition.name = "m";
    definition.path = path_;
    definition.dtype = "stored";
    definition.kv_dtype = "bf16";
    definition.chat_template = "plain";
    model_ = std::make_unique<OpenModel>(definition, /*devices=*/nullptr, /*progress=*/nullptr);
  }

  std::vector<AccuracyRow> Measure(const AccuracyTask& task, const AccuracyOptions& options) {
    return MeasureAccuracy(*model_, {task}, options, progress_);
  }

  TemporaryFolder folder_{"accuracy"};
  std::string path_;
  std::unique_ptr<OpenModel> model_;
  SilentProgress progress_;
};

TEST_P(AccuracyMeasurementTest, DivergenceIsTheReferences) {
  constexpr int kMaxTokens = 6;
  const AccuracyTask task = Questions();
  double kl = 0, first_kl = 0;
  int64_t tokens = 0;
  for (const AccuracyProbe& probe : task.probes) {
    const SlowPrompt slow(task, probe, path_);
    const std::vector<int32_t> answer = slow.Answer(kMaxTokens);
    const auto p = slow.Logprobs(false, answer), q = slow.Logprobs(true, answer);
    for (size_t i = 0; i < answer.size(); ++i) {
      const size_t row = slow.tokens().size() - 1 + i;
      const double here = Divergence(p[row], q[row]);
      kl += here;
      if (i == 0) first_kl += here;
      ++tokens;
    }
  }
  kl /= static_cast<double>(tokens);
  first_kl /= 2;

  AccuracyOptions options;
  options.max_tokens = kMaxTokens;
  const auto rows = Measure(task, options);
  ASSERT_EQ(rows.size(), 20u);
  EXPECT_EQ(progress_.last_done, 40);
  EXPECT_EQ(progress_.last_total, 40);
  const AccuracyRow& modular = RowOf(rows, "modular", "f32");
  EXPECT_EQ(modular.questions, 2);
  EXPECT_EQ(modular.tokens, tokens);
  EXPECT_GT(kl, 1e-4) << "the reference itself sees no difference";
  EXPECT_NEAR(modular.kl, kl, 1e-5 + kl * 1e-3);
  EXPECT_NEAR(modular.first_kl, first_kl, 1e-5 + first_kl * 1e-3);
  EXPECT_FALSE(modular.perplexity.has_value());
  // Where all is seen, nothing is lost but to rounding.
  for (const char* mode : {"none", "exact", "scaffold"}) {
    EXPECT_LT(RowOf(rows, mode, "f32").kl, 1e-7) << mode;
    EXPECT_LT(RowOf(rows, mode, "bf16").kl, kl / 10) << mode;
    EXPECT_GT(RowOf(rows, mode, "bf16").kl, 0) << mode;
  }
  // Each dtype loses more than the wider one, where its states are stored.
  EXPECT_GT(RowOf(rows, "exact", "int8").kl, RowOf(rows, "exact", "bf16").kl);
  EXPECT_GT(RowOf(rows, "exact", "int4").kl, RowOf(rows, "exact", "int8").kl);
  std::printf("[ %s ] modular KL %.6f nats by the reference, %.6f measured, %.6f in bf16\n",
              GetParam(), kl, modular.kl, RowOf(rows, "modular", "bf16").kl);
}

TEST_P(AccuracyMeasurementTest, TextsAreReadTokenByToken) {
  const AccuracyTask task = {
      {"Once upon a time there was a fox. ", "The fox had a red hat. ", "It was a big hat. "},
      {{"One day the fox lost the hat and was sad.", {}}}};
  const SlowPrompt slow(task, task.probes[0], path_);
  const auto p = slow.Logprobs(false, {}), q = slow.Logprobs(true, {});
  double kl = 0, logprob = 0, modular_logprob = 0;
  int64_t tokens = 0;
  for (size_t i = slow.first_of_prompt(); i + 1 < slow.tokens().size(); ++i) {
    const auto next = static_cast<size_t>(slow.tokens()[i + 1]);
    kl += Divergence(p[i], q[i]);
    logprob += p[i][next];
    modular_logprob += q[i][next];
    ++tokens;
  }
  const auto count = static_cast<double>(tokens);
  AccuracyOptions options;
  options.modes = {AccuracyMode::kModular, AccuracyMode::kNone};
  options.kv_dtypes = {KvDtype::kF32};
  const auto rows = Measure(task, options);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].mode, "modular");
  EXPECT_EQ(rows[0].tokens, tokens);
  EXPECT_NEAR(rows[0].kl, kl / count, 1e-5 + kl / count * 1e-3);
  EXPECT_NEAR(std::log(*rows[0].perplexity), -modular_logprob / count, 1e-4);
  EXPECT_NEAR(std::log(*rows[1].perplexity), -logprob / count, 1e-4);
  EXPECT_FALSE(rows[0].exact_match.has_value());
}

// The scores are those of the answers, which are those that a user's query gives.
TEST_P(AccuracyMeasurementTest, AnswersAreThoseOfQueries) {
  const AccuracyTask task = Questions();
  AccuracyOptions options;
  options.max_tokens = 8;
  options.kv_dtypes = {KvDtype::kBf16};
  std::map<std::pair<AccuracyMode, std::string>, std::string> answers;
  options.on_answer = [&](const ProbeAnswer& answer) {
    answers[{answer.mode, answer.probe.prompt}] = answer.text;
  };
  const auto rows = Measure(task, options);

  Database database(folder_ / "db");
  std::string parts, names;
  for (size_t i = 0; i < task.documents.size(); ++i) {
    const std::string name = "m" + std::to_string(i);
    parts += "MODULE " + name + " AS " + QuoteText(task.documents[i]) + ", ";
    names += (i > 0 ? ", " : "") + name;
  }
  Say(database, "CREATE MODEL m FROM " + QuoteText(path_) + " WITH (kv_dtype = 'bf16');");
  for (const AccuracyMode mode : AllAccuracyModes()) {
    const bool is_scaffold = mode == AccuracyMode::kScaffold;
    const bool is_portable = mode == AccuracyMode::kPortable;
    Say(database, std::string("CREATE OR REPLACE SCHEMA s USING m ") +
                      (is_portable ? "WITH (portable = on) (" : "(") + parts + "TEXT ''" +
                      (is_scaffold ? ", SCAFFOLD all_three (" + names + ")" : "") + ");");
    double f1 = 0;
    for (const AccuracyProbe& probe : task.probes) {
      const std::string reuse =
          is_scaffold || is_portable ? "modular" : std::string(AccuracyModeName(mode));
      const RecordingSink sink =
          Say(database, "SELECT GENERATE (max_tokens => 8, stop => '\n') FROM s USE " + names +
                            " PROMPT " + QuoteText(probe.prompt) + " WITH (reuse = " + reuse + ")");
      EXPECT_EQ((answers[{mode, probe.prompt}]), TextOf(sink)) << AccuracyModeName(mode);
      f1 += ScoreAnswer(TextOf(sink), probe.answers).f1;
    }
    EXPECT_DOUBLE_EQ(*RowOf(rows, std::string(AccuracyModeName(mode)), "bf16").f1, 50 * f1);
  }
}

TEST_P(AccuracyMeasurementTest, StopsWhenAskedTo) {
  progress_.cancel_at = 3;
  try {
    Measure(Questions(), {});
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCanceled);
    EXPECT_FALSE(error.range().has_value());
  }
  EXPECT_EQ(progress_.last_done, 3);
  // Nothing is left of the scratch database.
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::temp_directory_path())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("promptdb-accuracy-" +
                                                              std::to_string(getpid())));
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, AccuracyMeasurementTest,
                         testing::Values("llama", "falcon", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace promptdb
