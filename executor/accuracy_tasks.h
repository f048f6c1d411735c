// What accuracy is measured with, made to fit a model's context: questions of the user's own, held
// out questions of corpus/, or plain text.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_EXECUTOR_ACCURACY_TASKS_H_
#define PROMPTDB_EXECUTOR_ACCURACY_TASKS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accuracy/question_set.h"
#include "executor/accuracy_measurement.h"

namespace promptdb {

// How a question is put after its documents; {input} stands for its words.
inline constexpr std::string_view kQuestionTemplate = "Question: {input}\nAnswer:";

struct TaskOptions {
  int most = 100;  // questions, or texts, at most
  uint64_t seed = 1;
  int max_tokens = 24;  // of an answer, which has to fit too
  std::string question_template{kQuestionTemplate};
};

// Whether answers are scored, or texts are read. kAuto: answers, but where the model answers none
// of the first held-out questions, or a file is called .txt, a text.
enum class AccuracyMeasure { kAuto, kAnswers, kText };

struct TaskSet {
  std::vector<AccuracyTask> tasks;
  std::string source;                // for people
  std::vector<std::string> notices;  // what was left out, and why
};

// What ANALYZE MODEL and bench/accuracy measure with: the file at `path`, or, without one, what
// corpus/ makes up. To find out whether the model answers may take a small measurement, of
// which `progress` hears. Throws Error: what the functions below do, and what reading a file does.
TaskSet ChooseTasks(const std::optional<std::string>& path, AccuracyMeasure measure,
                    const TaskOptions& options, const OpenModel& model, ProgressListener& progress);

// Throw Error(kTooLong) where nothing fits the model's context.

// The first questions of a list. Those that don't fit are passed over.
TaskSet TasksOfQuestions(const std::vector<DocumentQuestions>& questions, const std::string& source,
                         const TaskOptions& options, const OpenModel& model);

// Questions about invented things, of which none was in the demo model's training. In a short
// context they have fewer documents.
TaskSet HeldOutTasks(const TaskOptions& options, const OpenModel& model);

// Invented stories: to read, a few a task.
TaskSet StoryTasks(const TaskOptions& options, const OpenModel& model);

// The same of a text of the user's own.
TaskSet TasksOfText(std::string_view text, const std::string& source, const TaskOptions& options,
                    const OpenModel& model);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ACCURACY_TASKS_H_
