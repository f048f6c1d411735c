#include "planner/relational_binder.h"

#include <algorithm>
#include <utility>

#include "base/nearest_name.h"
#include "parser/parser.h"
#include "planner/options.h"

namespace promptdb {

namespace {

using Type = Column::Type;
using Function = AggregateCall::Function;

constexpr std::pair<std::string_view, Function> kFunctions[] = {
    {"avg", Function::kAvg}, {"count", Function::kCount}, {"max", Function::kMax},
    {"min", Function::kMin}, {"sum", Function::kSum},
};

std::string_view WithArticle(Type type) {
  switch (type) {
    case Type::kText:
      return "text";
    case Type::kInteger:
      return "an integer";
    case Type::kReal:
      return "a real number";
    case Type::kBoolean:
      return "a boolean";
  }
  return "";
}

// What an operand turned out to be.
struct Expression {
  enum class Kind { kColumn, kAggregate, kConstant };
  Kind kind = Kind::kColumn;
  int index = 0;             // of the table's column, or of the aggregate
  Value constant;            // kConstant
  std::optional<Type> type;  // of all but NULL
  std::string text;          // for people
  SourceRange range;
  const ast::Literal* untyped = nullptr;  // kConstant whose type is what it is compared with

  bool operator==(const Expression& other) const {
    return kind == other.kind && index == other.index && constant == other.constant;
  }
};

// A result of the SELECT list, * taken apart.
struct Item {
  std::string name;
  Expression value;
};

class Binder {
 public:
  Binder(const ast::SystemSelect& query, std::span<const SystemTable> tables)
      : query_(query), table_(FindTable(query.table, tables)) {}

  RelationalPlan Bind() {
    BindItems();
    std::unique_ptr<RelationalNode> node = MakeScan();
    if (query_.where) node = Over(MakeFilter(), std::move(node));
    BindGroupBy();
    BindOrderBy();
    is_aggregated_ = is_grouped_ || !calls_.empty();
    std::unique_ptr<ProjectNode> project = MakeProject();
    std::unique_ptr<SortNode> sort = MakeSort();
    if (is_aggregated_) node = Over(MakeAggregate(), std::move(node));
    if (!sort->keys.empty()) node = Over(std::move(sort), std::move(node));
    if (query_.limit || query_.offset > 0) {
      auto limit = std::make_unique<LimitNode>();
      limit->limit = query_.limit;
      limit->offset = query_.offset;
      node = Over(std::move(limit), std::move(node));
    }
    RelationalPlan plan;
    plan.root = std::move(project);
    plan.root->children.push_back(std::move(node));
    for (PlanNode* at = plan.root.get(); at != nullptr;
         at = at->children.empty() ? nullptr : at->children.front().get()) {
      at->id = plan.nodes++;
    }
    return plan;
  }

 private:
  static const SystemTable& FindTable(const ast::Name& name, std::span<const SystemTable> tables) {
    std::vector<std::string> names;
    for (const SystemTable& table : tables) {
      if (table.name == name.text) return table;
      names.emplace_back(table.name);
    }
    std::string hint = DidYouMean(name.text, names);
    if (hint.empty()) hint = "SELECT * FROM pc_tables lists them.";
    throw Error(ErrorCode::kUnknownName, "there is no system table \"" + name.text + "\"", hint,
                name.range);
  }

  template <typename Node>
  static std::unique_ptr<Node> Over(std::unique_ptr<Node> node,
                                    std::unique_ptr<RelationalNode> below) {
    node->children.push_back(std::move(below));
    return node;
  }

  // ---- Operands ----

  Expression ColumnAt(int index, SourceRange range) const {
    const SystemColumn& column = table_.columns[static_cast<size_t>(index)];
    return {Expression::Kind::kColumn, index, {}, column.type, QuoteName(column.name), range};
  }

