// The rows of PROMPT IN, which are computed together, against the same queries one by one.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "executor/database.h"
#include "executor/session.h"
#include "parser/parser.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

// The rows of all statements since the last Forget(), times left out.
class RowsSink : public QuietSink {
 public:
  void OnRow(const std::vector<Value>& values) override {
    if (values.size() > 5) rows.emplace_back(values.begin(), values.begin() + 5);  // not WARM's
  }
  bool IsCanceled() const override { return cancels && ++asked > 20; }

  std::vector<std::vector<Value>> rows;
  bool cancels = false;
  mutable int asked = 0;
};

class PromptRows : public testing::Test {
 protected:
  PromptRows() {
    TinyModel model;
    model.context = 2048;
    WriteGguf(model, folder_ / "m.gguf", TensorDtype::kF32);
    session_.Execute("CREATE MODEL m FROM " + QuoteText((folder_ / "m.gguf").string()) +
                         "; CREATE SCHEMA s USING m (TEXT 'Read: ', MODULE a AS " +
                         QuoteText(Words(300)) + ", MODULE b AS 'A sign by the road.');",
                     sink_);
  }

  // Words of the model's vocabulary and others, of many lengths.
  std::string Words(int count) {
    static constexpr const char* kWords[] = {"the",    "traveller", "walks", "Plan", "42",
                                             "Where?", "Zürich",    "is",    "some", "bread"};
    std::string text;
    for (int i = 0; i < count; ++i) text += std::string(i > 0 ? " " : "") + kWords[random_() % 10];
    return text;
  }

  std::vector<std::string> Prompts(int count) {
    std::vector<std::string> prompts;
    for (int i = 0; i < count; ++i) prompts.push_back(Words(1 + static_cast<int>(random_() % 12)));
    return prompts;
  }

  std::vector<std::vector<Value>> Run(const std::string& options, const std::string& use,
                                      const std::vector<std::string>& prompts, bool together) {
    sink_.rows.clear();
    std::string list;
    for (const std::string& prompt : prompts) {
      if (together) {
        list += (list.empty() ? "" : ", ") + QuoteText(prompt);
      } else {
        session_.Execute(
            "SELECT GENERATE (" + options + ") FROM s " + use + " PROMPT " + QuoteText(prompt),
            sink_);
      }
    }
    if (together) {
      session_.Execute(
          "SELECT GENERATE (" + options + ") FROM s " + use + " PROMPT IN (" + list + ")", sink_);
    }
    return sink_.rows;
  }

  // Not a new seed each time: where two tokens are as likely, the order of sums decides.
  std::mt19937 random_{19};
  TemporaryFolder folder_{"prompt_rows"};
  RowsSink sink_;
  Database database_{folder_ / "db"};
  Session session_{&database_};
};

TEST_F(PromptRows, EqualQueriesOneByOne) {
  session_.Execute("WARM s", sink_);
  const std::vector<std::string> options = {
      "max_tokens => 12", "max_tokens => 30, temperature => 1, seed => 7",
      "max_tokens => 20, stop => 'a'",
      "max_tokens => 9, temperature => 0.8, seed => 3, top_k => 20"};
  for (size_t i = 0; i < options.size(); ++i) {
    for (const std::string use : {"USE a", "USE b, a, 'And: '", ""}) {
      // More than are computed at once.
      const std::vector<std::string> prompts = Prompts(i == 0 ? 40 : 5);
      SCOPED_TRACE(options[i] + " " + use);
      const auto together = Run(options[i], use, prompts, true);
      const auto apart = Run(options[i], use, prompts, false);
      ASSERT_EQ(together.size(), prompts.size());
      for (size_t row = 0; row < apart.size(); ++row) {
        // What the rows share beside modules counts as cached for all but the first.
        EXPECT_EQ(together[row][0], apart[row][0]) << row;
        EXPECT_EQ(together[row][1], apart[row][1]) << row;
        EXPECT_EQ(together[row][2], apart[row][2]) << row;
        EXPECT_EQ(together[row][4], apart[row][4]) << row;
      }
    }
  }
}

TEST_F(PromptRows, AnswersThatEndSoonerLeaveTheOthersAlone) {
  session_.Execute("WARM s", sink_);
  const std::vector<std::string> prompts = Prompts(8);
  const auto rows =
      Run("max_tokens => 40, temperature => 1.5, seed => 11, stop => 't'", "USE a", prompts, true);
  std::set<Value> lengths;
  for (const auto& row : rows) lengths.insert(row[4]);
  EXPECT_GT(lengths.size(), 2u);
  EXPECT_EQ(rows, Run("max_tokens => 40, temperature => 1.5, seed => 11, stop => 't'", "USE a",
                      prompts, true));
}

TEST_F(PromptRows, CanBeCanceled) {
  session_.Execute("WARM s", sink_);
  const std::vector<std::string> prompts = Prompts(8);
  sink_.cancels = true;
  ExpectError(ErrorCode::kCanceled, {"stopped"},
              [&] { Run("max_tokens => 200, ignore_eos => true", "USE a", prompts, true); });
  sink_.cancels = false;
  EXPECT_EQ(Run("max_tokens => 4", "USE a", prompts, true).size(), 8u);
}

}  // namespace
}  // namespace promptdb
