// SELECT LOGPROBS and EMBEDDING against the slow reference.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "executor/reference.h"
#include "executor/session.h"
#include "parser/parser.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

class RowSink : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>&) override { rows.clear(); }
  void OnRow(const std::vector<Value>& row) override { rows.push_back(row); }

  std::vector<std::vector<Value>> rows;
};

// A prompt that sees all before it, so that its tokens, in order, are all that the reference needs.
constexpr char kPrompt[] =
    " FROM s USE a, c PROMPT 'and what is green in the old city?' WITH (reuse = 'exact')";

class InspectTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const TinyModel tiny = TinyModel::Of(GetParam());
    const std::string path = (folder_ / "m.gguf").string();
    WriteGguf(tiny, path, TensorDtype::kF32);
    checkpoint_ = Checkpoint::Open(path);
    database_ = std::make_unique<Database>(folder_ / "db");
    session_ = std::make_unique<Session>(database_.get());
    Rows("CREATE MODEL m FROM " + QuoteText(path) +
         "; CREATE SCHEMA s USING m (TEXT 'The river. ', MODULE a AS 'An old city. ', "
         "MODULE b AS 'A long gap, where nothing is used. ', MODULE c AS 'Hot. ');");
    for (const std::vector<Value>& row : Rows("SELECT TOKENS" + std::string(kPrompt))) {
      positions_.push_back(static_cast<int32_t>(std::get<int64_t>(row[0])));
      tokens_.push_back(static_cast<int32_t>(std::get<int64_t>(row[1])));
    }
    logits_ = ReferenceForward(*checkpoint_, tokens_, positions_,
                               CausalMask(static_cast<int>(tokens_.size())));
  }

  std::vector<std::vector<Value>> Rows(const std::string& text) {
    RowSink sink;
    session_->Execute(text, sink);
    return sink.rows;
  }

  // By the reference, after token `index`.
  double Logprob(size_t index, int32_t token) const {
    const auto vocab = static_cast<size_t>(checkpoint_->config().vocab);
    double sum = 0;
    for (size_t i = 0; i < vocab; ++i) sum += std::exp(double{logits_[index * vocab + i]});
    return logits_[index * vocab + static_cast<size_t>(token)] - std::log(sum);
  }

  std::vector<double> Embedding(const std::string& options) {
    const auto rows = Rows("SELECT EMBEDDING (" + options + ")" + kPrompt);
    EXPECT_EQ(rows.size(), 1u);
    const auto values = nlohmann::json::parse(std::get<std::string>(rows.at(0).at(0)));
    EXPECT_EQ(values.size(), static_cast<size_t>(std::get<int64_t>(rows[0][1])));
    return values.get<std::vector<double>>();
  }

  TemporaryFolder folder_{"inspect"};
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Session> session_;
  std::vector<int32_t> tokens_, positions_;
  std::vector<float> logits_;  // [tokens, vocab]
};

TEST_P(InspectTest, LogprobsAreTheReferences) {
  const auto rows = Rows("SELECT LOGPROBS (top => 3)" + std::string(kPrompt));
  ASSERT_EQ(rows.size(), tokens_.size() + 1);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(rows[0][4]));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(rows[0][5]));
  for (size_t i = 1; i < rows.size(); ++i) {
    if (i < tokens_.size()) {
      EXPECT_NEAR(std::get<double>(rows[i][4]), Logprob(i - 1, tokens_[i]), 1e-4) << i;
    } else {
      EXPECT_TRUE(std::holds_alternative<std::monostate>(rows[i][1]));
    }
    const auto top = nlohmann::json::parse(std::get<std::string>(rows[i][5]));
    ASSERT_EQ(top.size(), 3u);
    double before = 0;
    for (const auto& entry : top) {
      const double logprob = entry["logprob"].get<double>();
      EXPECT_NEAR(logprob, Logprob(i - 1, entry["id"].get<int32_t>()), 1e-4) << i;
      EXPECT_LE(logprob, before);
      before = logprob;
    }
    // No token is likelier than the first of them.
    for (int32_t token = 0; token < checkpoint_->config().vocab; ++token) {
      EXPECT_LE(Logprob(i - 1, token), top[0]["logprob"].get<double>() + 1e-4);
    }
  }
}

// The output head over a hidden state gives the logits that the reference has there.
TEST_P(InspectTest, EmbeddingsAreTheReferences) {
  const auto vocab = static_cast<size_t>(checkpoint_->config().vocab);
  const auto dim = static_cast<size_t>(checkpoint_->config().dim);
  const TensorView* head = checkpoint_->Find("output.weight");
  if (head == nullptr) head = &checkpoint_->Get("token_embd.weight");
  std::vector<float> weights(vocab * dim);
  CopyAsFloat(*head, weights);
  const auto head_of = [&](const std::vector<double>& hidden, size_t token) {
    double sum = 0;
    for (size_t i = 0; i < dim; ++i) sum += weights[token * dim + i] * hidden[i];
    return sum;
  };

  const std::vector<double> last = Embedding("normalize => off");
  const std::vector<double> from_cache = Embedding("normalize => off");
  const std::vector<double> mean = Embedding("pooling => mean, normalize => off");
  ASSERT_EQ(last.size(), dim);
  for (size_t token = 0; token < vocab; ++token) {
    const size_t rows = tokens_.size();
    EXPECT_NEAR(head_of(last, token), logits_[(rows - 1) * vocab + token], 1e-3);
    EXPECT_NEAR(head_of(from_cache, token), logits_[(rows - 1) * vocab + token], 1e-3);
    double sum = 0;
    for (size_t row = 0; row < rows; ++row) sum += logits_[row * vocab + token];
    EXPECT_NEAR(head_of(mean, token), sum / static_cast<double>(rows), 1e-3);
  }

  const std::vector<double> unit = Embedding("normalize => on");
  double square = 0, length = 0;
  for (size_t i = 0; i < dim; ++i) {
    square += unit[i] * unit[i];
    length += last[i] * last[i];
  }
  EXPECT_NEAR(square, 1, 1e-6);
  for (size_t i = 0; i < dim; ++i) EXPECT_NEAR(unit[i], last[i] / std::sqrt(length), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Architectures, InspectTest, testing::Values("llama", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace promptdb