  [[noreturn]] void FailColumn(const ast::Name& name, bool with_results) const {
    std::vector<std::string> names;
    std::string list;
    for (const SystemColumn& column : table_.columns) {
      names.emplace_back(column.name);
      list += (list.empty() ? "" : ", ") + QuoteName(column.name);
    }
    if (with_results) {
      for (const Item& item : items_) names.push_back(item.name);
    }
    std::string hint = DidYouMean(name.text, names);
    if (hint.empty()) hint = "Its columns are " + list + ".";
    throw Error(ErrorCode::kUnknownName,
                std::string(table_.name) + " has no column \"" + name.text + "\"", hint,
                name.range);
  }

  int ColumnNamed(const ast::Name& name) const {
    const int index = table_.FindColumn(name.text);
    if (index < 0) FailColumn(name, false);
    return index;
  }

  // `place`: where aggregates may not stand ("WHERE"), or "".
  Expression BindOperand(const ast::Operand& operand, std::string_view place) {
    switch (operand.kind) {
      case ast::Operand::Kind::kColumn:
        return ColumnAt(ColumnNamed(operand.name), operand.range);
      case ast::Operand::Kind::kFunction:
        return BindFunction(operand, place);
      default:
        return BindConstant(operand);
    }
  }

  static Expression BindConstant(const ast::Operand& operand) {
    Expression bound;
    bound.kind = Expression::Kind::kConstant;
    bound.range = operand.range;
    bound.text = OperandText(operand);
    if (operand.kind == ast::Operand::Kind::kNull) return bound;
    const auto& literal = operand.constant.value;
    if (const auto* text = std::get_if<std::string>(&literal)) {
      bound.type = Type::kText;
      bound.constant = *text;
      if (operand.constant.is_untyped) bound.untyped = &operand.constant;
    } else if (const auto* whole = std::get_if<int64_t>(&literal)) {
      bound.type = Type::kInteger;
      bound.constant = *whole;
    } else if (const auto* real = std::get_if<double>(&literal)) {
      bound.type = Type::kReal;
      bound.constant = *real;
    } else {
      bound.type = Type::kBoolean;
      bound.constant = std::get<bool>(literal);
    }
    return bound;
  }

  static Function FunctionNamed(const ast::Name& name) {
    std::vector<std::string> names;
    for (const auto& [known, function] : kFunctions) {
      if (known == name.text) return function;
      names.emplace_back(known);
    }
    std::string hint = DidYouMean(name.text, names);
    if (hint.empty()) hint = "There are count, sum, min, max and avg.";
    throw Error(ErrorCode::kUnknownName, "there is no function \"" + name.text + "\"", hint,
                name.range);
  }

  Expression BindFunction(const ast::Operand& operand, std::string_view place) {
    AggregateCall call;
    call.function = FunctionNamed(operand.name);
    call.is_distinct = operand.is_distinct;
    call.range = operand.range;
    call.text = OperandText(operand);
    if (!place.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "an aggregate can't stand in " + std::string(place) + ": " + call.text, "",
                  operand.range);
    }
    if (operand.argument) {
      call.column = ColumnNamed(*operand.argument);
      call.argument_type = table_.columns[static_cast<size_t>(call.column)].type;
      CheckArgument(call, operand);
    } else if (call.function != Function::kCount) {
      throw Error(ErrorCode::kInvalidArgument,
                  operand.name.text + " needs a column, as only count takes *", "", operand.range);
    }
    if (call.function == Function::kAvg) call.type = Type::kReal;
    if (call.function != Function::kAvg && call.function != Function::kCount) {
      call.type = call.argument_type;
    }
    // The same aggregate is computed once.
    const auto same = std::find_if(calls_.begin(), calls_.end(), [&](const AggregateCall& other) {
      return other.function == call.function && other.column == call.column &&
             other.is_distinct == call.is_distinct;
    });
    Expression bound{Expression::Kind::kAggregate,
                     static_cast<int>(same - calls_.begin()),
                     {},
                     call.type,
                     call.text,
                     operand.range};
    if (same == calls_.end()) calls_.push_back(std::move(call));
    return bound;
  }

