#include "executor/decode.h"
#include "executor/prefill.h"
#include "executor/query_state.h"
#include "executor/statements.h"
#include "executor/threads.h"
#include "planner/explain.h"
#include "planner/planner.h"

namespace promptdb {

namespace {

struct PlannedQuery {
  std::shared_ptr<const OpenSchema> schema;
  QueryPlan plan;
  double planning_ms = 0;
};

PlannedQuery Plan(const ast::Select& query, Database::Rep& database, const Settings& settings,
                  ResultSink& sink) {
  if (query.pml) return Plan(ExpandPml(query, database), database, settings, sink);
  if (query.kind != ast::Select::Kind::kGenerate || !query.prompt_in.empty()) {
    throw Error(ErrorCode::kUnsupported,
                "this form of SELECT is PromptQL, but has no meaning in this release yet", "",
                query.range);
  }
  PlannedQuery planned;
  planned.schema = database.Open(query.schema, sink);
  const OpenModel& model = *planned.schema->model;
  const Stopwatch watch;
  BoundPrompt prompt =
      BindPrompt(query, planned.schema->definition, planned.schema->layout, model.tokenizer(),
                 model.chat_template(), model.config().context_length, settings.query_defaults());
  const PlanContext context = database.ContextOf(model);
  planned.plan = PlanQuery(std::move(prompt), context);
  planned.planning_ms = watch.Milliseconds();
  return planned;
}

struct QueryOutcome {
  Generation generation;
  int cached_tokens = 0;
  double ttft_ms = 0;  // planning included, loading of the model not
  double total_ms = 0;
  std::vector<NodeActuals> actuals;
};

QueryOutcome Run(const PlannedQuery& planned, Database::Rep& database, bool stream,
                 ResultSink& sink) {
  const OpenModel& model = *planned.schema->model;
  if (!model.has_weights()) {
    if (const std::string warning = BlasWarning(); !warning.empty()) sink.OnNotice(warning);
  }
  const Transformer& weights = model.Weights(&sink);
  const Stopwatch watch;
  const QueryPlan& plan = planned.plan;
  QueryState query(plan, weights, model, database.cache, sink);
  std::vector<float> logits = RunPrompt(query);

  QueryOutcome outcome;
  outcome.cached_tokens = query.cached_tokens;
  outcome.generation = RunDecode(*plan.decode, std::move(logits), watch, stream, query);
  outcome.ttft_ms = planned.planning_ms + outcome.generation.first_token_ms;
  outcome.total_ms = planned.planning_ms + watch.Milliseconds();
  NodeActuals& root = query.actuals[static_cast<size_t>(plan.root->id)];
  root.ms = watch.Milliseconds();
  root.rows = 1;
  outcome.actuals = std::move(query.actuals);
  return outcome;
}

std::string TimingLine(const PlannedQuery& planned, const QueryOutcome& outcome) {
  char line[160];
  std::snprintf(line, sizeof(line), "Timing (planning_ms=%.3f, ttft_ms=%.3f, total_ms=%.3f)",
                planned.planning_ms, outcome.ttft_ms, outcome.total_ms);
  return line;
}

}  // namespace

std::string RunSelect(const ast::Select& statement, Database::Rep& database,
                      const Settings& settings, ResultSink& sink) {
  const PlannedQuery planned = Plan(statement, database, settings, sink);
  sink.OnColumns({{"text", Column::Type::kText},
                  {"finish_reason", Column::Type::kText},
                  {"prompt_tokens", Column::Type::kInteger},
                  {"cached_tokens", Column::Type::kInteger},
                  {"output_tokens", Column::Type::kInteger},
                  {"ttft_ms", Column::Type::kReal},
                  {"total_ms", Column::Type::kReal},
                  {"reuse", Column::Type::kText}});
  const QueryOutcome outcome = Run(planned, database, true, sink);
  const BoundPrompt& prompt = planned.plan.prompt;
  sink.OnRow({outcome.generation.text, outcome.generation.finish_reason,
              int64_t{prompt.prompt_tokens}, int64_t{outcome.cached_tokens},
              static_cast<int64_t>(outcome.generation.tokens.size()), outcome.ttft_ms,
              outcome.total_ms, std::string(ReuseModeName(prompt.reuse))});
  return "SELECT 1";
}

std::string RunExplain(const ast::Explain& statement, Database::Rep& database,
                       const Settings& settings, ResultSink& sink) {
  if (const auto* system = std::get_if<ast::SystemSelect>(&statement.query)) {
    return RunExplainSystemSelect(*system, statement, database, settings, sink);
  }
  const PlannedQuery planned =
      Plan(std::get<ast::Select>(statement.query), database, settings, sink);
  std::optional<QueryOutcome> outcome;
  if (statement.analyze) outcome = Run(planned, database, false, sink);
  const std::vector<NodeActuals>* actuals = outcome ? &outcome->actuals : nullptr;

  sink.OnColumns({{"plan", Column::Type::kText}});
  if (statement.format == ast::Explain::Format::kJson) {
    sink.OnRow({ExplainJson(*planned.plan.root, actuals)});
    return "EXPLAIN";
  }
  for (std::string& line : ExplainText(*planned.plan.root, actuals)) sink.OnRow({std::move(line)});
  if (outcome) sink.OnRow({TimingLine(planned, *outcome)});
  return "EXPLAIN";
}

}  // namespace promptdb
