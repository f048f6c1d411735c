// Trains the demo model from nothing and writes it as a GGUF file.
//
//   train_demo_model FOLDER [--steps N] [--until N] [--seed N] [--rows N] [--learning-rate X]
//       [--layers N] [--dim N] [--hidden N] [--heads N] [--kv-heads N] [--turned-pairs N]
//       [--vocab N]
//
// FOLDER gets demo.gguf, tokenizer.json, loss.csv (for training/plot_loss.gp) and checkpoint.pt,
// from which a second call with the same options goes on. Progress goes to stderr.
#include <ATen/Parallel.h>
#include <malloc.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/stopwatch.h"
#include "base/whole_file.h"
#include "training/trainer.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

constexpr char kUsage[] =
    "usage: train_demo_model FOLDER [--steps N] [--until N] [--seed N] [--rows N]\n"
    "    [--learning-rate X] [--layers N] [--dim N] [--hidden N] [--heads N] [--kv-heads N]\n"
    "    [--turned-pairs N] [--vocab N]\n"
    "  --steps: over which the learning rate falls; --until: stop there before\n";
constexpr char kColumns[] =
    "step,loss,answer_loss,answers_right,held_out_plain,held_out_modules,learning_rate,rows,"
    "seconds\n";
constexpr int kEvaluationEvery = 250;
constexpr int kReportEvery = 25;
constexpr int kEvaluationQuestions = 300;

struct Arguments {
  fs::path folder;
  NetworkShape shape;
  TrainerOptions trainer;
  int rows = 4096;
  int until = std::numeric_limits<int>::max();
};

[[noreturn]] void Fail(const std::string& cause) {
  throw Error(ErrorCode::kInvalidArgument, cause, kUsage);
}

double PositiveNumber(const std::string& name, const std::string& value) {
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  if (end == value.c_str() || *end != '\0' || !(number > 0 && number < 1e9)) {
    Fail(name + " takes a number above 0, not " + value);
  }
  return number;
}

Arguments ParseArguments(const std::vector<std::string>& words) {
  Arguments arguments;
  const auto integer = [](int& out) {
    return [&out](double value) { out = static_cast<int>(value); };
  };
  const std::map<std::string, std::function<void(double)>> options = {
      {"--steps", integer(arguments.trainer.steps)},
      {"--seed", [&](double value) { arguments.trainer.seed = static_cast<uint64_t>(value); }},
      {"--until", integer(arguments.until)},
      {"--rows", integer(arguments.rows)},
      {"--learning-rate", [&](double value) { arguments.trainer.learning_rate = value; }},
      {"--layers", integer(arguments.shape.layers)},
      {"--dim", integer(arguments.shape.dim)},
      {"--hidden", integer(arguments.shape.hidden)},
      {"--heads", integer(arguments.shape.heads)},
      {"--kv-heads", integer(arguments.shape.kv_heads)},
      {"--turned-pairs", integer(arguments.shape.turned_pairs)},
      {"--vocab", integer(arguments.shape.vocab)}};
  for (size_t i = 0; i < words.size(); ++i) {
    const auto option = options.find(words[i]);
    if (option != options.end()) {
      if (i + 1 == words.size()) Fail(words[i] + " lacks its value");
      option->second(PositiveNumber(words[i], words[i + 1]));
      ++i;
    } else if (words[i].starts_with("--") || !arguments.folder.empty()) {
      Fail("unknown argument: " + words[i]);
    } else {
      arguments.folder = words[i];
    }
  }
  if (arguments.folder.empty()) Fail("no folder is named");
  const NetworkShape& shape = arguments.shape;
  if (shape.dim % (2 * shape.heads) != 0 || shape.heads % shape.kv_heads != 0) {
    Fail("the heads don't divide the width evenly, or the KV heads don't divide the heads");
  }
  return arguments;
}

// The rows of an earlier run up to `step`, or the header alone.
std::string LossesUpTo(const fs::path& path, int step) {
  std::ifstream file(path);
  std::string text = kColumns;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    if (std::atoi(line.c_str()) <= step) text += line + "\n";
  }
  return text;
}

// Sums of the figures since the last report.
struct Report {
  int steps = 0;
  StepResult sum;
  Stopwatch watch;

  void Add(const StepResult& result) {
    ++steps;
    sum.loss += result.loss;
    sum.answer_loss += result.answer_loss;
    sum.answers_right += result.answers_right;
    sum.rows += result.rows;
  }
};

