#include "planner/relational_plan.h"

#include <charconv>

#include "parser/parser.h"

namespace promptdb {

namespace {

std::string LiteralText(const ast::Literal& literal) {
  if (literal.parameter != 0) return "$" + std::to_string(literal.parameter);
  if (const auto* whole = std::get_if<int64_t>(&literal.value)) return std::to_string(*whole);
  if (const auto* flag = std::get_if<bool>(&literal.value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&literal.value)) return QuoteText(*text);
  char buffer[32];
  const double real = std::get<double>(literal.value);
  return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), real).ptr};
}

std::string_view ComparisonText(ast::Condition::Comparison comparison) {
  switch (comparison) {
    case ast::Condition::Comparison::kEqual:
      return " = ";
    case ast::Condition::Comparison::kNotEqual:
      return " <> ";
    case ast::Condition::Comparison::kLess:
      return " < ";
    case ast::Condition::Comparison::kLessEqual:
      return " <= ";
    case ast::Condition::Comparison::kGreater:
      return " > ";
    case ast::Condition::Comparison::kGreaterEqual:
      return " >= ";
  }
  return "";
}

// A condition inside of another.
std::string ChildText(const ast::Condition& condition) {
  const bool is_joined =
      condition.kind == ast::Condition::Kind::kAnd || condition.kind == ast::Condition::Kind::kOr;
  return is_joined ? "(" + ConditionText(condition) + ")" : ConditionText(condition);
}

std::string JoinedText(const std::vector<ast::Condition>& children, const char* word) {
  std::string text;
  for (const ast::Condition& child : children) {
    if (!text.empty()) text += word;
    text += ChildText(child);
  }
  return text;
}

}  // namespace

std::string OperandText(const ast::Operand& operand) {
  switch (operand.kind) {
    case ast::Operand::Kind::kNull:
      return "NULL";
    case ast::Operand::Kind::kConstant:
      return LiteralText(operand.constant);
    case ast::Operand::Kind::kColumn:
      return QuoteName(operand.name.text);
    case ast::Operand::Kind::kFunction:
      break;
  }
  return operand.name.text + "(" + (operand.is_distinct ? "DISTINCT " : "") +
         (operand.argument ? QuoteName(operand.argument->text) : "*") + ")";
}

std::string ConditionText(const ast::Condition& condition) {
  using Kind = ast::Condition::Kind;
  if (condition.kind == Kind::kAnd) return JoinedText(condition.children, " AND ");
  if (condition.kind == Kind::kOr) return JoinedText(condition.children, " OR ");
  if (condition.kind == Kind::kNot) {
    return "NOT (" + ConditionText(condition.children.front()) + ")";
  }
  std::vector<std::string> operands;
  operands.reserve(condition.operands.size());
  for (const ast::Operand& operand : condition.operands) operands.push_back(OperandText(operand));
  if (condition.kind == Kind::kIsNull) {
    return operands[0] + (condition.is_negated ? " IS NOT NULL" : " IS NULL");
  }
  std::string text = operands[0] + (condition.is_negated ? " NOT" : "");
  switch (condition.kind) {
    case Kind::kCompare:
      return text + std::string(ComparisonText(condition.comparison)) + operands[1];
    case Kind::kLike:
      return text + " LIKE " + operands[1];
    case Kind::kBetween:
      return text + " BETWEEN " + operands[1] + " AND " + operands[2];
    default:
      break;
  }
  text += " IN (";
  for (size_t i = 1; i < operands.size(); ++i) text += (i > 1 ? ", " : "") + operands[i];
  return text + ")";
}

void TableScanNode::Describe(PlanDetails& details) const {
  details.emplace_back("table", std::string(table->name));
  if (only_schema) details.emplace_back("schema", *only_schema);
}

void FilterNode::Describe(PlanDetails& details) const { details.emplace_back("where", text); }

void AggregateNode::Describe(PlanDetails& details) const {
  if (is_grouped) details.emplace_back("by", key_names);
  std::vector<std::string> texts;
  texts.reserve(calls.size());
  for (const AggregateCall& call : calls) texts.push_back(call.text);
  details.emplace_back("compute", std::move(texts));
}

void SortNode::Describe(PlanDetails& details) const {
  std::vector<std::string> texts;
  texts.reserve(keys.size());
  for (const Key& key : keys) texts.push_back(key.text);
  details.emplace_back("by", std::move(texts));
}

void LimitNode::Describe(PlanDetails& details) const {
  if (limit) details.emplace_back("limit", *limit);
  if (offset > 0) details.emplace_back("offset", offset);
}

void ProjectNode::Describe(PlanDetails& details) const {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const Column& column : columns) names.push_back(column.name);
  details.emplace_back("columns", std::move(names));
}

}  // namespace promptdb
