// Filter: conditions in SQL's logic of three values, where NULL stands for "not known".
#include <algorithm>
#include <optional>

#include "executor/relational_operators.h"

namespace promptdb {

namespace {

// nullopt: NULL.
using Truth = std::optional<bool>;

Truth Not(Truth truth) { return truth ? Truth(!*truth) : truth; }

// One false makes it false, whatever is not known.
Truth And(Truth left, Truth right) {
  if (left == Truth(false) || right == Truth(false)) return false;
  return left && right ? Truth(true) : std::nullopt;
}

Truth Or(Truth left, Truth right) { return Not(And(Not(left), Not(right))); }

Truth Compare(ast::Condition::Comparison comparison, const Value& left, const Value& right) {
  if (IsNull(left) || IsNull(right)) return std::nullopt;
  const int order = CompareValues(left, right);
  switch (comparison) {
    case ast::Condition::Comparison::kEqual:
      return order == 0;
    case ast::Condition::Comparison::kNotEqual:
      return order != 0;
    case ast::Condition::Comparison::kLess:
      return order < 0;
    case ast::Condition::Comparison::kLessEqual:
      return order <= 0;
    case ast::Condition::Comparison::kGreater:
      return order > 0;
    case ast::Condition::Comparison::kGreaterEqual:
      return order >= 0;
  }
  return std::nullopt;
}

Truth Evaluate(const BoundCondition& condition, const Row& row);

// A condition on values, without the NOT that may stand in it.
Truth EvaluatePredicate(const BoundCondition& condition, const Row& row) {
  using Comparison = ast::Condition::Comparison;
  const auto value = [&](size_t i) -> const Value& { return condition.operands[i].In(row); };
  switch (condition.kind) {
    case ast::Condition::Kind::kCompare:
      return Compare(condition.comparison, value(0), value(1));
    case ast::Condition::Kind::kIsNull:
      return IsNull(value(0));
    case ast::Condition::Kind::kLike:
      if (IsNull(value(0))) return std::nullopt;
      return condition.pattern->Matches(std::get<std::string>(value(0)));
    case ast::Condition::Kind::kBetween:
      return And(Compare(Comparison::kGreaterEqual, value(0), value(1)),
                 Compare(Comparison::kLessEqual, value(0), value(2)));
    default:
      break;
  }
  Truth truth = false;  // kIn
  for (size_t i = 1; i < condition.operands.size(); ++i) {
    truth = Or(truth, Compare(Comparison::kEqual, value(0), value(i)));
  }
  return truth;
}

Truth Evaluate(const BoundCondition& condition, const Row& row) {
  Truth truth;
  switch (condition.kind) {
    case ast::Condition::Kind::kAnd:
      truth = true;
      for (const BoundCondition& child : condition.children) {
        truth = And(truth, Evaluate(child, row));
        if (truth == Truth(false)) break;
      }
      return truth;
    case ast::Condition::Kind::kOr:
      truth = false;
      for (const BoundCondition& child : condition.children) {
        truth = Or(truth, Evaluate(child, row));
        if (truth == Truth(true)) break;
      }
      return truth;
    case ast::Condition::Kind::kNot:
      return Not(Evaluate(condition.children.front(), row));
    default:
      truth = EvaluatePredicate(condition, row);
      return condition.is_negated ? Not(truth) : truth;
  }
}

}  // namespace

std::vector<Row> RunFilter(const FilterNode& node, std::vector<Row> rows) {
  std::erase_if(rows, [&](const Row& row) { return Evaluate(node.condition, row) != Truth(true); });
  return rows;
}

}  // namespace promptdb
