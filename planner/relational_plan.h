// The plan of a query of a system table: an immutable tree, without branches, of
//
//   Project
//     Limit           where the query has LIMIT or OFFSET
//       Sort          where it has ORDER BY
//         Aggregate   where it has GROUP BY or an aggregate
//           Filter    where it has WHERE
//             TableScan
//
// A node's rows are those of the node below it, but for Aggregate, whose rows are its groups' keys
// followed by its aggregates, and Project. Names are gone: columns are places in the row below.
#ifndef PROMPTDB_PLANNER_RELATIONAL_PLAN_H_
#define PROMPTDB_PLANNER_RELATIONAL_PLAN_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/value.h"
#include "parser/ast.h"
#include "planner/like_pattern.h"
#include "planner/plan.h"
#include "planner/system_catalog.h"

namespace promptdb {

// What an expression reads.
struct Scalar {
  int column = -1;  // of the row below; -1: the constant
  Value constant;

  const Value& In(const Row& row) const {
    return column < 0 ? constant : row[static_cast<size_t>(column)];
  }
};

// A condition as the syntax tree has it (see ast::Condition for what `operands` are), bound and
// checked: what it compares is comparable.
struct BoundCondition {
  ast::Condition::Kind kind = ast::Condition::Kind::kCompare;
  std::vector<BoundCondition> children;
  bool is_negated = false;
  ast::Condition::Comparison comparison = ast::Condition::Comparison::kEqual;
  std::vector<Scalar> operands;        // kLike: only what is tested
  std::optional<LikePattern> pattern;  // kLike
};

// There is nothing to estimate in tables this small.
class RelationalNode : public PlanNode {
 public:
  bool has_estimate() const override { return false; }

  // REQUIRES: not a TableScan.
  const RelationalNode& input() const {
    return static_cast<const RelationalNode&>(*children.front());
  }
};

class TableScanNode : public RelationalNode {
 public:
  std::string_view name() const override { return "TableScan"; }
  void Describe(PlanDetails& details) const override;

  const SystemTable* table = nullptr;  // borrowed from the catalog that the query was bound to
  // Only rows of this schema are wanted: others may be given, but need not.
  std::optional<std::string> only_schema;
};

// The rows for which the condition is true: not those for which it is NULL.
class FilterNode : public RelationalNode {
 public:
  std::string_view name() const override { return "Filter"; }
  void Describe(PlanDetails& details) const override;

  BoundCondition condition;
  std::string text;  // for people
};

struct AggregateCall {
  enum class Function { kCount, kSum, kMin, kMax, kAvg };
  Function function = Function::kCount;
  int column = -1;  // of the row below; -1: count(*)
  bool is_distinct = false;
  Column::Type argument_type = Column::Type::kInteger;
  Column::Type type = Column::Type::kInteger;  // of the result
  SourceRange range;                           // for errors that only the rows show
  std::string text;                            // "count(DISTINCT tier)"
};

// One row for each group of rows that have the same keys, in the order in which the groups first
// appear. Without GROUP BY all rows are one group, which is there even without rows.
class AggregateNode : public RelationalNode {
 public:
  std::string_view name() const override { return "Aggregate"; }
  void Describe(PlanDetails& details) const override;

  bool is_grouped = false;  // GROUP BY, if only of constants
  std::vector<int> keys;    // columns of the row below
  std::vector<AggregateCall> calls;
  std::vector<std::string> key_names;
};

// Equal rows keep their order. NULL is greater than all values.
class SortNode : public RelationalNode {
 public:
  std::string_view name() const override { return "Sort"; }
  void Describe(PlanDetails& details) const override;

  struct Key {
    int column = 0;  // of the row below
    bool is_descending = false;
    std::string text;  // "bytes DESC"
  };
  std::vector<Key> keys;  // the first decides first; may be empty
};

class LimitNode : public RelationalNode {
 public:
  std::string_view name() const override { return "Limit"; }
  void Describe(PlanDetails& details) const override;

  std::optional<int64_t> limit;
  int64_t offset = 0;
};

class ProjectNode : public RelationalNode {
 public:
  std::string_view name() const override { return "Project"; }
  void Describe(PlanDetails& details) const override;

  std::vector<Scalar> values;
  std::vector<Column> columns;  // what the values are called
};

struct RelationalPlan {
  std::unique_ptr<ProjectNode> root;
  int nodes = 0;
};

// The parts of a statement as EXPLAIN and messages write them.
std::string OperandText(const ast::Operand& operand);
std::string ConditionText(const ast::Condition& condition);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_RELATIONAL_PLAN_H_
