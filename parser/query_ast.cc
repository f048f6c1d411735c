#include "parser/query_ast.h"

#include <utility>

#include "PromptQLBaseVisitor.h"
#include "parser/quoting.h"

namespace promptdb {

namespace {

using antlrcpp::Any;
using Grammar = grammar::PromptQLParser;

class UseBuilder : public grammar::PromptQLBaseVisitor {
 public:
  explicit UseBuilder(const SourceReader& reader) : reader_(reader) {}

  ast::UseItem Build(Grammar::UseItemContext* context) {
    item_ = {};
    item_.range = SourceReader::RangeOf(*context);
    context->accept(this);
    return std::move(item_);
  }

 private:
  Any visitUseRoleText(Grammar::UseRoleTextContext* context) override {
    item_.kind = ast::UseItem::Kind::kRoleText;
    item_.role = SourceReader::RoleOf(*context);
    item_.text = reader_.TextOf(context->textValue());
    return {};
  }

  Any visitUseText(Grammar::UseTextContext* context) override {
    item_.kind = ast::UseItem::Kind::kText;
    item_.text = reader_.TextOf(context->textValue());
    return {};
  }

  Any visitUseModule(Grammar::UseModuleContext* context) override {
    item_.kind = ast::UseItem::Kind::kModule;
    item_.path = reader_.PathOf(context->modulePath());
    for (Grammar::UseArgumentContext* argument : context->useArgument()) {
      item_.arguments.push_back(
          {reader_.NameOf(argument->parameterName()), reader_.TextOf(argument->textValue())});
    }
    return {};
  }

  const SourceReader& reader_;
  ast::UseItem item_;
};

class QueryBuilder : public grammar::PromptQLBaseVisitor {
 public:
  explicit QueryBuilder(const SourceReader& reader) : reader_(reader) {}

  ast::Query Build(Grammar::QueryContext* context) {
    range_ = SourceReader::RangeOf(*context);
    context->accept(this);
    return std::move(query_);
  }

 private:
  Any visitGenerateQuery(Grammar::GenerateQueryContext* context) override {
    return FillSelect(ast::Select::Kind::kGenerate, *context);
  }

  Any visitInspectQuery(Grammar::InspectQueryContext* context) override {
    const auto kind = context->TOKENS() != nullptr     ? ast::Select::Kind::kTokens
                      : context->LOGPROBS() != nullptr ? ast::Select::Kind::kLogprobs
                                                       : ast::Select::Kind::kEmbedding;
    return FillSelect(kind, *context);
  }

  // Both kinds of context have the same clauses.
  template <typename Context>
  Any FillSelect(ast::Select::Kind kind, Context& context) {
    ast::Select select;
    select.kind = kind;
    select.range = range_;
    select.options = reader_.OptionsOf(context.optionList());
    Grammar::QuerySourceContext* source = context.querySource();
    if (source->schemaName() != nullptr) {
      select.schema = reader_.NameOf(source->schemaName());
    } else {
      select.pml.emplace();
      select.pml->text = reader_.TextOf(source->text());
      if (source->modelName() != nullptr) select.pml->model = reader_.NameOf(source->modelName());
    }
    select.use = BuildUse(reader_, context.useClause());
    query_ = std::move(select);
    if (context.promptClause() != nullptr) context.promptClause()->accept(this);
    std::get<ast::Select>(query_).with_options = reader_.OptionsOf(context.withOptions());
    return {};
  }

  Any visitPromptText(Grammar::PromptTextContext* context) override {
    std::get<ast::Select>(query_).prompt = reader_.TextOf(context->textValue());
    return {};
  }

  Any visitPromptIn(Grammar::PromptInContext* context) override {
    for (Grammar::TextValueContext* text : context->textValue()) {
      std::get<ast::Select>(query_).prompt_in.push_back(reader_.TextOf(text));
    }
    return {};
  }

  // ---- System tables ----

  Any visitSystemQuery(Grammar::SystemQueryContext* context) override {
    ast::SystemSelect select;
    select.range = range_;
    for (Grammar::SelectItemContext* item : context->selectItem()) {
      ast::SelectItem built;
      built.range = SourceReader::RangeOf(*item);
      built.is_star = item->operand() == nullptr;
      if (!built.is_star) built.value = OperandOf(item->operand());
      if (item->name() != nullptr) built.alias = reader_.NameOf(item->name());
      select.items.push_back(std::move(built));
    }
    select.table = reader_.NameOf(context->systemTable());
    if (context->whereClause() != nullptr) {
      select.where = ConditionOf(context->whereClause()->condition());
    }
    if (context->groupClause() != nullptr) {
      for (Grammar::OperandContext* operand : context->groupClause()->operand()) {
        select.group_by.push_back(OperandOf(operand));
      }
    }
    if (context->orderClause() != nullptr) {
      for (Grammar::OrderItemContext* item : context->orderClause()->orderItem()) {
        select.order_by.push_back({OperandOf(item->operand()), item->DESC() != nullptr});
      }
    }
    if (Grammar::LimitClauseContext* limit = context->limitClause(); limit != nullptr) {
      select.limit = reader_.NumberOf(limit->wholeNumber(0));
      if (limit->OFFSET() != nullptr) select.offset = reader_.NumberOf(limit->wholeNumber(1));
    }
    query_ = std::move(select);
    return {};
  }

