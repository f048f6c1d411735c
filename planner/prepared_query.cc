#include "planner/prepared_query.h"

#include <string>

namespace promptdb {

namespace {

// Visits every place of a query's tree and fills in the values. With `execute` the query's words
// stood in another statement, so that their places become the one of the name there.
class Filler {
 public:
  Filler(const std::vector<ast::Literal>& values, const ast::Execute* execute)
      : values_(values), execute_(execute) {}

  void operator()(ast::Select& select) {
    Move(select.range);
    FillOptions(select.options);
    Move(select.schema.range);
    if (select.pml) {
      Fill(select.pml->text);
      if (select.pml->model) Move(select.pml->model->range);
    }
    for (ast::UseItem& item : select.use) FillItem(item);
    if (select.prompt) Fill(*select.prompt);
    for (ast::Text& text : select.prompt_in) Fill(text);
    FillOptions(select.with_options);
  }

  void operator()(ast::Explain& explain) { std::visit(*this, explain.query); }
  void operator()(ast::ContinueChat& turn) {
    FillOptions(turn.options);
    Fill(turn.prompt);
    FillOptions(turn.with_options);
  }
  void operator()(ast::BeginChat& chat) {
    for (ast::UseItem& item : chat.use) FillItem(item);
    FillOptions(chat.with_options);
  }
  void operator()(ast::Execute& execute) {
    for (ast::Literal& value : execute.values) Fill(value);
  }
  void operator()(ast::Set& set) { Fill(set.value); }
  template <typename Other>
  void operator()(Other&) {
    throw Error(ErrorCode::kUnsupported, "this statement takes no parameters",
                "Queries, EXPLAIN, chats, EXECUTE and SET do; write the value itself here.");
  }

  void operator()(ast::SystemSelect& select) {
    Move(select.range);
    Move(select.table.range);
    for (ast::SelectItem& item : select.items) {
      Move(item.range);
      if (item.alias) Move(item.alias->range);
      Fill(item.value);
    }
    if (select.where) Fill(*select.where);
    for (ast::Operand& operand : select.group_by) Fill(operand);
    for (ast::OrderItem& item : select.order_by) Fill(item.value);
  }

 private:
  void Move(SourceRange& range) const {
    if (execute_ != nullptr) range = execute_->name.range;
  }

  ast::Literal Value(int parameter, SourceRange place) const {
    ast::Literal value = values_[static_cast<size_t>(parameter - 1)];
    if (execute_ == nullptr) value.range = place;
    return value;
  }

  void FillItem(ast::UseItem& item) const {
    Move(item.range);
    for (ast::Name& name : item.path) Move(name.range);
    for (ast::UseArgument& argument : item.arguments) {
      Move(argument.name.range);
      Fill(argument.value);
    }
    if (item.text) Fill(*item.text);
  }

  void Fill(ast::Text& text) const {
    if (text.parameter == 0) return Move(text.range);
    const ast::Literal value = Value(text.parameter, text.range);
    const auto* words = std::get_if<std::string>(&value.value);
    if (words == nullptr || value.is_word) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the value of $" + std::to_string(text.parameter) + " must be a text",
                  "Write it in 'single quotes'.", value.range);
    }
    text = {*words, value.range};
  }

  void Fill(ast::Literal& literal) const {
    if (literal.parameter == 0) return Move(literal.range);
    literal = Value(literal.parameter, literal.range);
  }

  void FillOptions(std::vector<ast::Option>& options) const {
    for (ast::Option& option : options) {
      Move(option.name.range);
      Fill(option.value);
    }
  }

  void Fill(ast::Operand& operand) const {
    Move(operand.range);
    Move(operand.name.range);
    if (operand.argument) Move(operand.argument->range);
    Fill(operand.constant);
    if (operand.kind == ast::Operand::Kind::kConstant) operand.range = operand.constant.range;
  }

  void Fill(ast::Condition& condition) const {
    Move(condition.range);
    for (ast::Condition& child : condition.children) Fill(child);
    for (ast::Operand& operand : condition.operands) Fill(operand);
  }

  const std::vector<ast::Literal>& values_;
  const ast::Execute* execute_;  // null where there is none
};

}  // namespace

ast::StatementNode WithValues(const ast::Prepare& prepared, const ast::Execute& execute) {
  const auto given = static_cast<int>(execute.values.size());
  if (given != prepared.parameters) {
    throw Error(ErrorCode::kInvalidArgument,
                "prepared query \"" + execute.name.text + "\" takes " +
                    std::to_string(prepared.parameters) +
                    (prepared.parameters == 1 ? " value" : " values") + ", not " +
                    std::to_string(given),
                "", execute.name.range);
  }
  ast::StatementNode query =
      std::visit([](const auto& as) { return ast::StatementNode(as); }, prepared.query);
  std::visit(Filler(execute.values, &execute), query);
  return query;
}

ast::StatementNode WithValues(const ast::StatementNode& statement,
                              const std::vector<ast::Literal>& values) {
  ast::StatementNode filled = statement;
  if (!values.empty()) std::visit(Filler(values, nullptr), filled);
  return filled;
}

}  // namespace promptdb
