#include "executor/query_run.h"
#include "executor/statements.h"
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

QueryOutcome Run(const PlannedQuery& planned, Database::Rep& database, bool stream,
                 ResultSink& sink) {
  return RunQuery(planned.plan, planned.planning_ms, *planned.schema->model, database.cache, stream,
                  sink);
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
  sink.OnColumns(GenerationColumns());
  const QueryOutcome outcome = Run(planned, database, true, sink);
  sink.OnRow(GenerationRow(planned.plan.prompt, outcome));
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
