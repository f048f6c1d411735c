#include "executor/accuracy_tasks.h"

#include <algorithm>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "corpus/corpus.h"

namespace promptdb {

namespace {

constexpr int kQuestionsOfPrompt = 4;  // that share the states of its documents
constexpr int kMostTextTokens = 1024;  // of a task of texts
constexpr int kLeastReadTokens = 8;    // of the piece that is read
constexpr size_t kLeastPieceBytes = 64;
// So many are asked to see whether a model can answer at all.
constexpr size_t kTrialQuestions = 20;

int CountTokens(std::string_view text, const OpenModel& model) {
  return static_cast<int>(model.tokenizer().Encode(text).size());
}

// Positions for a prompt and what comes after it.
int Room(const OpenModel& model) {
  return model.config().context_length - (model.tokenizer().adds_bos() ? 1 : 0);
}

bool Fits(const AccuracyTask& task, int max_tokens, const OpenModel& model) {
  int tokens = max_tokens;
  for (const std::string& document : task.documents) tokens += CountTokens(document, model);
  int longest = 0;
  for (const AccuracyProbe& probe : task.probes) {
    longest = std::max(longest, CountTokens(probe.prompt, model));
  }
  return tokens + longest <= Room(model);
}

std::string Ask(const std::string& question, const std::string& question_template) {
  constexpr std::string_view kInput = "{input}";
  std::string asked = question_template;
  for (size_t at = 0; (at = asked.find(kInput, at)) != asked.npos; at += question.size()) {
    asked.replace(at, kInput.size(), question);
  }
  return asked;
}

AccuracyTask TaskOf(const DocumentQuestions& questions, size_t most, const TaskOptions& options) {
  AccuracyTask task;
  task.documents = questions.documents;
  for (const Question& question : questions.questions) {
    if (task.probes.size() == most) break;
    task.probes.push_back({Ask(question.text, options.question_template), question.answers});
  }
  return task;
}

[[noreturn]] void FailTooLong(const std::string& what, const OpenModel& model) {
  throw Error(ErrorCode::kTooLong,
              what + " the context of model \"" + model.definition().name + "\", which is " +
                  std::to_string(model.config().context_length) + " tokens",
              "Measure with shorter documents, or a shorter max_tokens.");
}

// ---- Texts -------------------------------------------------------------------------------------

// Gathers pieces of text into tasks: as many as half of the room takes, of which the last is read.
class TextTaskMaker {
 public:
  TextTaskMaker(const TaskOptions& options, const OpenModel& model)
      : options_(options), model_(model), room_(std::min(Room(model) - 1, kMostTextTokens)) {}

  bool is_full() const { return static_cast<int>(tasks_.size()) >= options_.most; }

  void Add(std::string_view text) {
    const int tokens = CountTokens(text, model_);
    if (tokens > room_ / 4 && text.size() > 2 * kLeastPieceBytes) {
      for (const std::string& piece : CutText(text, text.size() / 2 + 1)) Add(piece);
      return;
    }
    if (is_full() || tokens == 0) return;
    if (tokens_ + tokens > room_) Flush();
    if (tokens > room_) return;
    pieces_.emplace_back(text);
    tokens_ += tokens;
  }

  std::vector<AccuracyTask> Finish() {
    Flush();
    return std::move(tasks_);
  }

 private:
  void Flush() {
    // Two modules at least: the second one has something not to see.
    if (pieces_.size() >= 3 && !is_full() &&
        CountTokens(pieces_.back(), model_) >= kLeastReadTokens) {
      AccuracyTask task;
      task.documents.assign(pieces_.begin(), pieces_.end() - 1);
      task.probes.push_back({pieces_.back(), {}});
      tasks_.push_back(std::move(task));
    }
    pieces_.clear();
    tokens_ = 0;
  }

  const TaskOptions& options_;
  const OpenModel& model_;
  const int room_;
  std::vector<std::string> pieces_;
  int tokens_ = 0;
  std::vector<AccuracyTask> tasks_;
};

// Whether the model answers one question at least of the first few.
bool CanAnswer(const TaskSet& set, const TaskOptions& options, const OpenModel& model,
               ProgressListener& progress) {
  std::vector<AccuracyTask> trial;
  size_t questions = 0;
  for (const AccuracyTask& task : set.tasks) {
    if (questions >= kTrialQuestions) break;
    trial.push_back(task);
    questions += task.probes.size();
  }
  AccuracyOptions measurement;
  measurement.modes = {AccuracyMode::kNone};
  measurement.kv_dtypes = {KvDtype::kF32};
  measurement.max_tokens = options.max_tokens;
  return *MeasureAccuracy(model, trial, measurement, progress).front().exact_match > 0;
}

TaskSet InventedTasks(AccuracyMeasure measure, const TaskOptions& options, const OpenModel& model,
                      ProgressListener& progress) {
  if (measure == AccuracyMeasure::kText) return StoryTasks(options, model);
  if (measure == AccuracyMeasure::kAnswers) return HeldOutTasks(options, model);
  std::string why = "a question with its documents does not fit its context";
  try {
    TaskSet questions = HeldOutTasks(options, model);
    if (CanAnswer(questions, options, model, progress)) return questions;
    why = "it answers none of the first held-out questions";
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kTooLong) throw;
  }
  TaskSet stories = StoryTasks(options, model);
  stories.notices.insert(stories.notices.begin(),
                         "model \"" + model.definition().name +
                             "\" is measured by its divergence over stories, since " + why);
  return stories;
}

}  // namespace