  static void CheckArgument(const AggregateCall& call, const ast::Operand& operand) {
    const bool is_number =
        call.argument_type == Type::kInteger || call.argument_type == Type::kReal;
    if (is_number || (call.function != Function::kSum && call.function != Function::kAvg)) return;
    throw Error(ErrorCode::kInvalidArgument,
                operand.name.text + " is for numbers, and " + QuoteName(operand.argument->text) +
                    " is " + std::string(WithArticle(call.argument_type)),
                "", operand.argument->range);
  }

  // ---- SELECT list ----

  void BindItems() {
    for (const ast::SelectItem& item : query_.items) {
      if (item.is_star) {
        for (size_t i = 0; i < table_.columns.size(); ++i) {
          items_.push_back(
              {std::string(table_.columns[i].name), ColumnAt(static_cast<int>(i), item.range)});
        }
        continue;
      }
      Item bound{"?column?", BindOperand(item.value, "")};
      if (item.alias) {
        bound.name = item.alias->text;
      } else if (bound.value.kind != Expression::Kind::kConstant) {
        bound.name = item.value.name.text;
      }
      items_.push_back(std::move(bound));
    }
  }

  // The result of this name, if there is one. `clause`: who asks.
  std::optional<Expression> ResultNamed(const ast::Name& name, std::string_view clause) const {
    std::optional<Expression> found;
    for (const Item& item : items_) {
      if (item.name != name.text) continue;
      if (found && !(*found == item.value)) {
        throw Error(ErrorCode::kInvalidArgument,
                    std::string(clause) + " is ambiguous: more than one result is named \"" +
                        name.text + "\"",
                    "", name.range);
      }
      found = item.value;
    }
    if (found) found->range = name.range;
    return found;
  }

  // The result at a place that GROUP BY or ORDER BY gives as a number.
  Expression ResultAt(const ast::Operand& operand, std::string_view clause) const {
    const auto* place = operand.kind == ast::Operand::Kind::kConstant
                            ? std::get_if<int64_t>(&operand.constant.value)
                            : nullptr;
    if (place == nullptr) {
      throw Error(
          ErrorCode::kInvalidArgument,
          std::string(clause) + " takes columns and whole numbers, not " + OperandText(operand), "",
          operand.range);
    }
    if (*place < 1 || *place > static_cast<int64_t>(items_.size())) {
      throw Error(ErrorCode::kInvalidArgument,
                  std::string(clause) + " takes places from 1 to " + std::to_string(items_.size()) +
                      ", not " + std::to_string(*place),
                  "", operand.range);
    }
    Expression result = items_[static_cast<size_t>(*place) - 1].value;
    result.range = operand.range;
    return result;
  }

  // ---- Conditions ----

  static Scalar ScalarOf(const Expression& expression) {
    if (expression.kind == Expression::Kind::kConstant) return {-1, expression.constant};
    return {expression.index, {}};
  }

  static void CheckComparable(const Expression& left, const Expression& right) {
    if (!left.type || !right.type || AreComparable(*left.type, *right.type)) return;
    std::string hint;
    if (right.kind == Expression::Kind::kConstant && left.kind == Expression::Kind::kColumn) {
      if (*left.type == Type::kText) hint = "Write " + QuoteText(right.text) + ".";
      const bool is_number = *left.type == Type::kInteger || *left.type == Type::kReal;
      if (is_number && *right.type == Type::kText) hint = "Write a number, without quotes.";
    }
    throw Error(ErrorCode::kInvalidArgument,
                left.text + " is " + std::string(WithArticle(*left.type)) +
                    " and can't be compared with " + std::string(WithArticle(*right.type)) + ": " +
                    right.text,
                hint, right.range);
  }

  // An untyped constant beside something of another type is read as a value of that type.
  static void Adapt(const Expression& beside, Expression& constant) {
    if (constant.untyped == nullptr || !beside.type || beside.untyped != nullptr) return;
    const ast::Literal& literal = *constant.untyped;
    const auto take = [&](const auto& value, Type type) {
      if (!value) return;
      constant.constant = *value;
      constant.type = type;
    };
    if (*beside.type == Type::kBoolean) {
      take(UntypedBoolean(literal), Type::kBoolean);
    } else if (*beside.type != Type::kText) {
      const std::optional<int64_t> whole = UntypedInteger(literal);
      whole ? take(whole, Type::kInteger) : take(UntypedReal(literal), Type::kReal);
    }
  }