  ast::Operand OperandOf(Grammar::OperandContext* context) {
    ast::Operand operand;
    operand.range = SourceReader::RangeOf(*context);
    if (context->NULL_() != nullptr) {
      operand.kind = ast::Operand::Kind::kNull;
    } else if (context->constant() != nullptr) {
      operand.kind = ast::Operand::Kind::kConstant;
      operand.constant = reader_.ConstantOf(context->constant());
    } else {
      operand.name = reader_.NameOf(context->columnName(0));
      if (context->LEFT_PARENTHESIS() != nullptr) {
        operand.kind = ast::Operand::Kind::kFunction;
        operand.is_distinct = context->DISTINCT() != nullptr;
        if (context->columnName().size() > 1) {
          operand.argument = reader_.NameOf(context->columnName(1));
        }
      }
    }
    return operand;
  }

  ast::Condition ConditionOf(Grammar::ConditionContext* context) {
    std::vector<ast::Condition> children;
    for (Grammar::ConjunctionContext* conjunction : context->conjunction()) {
      std::vector<ast::Condition> predicates;
      for (Grammar::PredicateContext* predicate : conjunction->predicate()) {
        predicates.push_back(PredicateOf(predicate));
      }
      children.push_back(Joined(ast::Condition::Kind::kAnd, std::move(predicates), *conjunction));
    }
    return Joined(ast::Condition::Kind::kOr, std::move(children), *context);
  }

  static ast::Condition Joined(ast::Condition::Kind kind, std::vector<ast::Condition> children,
                               antlr4::ParserRuleContext& context) {
    if (children.size() == 1) return std::move(children.front());
    ast::Condition joined;
    joined.kind = kind;
    joined.range = SourceReader::RangeOf(context);
    joined.children = std::move(children);
    return joined;
  }

  ast::Condition PredicateOf(Grammar::PredicateContext* context) {
    using Kind = ast::Condition::Kind;
    const bool is_negated = context->NOT() != nullptr;
    if (context->condition() != nullptr) {
      ast::Condition inner = ConditionOf(context->condition());
      if (!is_negated) return inner;
      ast::Condition negation;
      negation.kind = Kind::kNot;
      negation.range = SourceReader::RangeOf(*context);
      negation.children.push_back(std::move(inner));
      return negation;
    }
    ast::Condition condition;
    condition.range = SourceReader::RangeOf(*context);
    condition.is_negated = is_negated;
    for (Grammar::OperandContext* operand : context->operand()) {
      condition.operands.push_back(OperandOf(operand));
    }
    if (context->IS() != nullptr) {
      condition.kind = Kind::kIsNull;
    } else if (context->LIKE() != nullptr) {
      condition.kind = Kind::kLike;
      const ast::Text pattern = reader_.TextOf(context->textValue());
      ast::Literal constant{pattern.text, false, pattern.range, pattern.parameter};
      condition.operands.push_back(ConstantOperand(std::move(constant)));
    } else if (context->IN() != nullptr) {
      condition.kind = Kind::kIn;
      for (Grammar::ConstantContext* constant : context->constant()) {
        condition.operands.push_back(ConstantOperand(reader_.ConstantOf(constant)));
      }
    } else if (context->BETWEEN() != nullptr) {
      condition.kind = Kind::kBetween;
    } else {
      condition.kind = Kind::kCompare;
      condition.comparison = ComparisonOf(*context);
    }
    return condition;
  }

  static ast::Operand ConstantOperand(ast::Literal constant) {
    ast::Operand operand;
    operand.kind = ast::Operand::Kind::kConstant;
    operand.range = constant.range;
    operand.constant = std::move(constant);
    return operand;
  }

  static ast::Condition::Comparison ComparisonOf(Grammar::PredicateContext& context) {
    using Comparison = ast::Condition::Comparison;
    if (context.EQUAL() != nullptr) return Comparison::kEqual;
    if (context.LESS() != nullptr) return Comparison::kLess;
    if (context.LESS_EQUAL() != nullptr) return Comparison::kLessEqual;
    if (context.GREATER() != nullptr) return Comparison::kGreater;
    if (context.GREATER_EQUAL() != nullptr) return Comparison::kGreaterEqual;
    return Comparison::kNotEqual;
  }

  const SourceReader& reader_;
  SourceRange range_;
  ast::Query query_;
};

}  // namespace

ast::Query BuildQuery(const SourceReader& reader, Grammar::QueryContext* context) {
  return QueryBuilder(reader).Build(context);
}

std::vector<ast::UseItem> BuildUse(const SourceReader& reader, Grammar::UseClauseContext* context) {
  std::vector<ast::UseItem> items;
  if (context == nullptr) return items;
  UseBuilder builder(reader);
  for (Grammar::UseItemContext* item : context->useItem()) items.push_back(builder.Build(item));
  return items;
}

}  // namespace promptdb