TaskSet ChooseTasks(const std::optional<std::string>& path, AccuracyMeasure measure,
                    const TaskOptions& options, const OpenModel& model,
                    ProgressListener& progress) {
  if (!path) return InventedTasks(measure, options, model, progress);
  const bool is_text = measure == AccuracyMeasure::kText ||
                       (measure == AccuracyMeasure::kAuto && path->ends_with(".txt"));
  if (!is_text) return TasksOfQuestions(ReadQuestions(*path), *path, options, model);
  const MappedFile file(*path);
  return TasksOfText(file.text(), *path, options, model);
}

TaskSet TasksOfQuestions(const std::vector<DocumentQuestions>& questions, const std::string& source,
                         const TaskOptions& options, const OpenModel& model) {
  TaskSet set;
  set.source = source;
  auto left = static_cast<size_t>(options.most);
  size_t passed_over = 0;
  for (const DocumentQuestions& some : questions) {
    if (left == 0) break;
    AccuracyTask task = TaskOf(some, left, options);
    if (!Fits(task, options.max_tokens, model)) {
      passed_over += task.probes.size();
      continue;
    }
    left -= task.probes.size();
    set.tasks.push_back(std::move(task));
  }
  if (set.tasks.empty()) FailTooLong("none of the questions of " + source + " fits", model);
  if (passed_over > 0) {
    set.notices.push_back(
        std::to_string(passed_over) +
        " questions were passed over, whose documents do not fit the context of " +
        std::to_string(model.config().context_length) + " tokens");
  }
  return set;
}

TaskSet HeldOutTasks(const TaskOptions& options, const OpenModel& model) {
  TaskSet set;
  set.source = "held-out questions, seed " + std::to_string(options.seed);
  Corpus corpus(CorpusSplit::kHeldOut, options.seed);
  CorpusOptions wanted;
  wanted.questions = kQuestionsOfPrompt;
  const int usual = wanted.max_documents;
  auto left = static_cast<size_t>(options.most);
  while (left > 0) {
    const CorpusPrompt prompt = corpus.NextPrompt(wanted);
    DocumentQuestions questions;
    questions.documents = prompt.documents;
    for (const CorpusQuestion& question : prompt.questions) {
      questions.questions.push_back({question.text, {question.answer}});
    }
    AccuracyTask task = TaskOf(questions, left, options);
    if (task.probes.empty()) continue;
    if (Fits(task, options.max_tokens, model)) {
      left -= task.probes.size();
      set.tasks.push_back(std::move(task));
      continue;
    }
    wanted.max_documents =
        std::min(wanted.max_documents, static_cast<int>(task.documents.size())) - 1;
    wanted.min_documents = std::min(wanted.min_documents, wanted.max_documents);
    if (wanted.max_documents < 2) FailTooLong("two documents and a question do not fit", model);
  }
  if (wanted.max_documents < usual) {
    set.notices.push_back("questions have at most " + std::to_string(wanted.max_documents) +
                          " documents, since the context has " +
                          std::to_string(model.config().context_length) + " tokens");
  }
  return set;
}

TaskSet StoryTasks(const TaskOptions& options, const OpenModel& model) {
  Corpus corpus(CorpusSplit::kHeldOut, options.seed);
  TextTaskMaker maker(options, model);
  // The bound is for a context in which no task ever fits.
  for (int i = 0; i < 64 * options.most && !maker.is_full(); ++i) maker.Add(corpus.NextStory());
  TaskSet set;
  set.source = "held-out stories, seed " + std::to_string(options.seed);
  set.tasks = maker.Finish();
  if (set.tasks.empty()) FailTooLong("two stories do not fit", model);
  return set;
}

TaskSet TasksOfText(std::string_view text, const std::string& source, const TaskOptions& options,
                    const OpenModel& model) {
  if (!IsValidUtf8(text)) {
    throw Error(ErrorCode::kInvalidArgument, source + " is not UTF-8 text",
                "Convert it, for example with iconv.");
  }
  TextTaskMaker maker(options, model);
  for (const std::string& piece : CutText(text, 512)) maker.Add(piece);
  TaskSet set;
  set.source = source;
  set.tasks = maker.Finish();
  if (set.tasks.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "there is too little text in " + source,
                "It takes a few paragraphs at least.");
  }
  return set;
}

}  // namespace promptdb
