// How much accuracy each way of reuse costs a model: exact match, F1 and ROUGE-L of its answers,
// and the KL divergence of its next-token distributions from reuse = none, for each dtype of
// states.
//
//   accuracy [--model FILE] [--data FILE] [--questions N] [--seed N] [--measure auto|answers|text]
//            [--modes none,exact,modular,portable,scaffold] [--kv f32,bf16] [--max-tokens N]
//            [--template TEXT] [--csv FILE] [--answers FILE]
//
// Prints a Markdown table to stdout and its progress to stderr. --csv writes the figures for
// bench/plot_accuracy.gp, --answers every answer as a JSON object a line.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/stopwatch.h"
#include "base/whole_file.h"
#include "bench/program.h"
#include "executor/accuracy_tasks.h"

namespace promptdb {
namespace {

constexpr char kUsage[] =
    "usage: accuracy [--model FILE] [--data FILE] [--questions N] [--seed N]\n"
    "    [--measure auto|answers|text] [--modes none,exact,modular,portable,scaffold]\n"
    "    [--kv f32,bf16] [--max-tokens N] [--template TEXT] [--csv FILE] [--answers FILE]\n"
    "  --model: a GGUF file or a Hugging Face folder (models/demo.gguf)\n"
    "  --data: JSON Lines with \"input\", \"context\" and \"answers\", as LongBench has them, or "
    "a\n"
    "          .txt file; without it, invented questions (500, seed 1)\n"
    "  --template: what follows the documents; {input} is the question, \\n a line break\n";

struct Arguments {
  std::string model = PROMPTDB_SOURCE_DIR "/models/demo.gguf";
  std::optional<std::string> data;
  TaskOptions tasks;
  AccuracyMeasure measure = AccuracyMeasure::kAuto;
  AccuracyOptions measurement;
  std::string csv;
  std::string answers;
};

[[noreturn]] void Fail(const std::string& cause) {
  throw Error(ErrorCode::kInvalidArgument, cause, kUsage);
}

int Number(const std::string& name, const std::string& value) {
  size_t used = 0;
  int number = -1;
  try {
    number = std::stoi(value, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != value.size() || number < 0) Fail(name + " takes a number, not " + value);
  return number;
}

// The values of a list like "none,exact", each one of `known`.
template <typename T>
std::vector<T> List(const std::string& name, const std::string& value,
                    const std::map<std::string, T>& known) {
  std::vector<T> list;
  for (size_t begin = 0; begin <= value.size();) {
    const size_t end = std::min(value.find(',', begin), value.size());
    const auto found = known.find(value.substr(begin, end - begin));
    if (found == known.end()) Fail(name + " does not take " + value.substr(begin, end - begin));
    list.push_back(found->second);
    begin = end + 1;
  }
  return list;
}

std::string WithLineBreaks(std::string text) {
  for (size_t at = 0; (at = text.find("\\n", at)) != text.npos; ++at) text.replace(at, 2, "\n");
  return text;
}

Arguments ReadArguments(int argc, char** argv) {
  Arguments arguments;
  arguments.tasks.most = 500;
  std::map<std::string, AccuracyMode> modes;
  for (const AccuracyMode mode : AllAccuracyModes()) modes.emplace(AccuracyModeName(mode), mode);
  std::map<std::string, KvDtype> dtypes;
  for (const KvDtype dtype : kAllKvDtypes) dtypes.emplace(KvDtypeName(dtype), dtype);
  const std::map<std::string, std::function<void(const std::string&, const std::string&)>> readers =
      {{"--model", [&](const auto&, const auto& value) { arguments.model = value; }},
       {"--data", [&](const auto&, const auto& value) { arguments.data = value; }},
       {"--csv", [&](const auto&, const auto& value) { arguments.csv = value; }},
       {"--answers", [&](const auto&, const auto& value) { arguments.answers = value; }},
       {"--template",
        [&](const auto& name, const auto& value) {
          arguments.tasks.question_template = WithLineBreaks(value);
          if (value.find("{input}") == value.npos) Fail(name + " needs an {input}");
        }},
       {"--questions",
        [&](const auto& name, const auto& value) { arguments.tasks.most = Number(name, value); }},
       {"--seed",
        [&](const auto& name, const auto& value) {
          arguments.tasks.seed = static_cast<uint64_t>(Number(name, value));
        }},
       {"--max-tokens",
        [&](const auto& name, const auto& value) {
          arguments.tasks.max_tokens = arguments.measurement.max_tokens = Number(name, value);
        }},
       {"--measure",
        [&](const auto& name, const auto& value) {
          arguments.measure = List<AccuracyMeasure>(name, value,
                                                    {{"auto", AccuracyMeasure::kAuto},
                                                     {"answers", AccuracyMeasure::kAnswers},
                                                     {"text", AccuracyMeasure::kText}})
                                  .back();
        }},
       {"--modes",
        [&](const auto& name, const auto& value) {
          arguments.measurement.modes = List(name, value, modes);
        }},
       {"--kv", [&](const auto& name, const auto& value) {
          arguments.measurement.kv_dtypes = List(name, value, dtypes);
        }}};
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const auto reader = readers.find(name);
    if (reader == readers.end()) Fail("there is no argument " + name);
    if (i + 1 == argc) Fail(name + " takes a value");
    reader->second(name, argv[i + 1]);
  }
  if (arguments.tasks.most == 0) Fail("--questions takes a number above 0");
  if (arguments.tasks.max_tokens == 0) Fail("--max-tokens takes a number above 0");
  return arguments;
}

// A line that changes on a terminal; elsewhere a line for each tenth.
class StderrProgress : public ProgressListener {
 public:
  void OnProgress(std::string_view stage, int64_t done, int64_t total,
                  std::string_view unit) override {
    if (stage != stage_) {
      stage_ = stage;
      tenths_ = -1;
    }
    if (!is_terminal_ && done * 10 / std::max<int64_t>(total, 1) == tenths_) return;
    tenths_ = done * 10 / std::max<int64_t>(total, 1);
    std::fprintf(stderr, "%s%s: %ld of %ld %s%s", is_terminal_ ? "\r\033[K" : "", stage_.c_str(),
                 static_cast<long>(done), static_cast<long>(total), std::string(unit).c_str(),
                 is_terminal_ && done < total ? "" : "\n");
  }
  bool IsCanceled() const override { return false; }