  BoundCondition BindCondition(const ast::Condition& condition) {
    BoundCondition bound;
    bound.kind = condition.kind;
    bound.is_negated = condition.is_negated;
    bound.comparison = condition.comparison;
    for (const ast::Condition& child : condition.children) {
      bound.children.push_back(BindCondition(child));
    }
    if (condition.operands.empty()) return bound;
    Expression tested = BindOperand(condition.operands.front(), "WHERE");
    if (condition.operands.size() > 1 && tested.untyped != nullptr) {
      Adapt(BindOperand(condition.operands[1], "WHERE"), tested);
    }
    bound.operands.push_back(ScalarOf(tested));
    if (condition.kind == ast::Condition::Kind::kLike) {
      bound.pattern = BindPattern(tested, condition.operands.back());
      return bound;
    }
    for (size_t i = 1; i < condition.operands.size(); ++i) {
      Expression other = BindOperand(condition.operands[i], "WHERE");
      Adapt(tested, other);
      CheckComparable(tested, other);
      bound.operands.push_back(ScalarOf(other));
    }
    return bound;
  }

  static LikePattern BindPattern(const Expression& tested, const ast::Operand& pattern) {
    if (tested.type && *tested.type != Type::kText) {
      throw Error(
          ErrorCode::kInvalidArgument,
          "LIKE is for text, and " + tested.text + " is " + std::string(WithArticle(*tested.type)),
          "", tested.range);
    }
    const auto* text = std::get_if<std::string>(&pattern.constant.value);
    if (text == nullptr) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the pattern of LIKE must be text, not " + OperandText(pattern), "",
                  pattern.range);
    }
    try {
      return LikePattern(*text);
    } catch (const Error& error) {
      throw error.At(pattern.range);
    }
  }

  // ---- Nodes ----

  std::unique_ptr<RelationalNode> MakeScan() const {
    auto scan = std::make_unique<TableScanNode>();
    scan->table = &table_;
    if (table_.is_by_schema && query_.where) scan->only_schema = SchemaRequiredBy(*query_.where);
    return scan;
  }

  // The text that the column "schema" must equal for the condition to be true, if it says so.
  static std::optional<std::string> SchemaRequiredBy(const ast::Condition& condition) {
    if (condition.kind == ast::Condition::Kind::kAnd) {
      for (const ast::Condition& child : condition.children) {
        if (auto schema = SchemaRequiredBy(child)) return schema;
      }
    }
    if (condition.kind != ast::Condition::Kind::kCompare ||
        condition.comparison != ast::Condition::Comparison::kEqual) {
      return std::nullopt;
    }
    const ast::Operand* column = &condition.operands[0];
    const ast::Operand* constant = &condition.operands[1];
    if (column->kind == ast::Operand::Kind::kConstant) std::swap(column, constant);
    if (column->kind != ast::Operand::Kind::kColumn || column->name.text != "schema" ||
        constant->kind != ast::Operand::Kind::kConstant) {
      return std::nullopt;
    }
    const auto* text = std::get_if<std::string>(&constant->constant.value);
    return text == nullptr ? std::nullopt : std::optional(*text);
  }

  std::unique_ptr<RelationalNode> MakeFilter() {
    auto filter = std::make_unique<FilterNode>();
    filter->condition = BindCondition(*query_.where);
    filter->text = ConditionText(*query_.where);
    return filter;
  }

  void BindGroupBy() {
    is_grouped_ = !query_.group_by.empty();
    for (const ast::Operand& operand : query_.group_by) {
      const Expression key = GroupKey(operand);
      if (key.kind == Expression::Kind::kAggregate) {
        throw Error(ErrorCode::kInvalidArgument,
                    "an aggregate can't stand in GROUP BY: " + key.text, "", operand.range);
      }
      // All rows have the same constant, so it parts none of them.
      if (key.kind == Expression::Kind::kConstant) continue;
      if (std::find(keys_.begin(), keys_.end(), key.index) == keys_.end()) {
        keys_.push_back(key.index);
      }
    }
  }

  Expression GroupKey(const ast::Operand& operand) {
    if (operand.kind == ast::Operand::Kind::kFunction) return BindOperand(operand, "GROUP BY");
    if (operand.kind != ast::Operand::Kind::kColumn) return ResultAt(operand, "GROUP BY");
    const int column = table_.FindColumn(operand.name.text);
    if (column >= 0) return ColumnAt(column, operand.range);
    const auto result = ResultNamed(operand.name, "GROUP BY");
    if (!result) FailColumn(operand.name, true);
    return *result;
  }

  void BindOrderBy() {
    for (const ast::OrderItem& item : query_.order_by) {
      order_.push_back(OrderKey(item.value));
    }
  }

  Expression OrderKey(const ast::Operand& operand) {
    if (operand.kind == ast::Operand::Kind::kFunction) return BindOperand(operand, "");
    if (operand.kind != ast::Operand::Kind::kColumn) return ResultAt(operand, "ORDER BY");
    if (const auto result = ResultNamed(operand.name, "ORDER BY")) return *result;
    const int column = table_.FindColumn(operand.name.text);
    if (column < 0) FailColumn(operand.name, true);
    return ColumnAt(column, operand.range);
  }

  // Where an expression is in the rows that are sorted and projected.
  Scalar PlaceOf(const Expression& expression) const {
    if (expression.kind == Expression::Kind::kConstant || !is_aggregated_) {
      return ScalarOf(expression);
    }
    if (expression.kind == Expression::Kind::kAggregate) {
      return {static_cast<int>(keys_.size()) + expression.index, {}};
    }
    const auto key = std::find(keys_.begin(), keys_.end(), expression.index);
    if (key == keys_.end()) {
      throw Error(
          ErrorCode::kInvalidArgument,
          "neither in GROUP BY nor in an aggregate: column " + expression.text,
          is_grouped_
              ? "Add " + expression.text + " to GROUP BY, or write min(" + expression.text + ")."
              : "Write GROUP BY " + expression.text + ", or min(" + expression.text + ").",
          expression.range);
    }
    return {static_cast<int>(key - keys_.begin()), {}};
  }

  std::unique_ptr<RelationalNode> MakeAggregate() {
    auto aggregate = std::make_unique<AggregateNode>();
    aggregate->is_grouped = is_grouped_;
    aggregate->keys = keys_;
    for (const int key : keys_) {
      aggregate->key_names.push_back(QuoteName(table_.columns[static_cast<size_t>(key)].name));
    }
    aggregate->calls = std::move(calls_);
    return aggregate;
  }

  std::unique_ptr<SortNode> MakeSort() const {
    auto sort = std::make_unique<SortNode>();
    for (size_t i = 0; i < order_.size(); ++i) {
      const Scalar place = PlaceOf(order_[i]);
      if (place.column < 0) continue;
      const bool is_descending = query_.order_by[i].is_descending;
      sort->keys.push_back(
          {place.column, is_descending, order_[i].text + (is_descending ? " DESC" : "")});
    }
    return sort;
  }

  std::unique_ptr<ProjectNode> MakeProject() const {
    auto project = std::make_unique<ProjectNode>();
    for (const Item& item : items_) {
      project->values.push_back(PlaceOf(item.value));
      project->columns.push_back({item.name, item.value.type.value_or(Type::kText)});
    }
    return project;
  }

  const ast::SystemSelect& query_;
  const SystemTable& table_;
  std::vector<Item> items_;
  std::vector<AggregateCall> calls_;
  std::vector<int> keys_;  // columns of GROUP BY
  std::vector<Expression> order_;
  bool is_grouped_ = false;
  bool is_aggregated_ = false;
};

}  // namespace

RelationalPlan BindSystemSelect(const ast::SystemSelect& query,
                                std::span<const SystemTable> tables) {
  return Binder(query, tables).Bind();
}

}  // namespace promptdb
