#include "executor/inspect.h"
#include "executor/plan_rows.h"
#include "executor/query_run.h"
#include "executor/statements.h"
#include "executor/working_memory.h"
#include "planner/planner.h"
#include "planner/prefix_match.h"

namespace promptdb {

namespace {

struct PlannedQuery {
  std::shared_ptr<const OpenSchema> schema;
  std::vector<QueryPlan> plans;  // one a prompt of PROMPT IN; never empty
  double planning_ms = 0;        // of all

  const OpenModel& model() const { return *schema->model; }
};

PlannedQuery Plan(const ast::Select& query, Database::Rep& database, const Settings& settings,
                  const Access& access, ResultSink& sink) {
  if (query.pml) return Plan(ExpandPml(query, database), database, settings, access, sink);
  if (query.is_bare) {
    access.DemandModel(Privilege::kUsage, query.schema);
  } else {
    access.DemandSchema(Privilege::kUsage, query.schema);
  }
  PlannedQuery planned;
  planned.schema =
      query.is_bare ? database.OpenBare(query.schema, sink) : database.Open(query.schema, sink);
  const OpenModel& model = planned.model();
  const Stopwatch watch;
  const PlanContext context = database.ContextOf(model);
  std::vector<BoundPrompt> prompts;
  for (int row = 0, rows = 1; row < rows; ++row) {
    prompts.push_back(BindPrompt(query, planned.schema->definition, planned.schema->layout,
                                 model.tokenizer(), model.chat_template(),
                                 model.config().context_length, settings.query_defaults(), row));
    rows = prompts.front().rows;
    GiveTo(OwnerOfStates(access.id(), planned.schema->definition), prompts.back());
  }
  const BoundPrompt& first = prompts.front();
  if (first.kind == ast::Select::Kind::kGenerate && first.reuse == ReuseMode::kExact &&
      first.cache) {
    CutAtCachedPrefixes(model.fingerprint(), model.config().positions, database.cache, prompts);
  }
  for (BoundPrompt& prompt : prompts) {
    planned.plans.push_back(PlanQuery(std::move(prompt), context));
  }
  planned.planning_ms = watch.Milliseconds();
  return planned;
}

std::string RowsTag(size_t rows) { return "SELECT " + std::to_string(rows); }

// WITH (stream = on): each piece of the answer's text as a row of its own, whose other columns are
// NULL. The last row has no text left and all the figures, so that the texts of all rows, joined,
// are the answer.
class PieceRows : public RelayingSink {
 public:
  using RelayingSink::RelayingSink;

  void OnColumns(const std::vector<Column>& columns) override {
    piece_.resize(columns.size());
    RelayingSink::OnColumns(columns);
  }
  void OnRow(const std::vector<Value>& row) override {
    std::vector<Value> last = row;
    last[0] = std::string();
    Send(last);
  }
  void OnTextPiece(std::string_view piece) override {
    piece_[0] = std::string(piece);
    Send(piece_);
  }

  size_t rows() const { return rows_; }

 private:
  void Send(const std::vector<Value>& row) {
    RelayingSink::OnRow(row);
    ++rows_;
  }

  std::vector<Value> piece_;  // all but its first column are NULL
  size_t rows_ = 0;
};

}  // namespace

void WarnOfLoss(const BoundPrompt& prompt, const OpenModel& model, const Database::Rep& database,
                const Settings& settings, ResultSink& sink) {
  const std::string warning =
      AccuracyWarning(prompt, model, database.catalog, settings.accuracy_tolerance());
  if (!warning.empty()) sink.OnNotice(warning);
}

std::string RunSelect(const ast::Select& statement, Database::Rep& database,
                      const Settings& settings, const Access& access, ResultSink& sink) {
  const PlannedQuery planned = Plan(statement, database, settings, access, sink);
  const QueryMemory::Reservation memory =
      ReserveMemory(planned.plans, planned.model(), database, sink);
  if (statement.kind != ast::Select::Kind::kGenerate) {
    sink.OnColumns(InspectColumns(statement.kind));
    size_t rows = 0;
    for (const QueryPlan& plan : planned.plans) {
      RunInspect(plan, planned.model(), database.cache, sink, [&](const std::vector<Value>& row) {
        sink.OnRow(row);
        ++rows;
      });
    }
    return RowsTag(rows);
  }
  WarnOfLoss(planned.plans.front().prompt, planned.model(), database, settings, sink);
  const bool streams = planned.plans.front().prompt.stream;
  PieceRows pieces(sink);
  ResultSink& rows = streams ? pieces : sink;
  rows.OnColumns(GenerationColumns(AskForLogprobs(statement.options)));
  RunRows(planned.plans, planned.planning_ms, planned.model(), database.cache, true, rows,
          [&](const QueryPlan& plan, const QueryOutcome& outcome) {
            rows.OnRow(GenerationRow(plan.prompt, outcome));
          });
  return RowsTag(streams ? pieces.rows() : planned.plans.size());
}

std::string RunExplain(const ast::Explain& statement, Database::Rep& database,
                       const Settings& settings, const Access& access, ResultSink& sink) {
  if (const auto* system = std::get_if<ast::SystemSelect>(&statement.query)) {
    return RunExplainSystemSelect(*system, statement, database, settings, access, sink);
  }
  const auto& query = std::get<ast::Select>(statement.query);
  if (!statement.analyze) database.TellOfForeignRates(sink);
  const PlannedQuery planned = Plan(query, database, settings, access, sink);
  const QueryPlan& plan = planned.plans.front();  // the one that is shown
  std::vector<NodeActuals> actuals;
  double ttft_ms = 0;
  std::optional<QueryMemory::Reservation> memory;
  if (statement.analyze) {
    memory.emplace(ReserveMemory(planned.plans, planned.model(), database, sink));
  }
  const Stopwatch watch;
  if (statement.analyze && query.kind == ast::Select::Kind::kGenerate) {
    RunRows(planned.plans, planned.planning_ms, planned.model(), database.cache, false, sink,
            [&](const QueryPlan& row, const QueryOutcome& outcome) {
              if (&row != &plan) return;
              actuals = outcome.actuals;
              ttft_ms = outcome.ttft_ms;
            });
  } else if (statement.analyze) {
    actuals =
        RunInspect(plan, planned.model(), database.cache, sink, [](const std::vector<Value>&) {});
    ttft_ms = planned.planning_ms + watch.Milliseconds();
  }
  char timing[160];
  std::snprintf(timing, sizeof(timing), "planning_ms=%.3f, ttft_ms=%.3f, total_ms=%.3f",
                planned.planning_ms, ttft_ms, planned.planning_ms + watch.Milliseconds());
  SendPlan(statement, *plan.root, actuals, timing, sink);
  return "EXPLAIN";
}

}  // namespace promptdb