 private:
  const bool is_terminal_ = isatty(STDERR_FILENO) != 0;
  std::string stage_;
  int64_t tenths_ = -1;
};

std::string Shown(const std::optional<double>& value, const char* format) {
  if (!value) return "";
  char text[64];
  std::snprintf(text, sizeof(text), format, *value);
  return text;
}

// What does not apply is left out of the table.
void PrintTable(const std::vector<AccuracyRow>& rows) {
  const bool is_of_answers = rows.front().exact_match.has_value();
  std::printf(is_of_answers
                  ? "| states | reuse | questions | exact match | F1 | ROUGE-L | KL, nats | KL of "
                    "the first token |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
                  : "| states | reuse | texts | tokens | perplexity | KL, nats | KL of the first "
                    "token |\n| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const AccuracyRow& row : rows) {
    std::printf("| %s | %s | %ld |", row.kv_dtype.c_str(), row.mode.c_str(),
                static_cast<long>(row.questions));
    if (is_of_answers) {
      std::printf(" %s %% | %s %% | %s %% |", Shown(row.exact_match, "%.1f").c_str(),
                  Shown(row.f1, "%.1f").c_str(), Shown(row.rouge_l, "%.1f").c_str());
    } else {
      std::printf(" %ld | %s |", static_cast<long>(row.tokens),
                  Shown(row.perplexity, "%.3f").c_str());
    }
    std::printf(" %.2g | %.2g |\n", row.kl, row.first_kl);
  }
}

void WriteCsv(const std::vector<AccuracyRow>& rows, const std::string& path) {
  std::string csv =
      "kv_dtype,mode,questions,tokens,exact_match,f1,rouge_l,kl,first_kl,perplexity\n";
  for (const AccuracyRow& row : rows) {
    csv += row.kv_dtype + "," + row.mode + "," + std::to_string(row.questions) + "," +
           std::to_string(row.tokens) + "," + Shown(row.exact_match, "%.4f") + "," +
           Shown(row.f1, "%.4f") + "," + Shown(row.rouge_l, "%.4f") + "," + Shown(row.kl, "%.6g") +
           "," + Shown(row.first_kl, "%.6g") + "," + Shown(row.perplexity, "%.6g") + "\n";
  }
  WriteWholeFile(path, csv);
}

int Main(int argc, char** argv) {
  if (argc == 2 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h")) {
    std::printf("%s", kUsage);
    return 0;
  }
  Arguments arguments = ReadArguments(argc, argv);
  std::ofstream answers;
  if (!arguments.answers.empty()) {
    answers.open(arguments.answers);
    if (!answers) throw Error(ErrorCode::kIo, "cannot write " + arguments.answers);
    arguments.measurement.on_answer = [&](const ProbeAnswer& answer) {
      const nlohmann::ordered_json line = {{"mode", AccuracyModeName(answer.mode)},
                                           {"kv_dtype", KvDtypeName(answer.kv_dtype)},
                                           {"prompt", answer.probe.prompt},
                                           {"answers", answer.probe.answers},
                                           {"answer", answer.text},
                                           {"documents", answer.task.documents.size()}};
      answers << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    };
  }
  StderrProgress progress;
  ModelDefinition definition;
  definition.name = std::filesystem::path(arguments.model).stem().string();
  definition.path = arguments.model;
  definition.dtype = "stored";
  definition.kv_dtype = "auto";
  definition.chat_template = "plain";
  const OpenModel model(definition, /*devices=*/nullptr, &progress);
  const Stopwatch watch;
  const TaskSet set =
      ChooseTasks(arguments.data, arguments.measure, arguments.tasks, model, progress);
  for (const std::string& notice : set.notices) std::fprintf(stderr, "%s\n", notice.c_str());
  const std::vector<AccuracyRow> rows =
      MeasureAccuracy(model, set.tasks, arguments.measurement, progress);
  std::printf("%s, %s, %.0f s:\n\n", definition.name.c_str(), set.source.c_str(),
              watch.Milliseconds() / 1e3);
  PrintTable(rows);
  if (!arguments.csv.empty()) WriteCsv(rows, arguments.csv);
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv, 2); }
