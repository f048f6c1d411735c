// What accuracy is measured with fits the model, and is the same for the same seed.
#include "executor/accuracy_tasks.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

class AccuracyTasksTest : public testing::Test {
 protected:
  std::unique_ptr<OpenModel> ModelOf(int context) {
    TinyModel tiny = TinyModel::Of("llama");
    tiny.context = context;
    ModelDefinition definition;
    definition.name = "m";
    definition.path = (folder_ / (std::to_string(context) + ".gguf")).string();
    definition.dtype = "stored";
    definition.kv_dtype = "auto";
    definition.chat_template = "plain";
    WriteGguf(tiny, definition.path, TensorDtype::kF32);
    return std::make_unique<OpenModel>(definition, /*devices=*/nullptr, /*progress=*/nullptr);
  }

  // Most positions that a prompt of the task, its begin token and an answer take.
  static int Positions(const AccuracyTask& task, const TaskOptions& options,
                       const OpenModel& model) {
    size_t documents = 1, longest = 0;
    for (const std::string& text : task.documents) {
      documents += model.tokenizer().Encode(text).size();
    }
    for (const AccuracyProbe& probe : task.probes) {
      longest = std::max(longest, model.tokenizer().Encode(probe.prompt).size());
    }
    return static_cast<int>(documents + longest) +
           (task.probes[0].answers.empty() ? 1 : options.max_tokens);
  }

  static size_t Probes(const TaskSet& set) {
    size_t probes = 0;
    for (const AccuracyTask& task : set.tasks) probes += task.probes.size();
    return probes;
  }

  TemporaryFolder folder_{"tasks"};
};

TEST_F(AccuracyTasksTest, QuestionsThatDoNotFitArePassedOver) {
  const auto model = ModelOf(128);
  const std::string lengthy(600, 'x');
  const std::vector<DocumentQuestions> questions = {
      {{"A.\n", "B.\n"}, {{"Who?", {"A"}}, {"What?", {"B", "b"}}}},
      {{lengthy, "C.\n"}, {{"Where?", {"C"}}}},
      {{"D.\n"}, {{"When?", {"D"}}, {"Why?", {"D"}}}}};
  TaskOptions options;
  options.question_template = "{input} {input} ->";
  TaskSet set = TasksOfQuestions(questions, "q.jsonl", options, *model);
  ASSERT_EQ(set.tasks.size(), 2u);
  EXPECT_EQ(set.tasks[0].documents, questions[0].documents);
  EXPECT_EQ(set.tasks[0].probes[1].prompt, "What? What? ->");
  EXPECT_EQ(set.tasks[0].probes[1].answers, (std::vector<std::string>{"B", "b"}));
  ASSERT_EQ(set.notices.size(), 1u);
  EXPECT_EQ(set.notices[0].substr(0, 2), "1 ");
  EXPECT_EQ(Probes(set), 4u);

  options.most = 3;
  set = TasksOfQuestions(questions, "q.jsonl", options, *model);
  EXPECT_EQ(Probes(set), 3u);
  EXPECT_EQ(set.tasks.back().probes[0].prompt, "When? When? ->");
  // A question that has the words of the template's place in it is not filled in again.
  set = TasksOfQuestions({{{"A.\n"}, {{"{input}", {"A"}}}}}, "q", options, *model);
  EXPECT_EQ(set.tasks[0].probes[0].prompt, "{input} {input} ->");

  options.max_tokens = 127;
  ExpectError(ErrorCode::kTooLong, {"none of the questions of q.jsonl", "128"},
              [&] { TasksOfQuestions(questions, "q.jsonl", options, *model); });
}

TEST_F(AccuracyTasksTest, HeldOutQuestionsFitAndRepeat) {
  for (const int context : {1024, 4096}) {
    const auto model = ModelOf(context);
    TaskOptions options;
    options.most = 10;
    options.seed = 3;
    const TaskSet set = HeldOutTasks(options, *model);
    EXPECT_EQ(Probes(set), 10u);
    for (const AccuracyTask& task : set.tasks) {
      EXPECT_GE(task.documents.size(), 2u);
      EXPECT_LE(Positions(task, options, *model), context);
      for (const AccuracyProbe& probe : task.probes) {
        EXPECT_TRUE(probe.prompt.starts_with("Question: ")) << probe.prompt;
        EXPECT_TRUE(probe.prompt.ends_with("\nAnswer:")) << probe.prompt;
        ASSERT_EQ(probe.answers.size(), 1u);
        EXPECT_TRUE(
            std::any_of(task.documents.begin(), task.documents.end(),
                        [&](const auto& text) { return text.find(probe.answers[0]) != text.npos; }))
            << probe.answers[0];
      }
    }
    const TaskSet again = HeldOutTasks(options, *model);
    ASSERT_EQ(again.tasks.size(), set.tasks.size());
    EXPECT_EQ(again.tasks.back().documents, set.tasks.back().documents);
    options.seed = 4;
    EXPECT_NE(HeldOutTasks(options, *model).tasks[0].documents, set.tasks[0].documents);
  }
  const auto tiny = ModelOf(32);
  ExpectError(ErrorCode::kTooLong, {"two documents and a question do not fit", "32"},
              [&] { HeldOutTasks({}, *tiny); });
}

TEST_F(AccuracyTasksTest, TextsHaveModulesAndFit) {
  for (const int context : {256, 4096}) {
    const auto model = ModelOf(context);
    TaskOptions options;
    options.most = 5;
    const TaskSet stories = StoryTasks(options, *model);
    EXPECT_EQ(stories.tasks.size(), 5u);
    std::string text;
    for (int i = 0; i < 300; ++i) {
      text += "Sentence " + std::to_string(i) + " tells of a fox and a hat.";
      text += i % 5 == 4 ? "\n\n" : " ";
    }
    const TaskSet own = TasksOfText(text, "t.txt", options, *model);
    EXPECT_GE(own.tasks.size(), 2u);
    EXPECT_LE(own.tasks.size(), 5u);
    for (const TaskSet* set : {&stories, &own}) {
      for (const AccuracyTask& task : set->tasks) {
        EXPECT_GE(task.documents.size(), 2u);
        EXPECT_TRUE(task.probes.at(0).answers.empty());
        EXPECT_LE(Positions(task, options, *model), context);
      }
    }
    // What stands in a task follows each other in the text.
    std::string joined;
    for (const std::string& piece : own.tasks[0].documents) joined += piece;
    EXPECT_TRUE(text.starts_with(joined + own.tasks[0].probes[0].prompt));
  }
  const auto model = ModelOf(256);
  ExpectError(ErrorCode::kInvalidArgument, {"too little text in t.txt"},
              [&] { TasksOfText("Short.", "t.txt", {}, *model); });
  ExpectError(ErrorCode::kInvalidArgument, {"t.txt is not UTF-8"},
              [&] { TasksOfText("\xff\xff", "t.txt", {}, *model); });
}

}  // namespace
}  // namespace promptdb
