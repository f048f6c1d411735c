#include "executor/accuracy_measurement.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <system_error>

#include "accuracy/answer_scores.h"
#include "executor/query_run.h"
#include "executor/statements.h"
#include "planner/planner.h"

namespace promptdb {

namespace {

// Of a text, so many tokens are predicted: a distribution of each is held in memory.
constexpr int kMostReadTokens = 64;

constexpr char kSchema[] = "documents";

// A database in a temporary folder of its own.
class ScratchDatabase {
 public:
  ScratchDatabase() : folder_(MakeFolder()), database_(std::make_unique<Database>(folder_)) {}
  ~ScratchDatabase() {
    database_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchDatabase(const ScratchDatabase&) = delete;
  ScratchDatabase& operator=(const ScratchDatabase&) = delete;

  Database::Rep& rep() { return database_->rep(); }

 private:
  static std::filesystem::path MakeFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() /
                           ("promptdb-accuracy-" + std::to_string(getpid()) + "-XXXXXX"))
                              .string();
    if (mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorCode::kIo, "cannot make a folder like " + pattern,
                  "TMPDIR names the folder for temporary files.");
    }
    return pattern;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Database> database_;
};

// Hears of nothing but the wish to stop.
class StoppableSink : public QuietSink {
 public:
  explicit StoppableSink(const ProgressListener& progress) : progress_(progress) {}

  bool IsCanceled() const override { return progress_.IsCanceled(); }

