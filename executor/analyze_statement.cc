#include <ctime>

#include "device/device_compute.h"
#include "executor/accuracy_rows.h"
#include "executor/accuracy_tasks.h"
#include "executor/machine_analysis.h"
#include "executor/query_run.h"
#include "executor/statements.h"
#include "planner/options.h"

namespace promptdb {

namespace {

constexpr int kMostQuestions = 100000;
constexpr int kMostAnswerTokens = 4096;

struct AnalyzeOptions {
  TaskOptions tasks;
  AccuracyMeasure measure = AccuracyMeasure::kAuto;
};

AnalyzeOptions BindOptions(const ast::AnalyzeModel& statement) {
  const OptionReader reader(statement.options, "ANALYZE MODEL",
                            {"questions", "seed", "max_tokens", "measure", "template"});
  AnalyzeOptions options;
  TaskOptions& tasks = options.tasks;
  tasks.most = static_cast<int>(reader.Integer("questions", 1, kMostQuestions).value_or(100));
  tasks.seed = static_cast<uint64_t>(reader.Integer("seed", 0, INT64_MAX).value_or(1));
  tasks.max_tokens = static_cast<int>(
      reader.Integer("max_tokens", 1, kMostAnswerTokens).value_or(tasks.max_tokens));
  const auto measure = reader.Choice("measure", {"auto", "answers", "text"});
  if (measure == "answers") options.measure = AccuracyMeasure::kAnswers;
  if (measure == "text") options.measure = AccuracyMeasure::kText;
  if (const auto words = reader.TextValue("template")) {
    if (words->find("{input}") == words->npos) {
      throw Error(ErrorCode::kInvalidArgument, "template has no place for the question",
                  "{input} stands for it.", reader.RangeOf("template"));
    }
    tasks.question_template = *words;
  }
  return options;
}

}  // namespace

std::string RunAnalyzeModel(const ast::AnalyzeModel& statement, Database::Rep& database,
                            ResultSink& sink) {
  const AnalyzeOptions options = BindOptions(statement);
  const ModelDefinition definition = database.FindModel(statement.name);
  const std::shared_ptr<const OpenModel> model =
      database.Open(definition, statement.name.range, sink);
  model->Scheduler(&sink);

  std::optional<std::string> path;
  if (statement.path) path = statement.path->text;
  TaskSet set;
  try {
    set = ChooseTasks(path, options.measure, options.tasks, *model, sink);
  } catch (const Error& error) {
    throw statement.path ? error.At(statement.path->range) : error;
  }
  for (const std::string& notice : set.notices) sink.OnNotice(notice);
  AccuracyOptions measurement;
  measurement.kv_dtypes = {model->kv_shape().dtype};
  measurement.max_tokens = options.tasks.max_tokens;
  ModelAccuracy accuracy;
  accuracy.rows = MeasureAccuracy(*model, set.tasks, measurement, sink);
  accuracy.model = definition.name;
  accuracy.fingerprint = model->fingerprint();
  accuracy.source = set.source;
  accuracy.measured_at = std::time(nullptr);
  if (!database.catalog.PutAccuracy(accuracy)) {
    throw Error(ErrorCode::kUnknownName,
                "model \"" + definition.name + "\" was dropped while it was measured", "",
                statement.name.range);
  }
  sink.OnColumns(AccuracyColumns());
  for (const AccuracyRow& row : accuracy.rows) sink.OnRow(AccuracyValues(row));
  return "ANALYZE";
}

std::string RunAnalyze(Database::Rep& database, ResultSink& sink) {
  const MachineRates rates = MeasureMachine(database.cache, database.devices.current(), sink);
  database.catalog.PutRates(rates);
  sink.OnColumns(RatesColumns());
  for (const std::vector<Value>& row : RatesRows(rates)) sink.OnRow(row);
  return "ANALYZE";
}

}  // namespace promptdb