void Train(const Arguments& arguments) {
  std::error_code failure;
  fs::create_directories(arguments.folder, failure);
  if (failure) {
    throw Error(ErrorCode::kIo, "cannot make the folder \"" + arguments.folder.string() +
                                    "\": " + failure.message());
  }
  const BpeVocabulary vocabulary =
      TrainCorpusVocabulary(arguments.shape.vocab, arguments.trainer.seed);
  if (static_cast<int>(vocabulary.tokens.size()) != arguments.shape.vocab) {
    Fail("the corpus gives no more than " + std::to_string(vocabulary.tokens.size()) + " tokens");
  }
  WriteTokenizerFiles(vocabulary, arguments.folder);
  const auto tokenizer = Tokenizer::FromGguf(ToGgufVocabulary(vocabulary));
  const Curriculum curriculum(*tokenizer, arguments.shape.context, arguments.rows,
                              arguments.trainer.seed);
  Trainer trainer(arguments.shape, arguments.trainer, curriculum);
  int64_t size = 0;
  for (const auto& parameter : trainer.network().parameters()) size += parameter.numel();
  std::fprintf(stderr, "%.2f million parameters, %d threads\n", static_cast<double>(size) / 1e6,
               at::get_num_threads());

  const fs::path checkpoint = arguments.folder / "checkpoint.pt";
  const fs::path losses = arguments.folder / "loss.csv";
  if (fs::exists(checkpoint)) {
    trainer.Load(checkpoint);
    std::fprintf(stderr, "going on at step %d\n", trainer.step());
  }
  std::string csv = LossesUpTo(losses, trainer.step());
  const TrainingBatch plain = curriculum.Evaluation(DocumentLayout::kPlain, kEvaluationQuestions);
  const TrainingBatch modules =
      curriculum.Evaluation(DocumentLayout::kModules, kEvaluationQuestions);

  Report report;
  const int end = std::min(arguments.until, arguments.trainer.steps);
  while (trainer.step() < end) {
    const double learning_rate = trainer.LearningRate();
    report.Add(trainer.Step());
    const bool is_last = trainer.step() == end;
    if (trainer.step() % kReportEvery != 0 && !is_last) continue;
    const double seconds = report.watch.Milliseconds() / 1000;
    const double steps = report.steps;
    std::string held_out = ",";
    if (trainer.step() % kEvaluationEvery == 0 || is_last) {
      const double plain_right = trainer.Evaluate(plain).answers_right;
      const double modules_right = trainer.Evaluate(modules).answers_right;
      std::fprintf(stderr, "held out: %.1f %% plain, %.1f %% in modules\n", plain_right * 100,
                   modules_right * 100);
      held_out = std::to_string(plain_right) + "," + std::to_string(modules_right);
      trainer.Save(checkpoint);
      trainer.network().WriteGguf(vocabulary, "demo", arguments.folder / "demo.gguf");
    }
    char line[256];
    std::snprintf(line, sizeof(line), "%d,%.4f,%.4f,%.4f,%s,%.3g,%d,%.1f\n", trainer.step(),
                  report.sum.loss / steps, report.sum.answer_loss / steps,
                  report.sum.answers_right / steps, held_out.c_str(), learning_rate,
                  report.sum.rows, seconds);
    csv += line;
    WriteWholeFile(losses, csv);
    std::fprintf(stderr,
                 "step %d of %d: loss %.3f, answers %.3f, right %.1f %%, %.0f tokens/s, %.0f min "
                 "left\n",
                 trainer.step(), end, report.sum.loss / steps, report.sum.answer_loss / steps,
                 report.sum.answers_right / steps * 100, report.sum.rows / seconds,
                 seconds / steps * (end - trainer.step()) / 60);
    report = {};
  }
}

int Main(int count, char** values) {
  try {
    // Each step's tensors come and go: giving their pages back to the system each time costs 7 %.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2000000000);
    // By default it takes half of them, as if each were a hyper-thread.
    at::set_num_threads(omp_get_max_threads());
    Train(ParseArguments({values + 1, values + count}));
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n%s\n", error.message().c_str(), error.hint().c_str());
    return 1;
  }
}

}  // namespace
}  // namespace promptdb

int main(int count, char** values) { return promptdb::Main(count, values); }