 private:
  const ProgressListener& progress_;
};

// ---- Distributions -----------------------------------------------------------------------------

// The natural logarithms of the probabilities that logits stand for.
std::vector<double> LogProbabilities(std::span<const float> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  const double log_sum = most + std::log(sum);
  std::vector<double> logs;
  logs.reserve(logits.size());
  for (const float logit : logits) logs.push_back(logit - log_sum);
  return logs;
}

// KL(p || q). Rounding alone could make it negative.
double Divergence(std::span<const double> p, std::span<const double> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return std::max(sum, 0.0);
}

// ---- Queries -----------------------------------------------------------------------------------

ast::Literal TextLiteral(std::string text) {
  ast::Literal literal;
  literal.value = std::move(text);
  return literal;
}

ast::Option Option(std::string name, ast::Literal value) {
  return {{std::move(name), {}}, std::move(value)};
}

std::string ModuleName(size_t document) { return "d" + std::to_string(document + 1); }

ReuseMode ReuseOf(AccuracyMode mode) {
  switch (mode) {
    case AccuracyMode::kNone:
      return ReuseMode::kNone;
    case AccuracyMode::kExact:
      return ReuseMode::kExact;
    case AccuracyMode::kModular:
    case AccuracyMode::kPortable:
    case AccuracyMode::kScaffold:
      return ReuseMode::kModular;
  }
  return ReuseMode::kNone;
}

ast::Select QueryOf(const AccuracyTask& task, const AccuracyProbe& probe, AccuracyMode mode,
                    int max_tokens) {
  ast::Select query;
  query.schema.text = kSchema;
  for (size_t i = 0; i < task.documents.size(); ++i) {
    ast::UseItem item;
    item.path = {{ModuleName(i), {}}};
    query.use.push_back(std::move(item));
  }
  ast::Text prompt;
  prompt.text = probe.prompt;
  query.prompt = std::move(prompt);
  ast::Literal most;
  most.value = int64_t{max_tokens};
  query.options = {Option("max_tokens", most), Option("stop", TextLiteral("\n"))};
  query.with_options = {Option("reuse", TextLiteral(std::string(ReuseModeName(ReuseOf(mode)))))};
  return query;
}

ast::CreateSchema SchemaOf(const AccuracyTask& task, const std::string& model, AccuracyMode mode) {
  ast::CreateSchema schema;
  schema.or_replace = true;
  schema.name.text = kSchema;
  schema.model.text = model;
  ast::Scaffold scaffold;
  scaffold.name.text = "all_of_them";
  for (size_t i = 0; i < task.documents.size(); ++i) {
    ast::Part part;
    part.kind = ast::Part::Kind::kModule;
    part.name = ast::Name{ModuleName(i), {}};
    ast::Text text;
    text.text = task.documents[i];
    part.text = std::move(text);
    schema.parts.push_back(std::move(part));
    scaffold.members.push_back({{ModuleName(i), {}}});
  }
  // A single document has none to see.
  if (mode == AccuracyMode::kScaffold && task.documents.size() > 1) {
    schema.scaffolds.push_back(std::move(scaffold));
  }
  if (mode == AccuracyMode::kPortable) {
    schema.options.push_back(Option("portable", TextLiteral("on")));
  }
  return schema;
}

// What a query said, and the distributions along the tokens that it was to be compared on.
struct Reading {
  std::string text;
  std::vector<TokenId> tokens;                // that were predicted
  std::vector<std::vector<double>> logprobs;  // [tokens][vocab]: of each of them, and all others
};

// The answer's tokens, with the one that ended it.
std::vector<TokenId> AnswerTokens(const Generation& generation) {
  std::vector<TokenId> tokens = generation.tokens;
  if (generation.end_token) tokens.push_back(*generation.end_token);
  return tokens;
}

// Computes the prompt's last words once more over the states that the query used, and after them
// `forced`, for the distributions: those of the forced tokens; without any, those of the prompt's
// own tokens but for its first.
Reading ReadAlong(const std::vector<TokenId>& forced, QueryState& query) {
  const auto last = static_cast<int>(query.segments.size()) - 1;
  const PromptSegment& segment = query.Segment(last);
  const std::vector<TokenId>& words = segment.tokens;
  const auto count = static_cast<int>(words.size());
  const int first = forced.empty() ? 0 : count - 1;
  KvSegment states = query.segments.back()->CopyOf(first);
  ForwardBatch batch;
  batch.tokens.assign(words.begin() + first, words.end());
  Reading reading;
  if (forced.empty()) {
    reading.tokens.assign(words.begin() + 1, words.begin() + std::min(count, kMostReadTokens + 1));
    batch.tokens.resize(reading.tokens.size());
  } else {
    reading.tokens = forced;
    batch.tokens.insert(batch.tokens.end(), forced.begin(), forced.end() - 1);
  }
  const auto rows = static_cast<int>(batch.tokens.size());
  for (int row = 0; row < rows; ++row) {
    batch.positions.push_back(segment.start + first + row);
    batch.logits_of.push_back(row);
  }
  if (rows == 0) return reading;
  batch.groups.push_back({rows, query.Context(last), &states});
  const std::vector<float> logits = query.scheduler.Forward(batch, &query.sink);
  const size_t vocab = logits.size() / static_cast<size_t>(rows);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    reading.logprobs.push_back(LogProbabilities(std::span(logits).subspan(row * vocab, vocab)));
  }
  return reading;
}

// ---- The measurement ---------------------------------------------------------------------------

// Sums over the probes, for one mode and dtype.
struct Sums {
  int64_t probes = 0;
  int64_t tokens = 0;
  int64_t first_tokens = 0;
  double kl = 0;
  double first_kl = 0;
  double logprob = 0;
  AnswerScores scores;
};

class Measurement {
 public:
  Measurement(const OpenModel& model, const AccuracyOptions& options, ProgressListener& progress)
      : model_(model), options_(options), progress_(progress), sink_(progress) {
    // The first computes what the others are compared with.
    dtypes_ = options.kv_dtypes;
    std::erase(dtypes_, KvDtype::kF32);
    dtypes_.insert(dtypes_.begin(), KvDtype::kF32);
    for (const KvDtype dtype : dtypes_) {
      const auto twin =
          std::make_shared<const OpenModel>(model, std::string(KvDtypeName(dtype)), dtype);
      scratch_.rep().catalog.PutModel(twin->definition());
      scratch_.rep().models.Put(twin);
    }
  }

