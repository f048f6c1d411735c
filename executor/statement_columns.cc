#include "executor/statement_columns.h"

#include "executor/accuracy_rows.h"
#include "executor/inspect.h"
#include "executor/machine_analysis.h"
#include "executor/plan_rows.h"
#include "executor/query_run.h"
#include "executor/statements.h"
#include "planner/relational_binder.h"

namespace promptdb {

namespace {

struct Visitor {
  std::vector<Column> operator()(const ast::Select& node) const {
    return node.kind == ast::Select::Kind::kGenerate
               ? GenerationColumns(AskForLogprobs(node.options))
               : InspectColumns(node.kind);
  }
  std::vector<Column> operator()(const ast::SystemSelect& node) const {
    // What WHERE says has no part in the columns, and its parameters have no values yet.
    ast::SystemSelect query = node;
    query.where.reset();
    return BindSystemSelect(query).root->columns;
  }
  std::vector<Column> operator()(const ast::ContinueChat& node) const {
    return GenerationColumns(AskForLogprobs(node.options));
  }
  std::vector<Column> operator()(const ast::Explain&) const { return PlanColumns(); }
  std::vector<Column> operator()(const ast::Warm&) const { return WarmColumns(); }
  std::vector<Column> operator()(const ast::Pin&) const { return PinColumns(); }
  std::vector<Column> operator()(const ast::Evict&) const { return EvictColumns(); }
  std::vector<Column> operator()(const ast::Show& node) const { return ShowColumns(node); }
  std::vector<Column> operator()(const ast::Describe& node) const { return DescribeColumns(node); }
  std::vector<Column> operator()(const ast::AnalyzeModel&) const { return AccuracyColumns(); }
  std::vector<Column> operator()(const ast::Analyze&) const { return RatesColumns(); }
  std::vector<Column> operator()(const ast::CheckDatabase&) const { return CheckColumns(); }
  std::vector<Column> operator()(const ast::Vacuum&) const { return VacuumColumns(); }
  std::vector<Column> operator()(const ast::Backup&) const { return BackupColumns(); }
  std::vector<Column> operator()(const ast::Restore&) const { return RestoreColumns(); }
  std::vector<Column> operator()(const ast::ExportStates&) const { return ExportStatesColumns(); }
  std::vector<Column> operator()(const ast::ImportStates&) const { return ImportStatesColumns(); }
  std::vector<Column> operator()(const ast::AlterUser& node) const {
    return AlterUserColumns(node);
  }
  template <typename Other>
  std::vector<Column> operator()(const Other&) const {
    return {};
  }
};

}  // namespace

std::vector<Column> StatementColumns(const ast::StatementNode& statement) {
  return std::visit(Visitor(), statement);
}

}  // namespace promptdb
