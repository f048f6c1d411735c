#include "planner/prepared_query.h"

#include <string>

namespace promptdb {

namespace {

// Visits every place of a query's tree: moves it into the EXECUTE, and fills in the values.
class Filler {
 public:
  explicit Filler(const ast::Execute& execute) : execute_(execute) {}

  void operator()(ast::Select& select) {
    Move(select.range);
    FillOptions(select.options);
    Move(select.schema.range);
    if (select.pml) {
      Fill(select.pml->text);
      if (select.pml->model) Move(select.pml->model->range);
    }
    for (ast::UseItem& item : select.use) {
      Move(item.range);
      for (ast::Name& name : item.path) Move(name.range);
      for (ast::UseArgument& argument : item.arguments) {
        Move(argument.name.range);
        Fill(argument.value);
      }
      if (item.text) Fill(*item.text);
    }
    if (select.prompt) Fill(*select.prompt);
    for (ast::Text& text : select.prompt_in) Fill(text);
    FillOptions(select.with_options);
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
  void Move(SourceRange& range) const { range = execute_.name.range; }

  const ast::Literal& Value(int parameter) const {
    return execute_.values[static_cast<size_t>(parameter - 1)];
  }

  void Fill(ast::Text& text) const {
    if (text.parameter == 0) return Move(text.range);
    const ast::Literal& value = Value(text.parameter);
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
    literal = Value(literal.parameter);
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

  const ast::Execute& execute_;
};

}  // namespace

ast::Query WithValues(const ast::Prepare& prepared, const ast::Execute& execute) {
  const auto given = static_cast<int>(execute.values.size());
  if (given != prepared.parameters) {
    throw Error(ErrorCode::kInvalidArgument,
                "prepared query \"" + execute.name.text + "\" takes " +
                    std::to_string(prepared.parameters) +
                    (prepared.parameters == 1 ? " value" : " values") + ", not " +
                    std::to_string(given),
                "", execute.name.range);
  }
  ast::Query query = prepared.query;
  std::visit(Filler(execute), query);
  return query;
}

}  // namespace promptdb