  std::vector<AccuracyRow> Run(const std::vector<AccuracyTask>& tasks) {
    for (const AccuracyTask& task : tasks) total_ += static_cast<int64_t>(task.probes.size());
    total_ *= static_cast<int64_t>(options_.modes.size() * options_.kv_dtypes.size());
    is_of_answers_ = !tasks.front().probes.front().answers.empty();
    for (const AccuracyTask& task : tasks) RunTask(task);
    std::vector<AccuracyRow> rows;
    for (const KvDtype dtype : options_.kv_dtypes) {
      for (const AccuracyMode mode : options_.modes) rows.push_back(RowOf(mode, dtype));
    }
    return rows;
  }

 private:
  void RunTask(const AccuracyTask& task) {
    std::vector<Reading> truths(task.probes.size());
    for (const KvDtype dtype : dtypes_) {
      for (const AccuracyMode mode : AllAccuracyModes()) {
        const bool is_wanted =
            Contains(options_.modes, mode) && Contains(options_.kv_dtypes, dtype);
        const bool is_truth = mode == AccuracyMode::kNone && dtype == KvDtype::kF32;
        if (!is_wanted && !is_truth) continue;
        Install(task, mode, dtype);
        for (size_t i = 0; i < task.probes.size(); ++i) {
          const Reading reading =
              Read(task, task.probes[i], mode, is_truth ? nullptr : &truths[i].tokens);
          if (is_truth) truths[i] = reading;
          if (is_wanted) Add(task, task.probes[i], mode, dtype, reading, truths[i]);
        }
      }
    }
    RunDropSchema({true, {kSchema, {}}}, scratch_.rep(), sink_);
  }

  template <typename T>
  static bool Contains(const std::vector<T>& values, T value) {
    return std::find(values.begin(), values.end(), value) != values.end();
  }

  // The task's schema; in a way of reuse that reuses, with the states of its modules computed.
  void Install(const AccuracyTask& task, AccuracyMode mode, KvDtype dtype) {
    RunCreateSchema(SchemaOf(task, std::string(KvDtypeName(dtype)), mode), scratch_.rep(), sink_);
    if (mode != AccuracyMode::kNone) Ask(QueryOf(task, task.probes.front(), mode, 1), nullptr);
  }

  QueryOutcome Ask(const ast::Select& query, const AfterDecode& after_decode) {
    const std::shared_ptr<const OpenSchema> schema = scratch_.rep().Open(query.schema, sink_);
    const OpenModel& model = *schema->model;
    PlanContext context = scratch_.rep().ContextOf(model);
    context.may_recompute = false;  // what is measured is what the cache gives
    const QueryPlan plan =
        PlanQuery(BindPrompt(query, schema->definition, schema->layout, model.tokenizer(),
                             model.chat_template(), model.config().context_length, QueryDefaults()),
                  context);
    return RunQuery(plan, 0, model, scratch_.rep().cache, false, sink_, after_decode);
  }

  // `forced`: the tokens to compare on; null: the query's own answer.
  Reading Read(const AccuracyTask& task, const AccuracyProbe& probe, AccuracyMode mode,
               const std::vector<TokenId>* forced) {
    const bool is_text = probe.answers.empty();
    Reading reading;
    int module_tokens = 0;
    const QueryOutcome outcome =
        Ask(QueryOf(task, probe, mode, is_text ? 1 : options_.max_tokens),
            [&](QueryState& query, const Generation& generation) {
              for (const PromptSegment& segment : query.plan.prompt.segments) {
                if (!segment.is_new) module_tokens += segment.prompt_tokens();
              }
              std::vector<TokenId> tokens;
              if (!is_text) tokens = forced != nullptr ? *forced : AnswerTokens(generation);
              reading = ReadAlong(tokens, query);
            });
    const int wanted = mode == AccuracyMode::kNone ? 0 : module_tokens;
    if (outcome.cached_tokens != wanted) {
      throw Error(ErrorCode::kResource,
                  "only " + std::to_string(outcome.cached_tokens) + " of " +
                      std::to_string(wanted) + " tokens came from the cache",
                  "SET cpu_cache to more, or measure with shorter documents.");
    }
    reading.text = outcome.generation.text;
    return reading;
  }

  void Add(const AccuracyTask& task, const AccuracyProbe& probe, AccuracyMode mode, KvDtype dtype,
           const Reading& reading, const Reading& truth) {
    Sums& sums = sums_[{mode, dtype}];
    ++sums.probes;
    for (size_t i = 0; i < truth.tokens.size(); ++i) {
      const double kl = Divergence(truth.logprobs[i], reading.logprobs[i]);
      sums.kl += kl;
      sums.logprob += reading.logprobs[i][static_cast<size_t>(truth.tokens[i])];
      ++sums.tokens;
      if (i > 0) continue;
      sums.first_kl += kl;
      ++sums.first_tokens;
    }
    if (!probe.answers.empty()) {
      const AnswerScores scores = ScoreAnswer(reading.text, probe.answers);
      sums.scores.exact_match += scores.exact_match;
      sums.scores.f1 += scores.f1;
      sums.scores.rouge_l += scores.rouge_l;
      if (options_.on_answer) options_.on_answer({mode, dtype, task, probe, reading.text});
    }
    progress_.OnProgress("measuring " + model_.definition().name, ++done_, total_,
                         is_of_answers_ ? "answers" : "texts");
  }

  AccuracyRow RowOf(AccuracyMode mode, KvDtype dtype) {
    const Sums& sums = sums_[{mode, dtype}];
    const auto mean = [](double sum, int64_t count) {
      return count > 0 ? sum / static_cast<double>(count) : 0;
    };
    AccuracyRow row;
    row.mode = AccuracyModeName(mode);
    row.kv_dtype = KvDtypeName(dtype);
    row.questions = sums.probes;
    row.tokens = sums.tokens;
    row.kl = mean(sums.kl, sums.tokens);
    row.first_kl = mean(sums.first_kl, sums.first_tokens);
    if (is_of_answers_) {
      row.exact_match = 100 * mean(sums.scores.exact_match, sums.probes);
      row.f1 = 100 * mean(sums.scores.f1, sums.probes);
      row.rouge_l = 100 * mean(sums.scores.rouge_l, sums.probes);
    } else {
      row.perplexity = std::exp(-mean(sums.logprob, sums.tokens));
    }
    return row;
  }

  const OpenModel& model_;
  const AccuracyOptions& options_;
  ProgressListener& progress_;
  StoppableSink sink_;
  ScratchDatabase scratch_;
  std::vector<KvDtype> dtypes_;
  bool is_of_answers_ = false;
  std::map<std::pair<AccuracyMode, KvDtype>, Sums> sums_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

}  // namespace

std::string_view AccuracyModeName(AccuracyMode mode) {
  switch (mode) {
    case AccuracyMode::kNone:
      return "none";
    case AccuracyMode::kExact:
      return "exact";
    case AccuracyMode::kModular:
      return "modular";
    case AccuracyMode::kPortable:
      return "portable";
    case AccuracyMode::kScaffold:
      return "scaffold";
  }
  return "";
}

std::vector<AccuracyMode> AllAccuracyModes() {
  return {AccuracyMode::kNone, AccuracyMode::kExact, AccuracyMode::kModular,
          AccuracyMode::kPortable, AccuracyMode::kScaffold};
}

std::vector<AccuracyRow> MeasureAccuracy(const OpenModel& model,
                                         const std::vector<AccuracyTask>& tasks,
                                         const AccuracyOptions& options,
                                         ProgressListener& progress) {
  Check(!tasks.empty() && !options.modes.empty() && !options.kv_dtypes.empty(),
        "there is something to measure");
  model.Scheduler(&progress);
  try {
    return Measurement(model, options, progress).Run(tasks);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCanceled) {
      throw Error(ErrorCode::kCanceled, "the measurement was stopped");
    }
    // Its place would be one in the statements that were made up here.
    throw Error(error.code(), error.message(), error.hint());
  }
}

}  // namespace promptdb
