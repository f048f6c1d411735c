#include "parser/source_reader.h"

#include <charconv>

#include "parser/quoting.h"

namespace promptdb {

using Grammar = grammar::PromptQLParser;

std::vector<ast::Option> SourceReader::OptionsOf(Grammar::WithOptionsContext* context) const {
  return OptionsOf(context == nullptr ? nullptr : context->optionList());
}

std::vector<ast::Option> SourceReader::OptionsOf(Grammar::OptionListContext* context) const {
  std::vector<ast::Option> options;
  if (context == nullptr) return options;
  for (Grammar::OptionContext* option : context->option()) {
    options.push_back({NameOf(option->optionName()), LiteralOf(option->literal())});
  }
  return options;
}

ast::Literal SourceReader::LiteralOf(Grammar::LiteralContext* context) const {
  if (context->constant() != nullptr) return ConstantOf(context->constant());
  ast::Literal literal;
  literal.range = RangeOf(*context);
  literal.is_word = true;
  literal.value = FoldName(SourceOf(context->getStart()));
  return literal;
}

ast::Literal SourceReader::ConstantOf(Grammar::ConstantContext* context) const {
  ast::Literal literal;
  literal.range = RangeOf(*context);
  const bool negative = context->getStart()->getType() == Grammar::MINUS;
  antlr4::Token* token = context->getStop();
  switch (token->getType()) {
    case Grammar::INTEGER: {
      const auto value = NumberIn<int64_t>(token);
      literal.value = negative ? -value : value;
      break;
    }
    case Grammar::DECIMAL: {
      const auto value = NumberIn<double>(token);
      literal.value = negative ? -value : value;
      break;
    }
    case Grammar::TEXT_LITERAL:
      literal.value = TextFromLexeme(SourceOf(token));
      break;
    case Grammar::PARAMETER:
      literal.parameter = ParameterIn(token);
      break;
    default:
      literal.value = token->getType() == Grammar::TRUE || token->getType() == Grammar::ON;
      break;
  }
  return literal;
}

ast::Text SourceReader::TextOf(antlr4::ParserRuleContext* context) const {
  antlr4::Token* token = context->getStart();
  if (token->getType() == Grammar::PARAMETER) return {"", RangeOf(*context), ParameterIn(token)};
  const std::string_view lexeme = SourceOf(token);
  const size_t quote = lexeme.front() == '$' ? lexeme.find('$', 1) + 1 : 1;
  return {TextFromLexeme(lexeme), RangeOf(*context), 0, static_cast<int>(quote)};
}

ast::Name SourceReader::NameOf(antlr4::ParserRuleContext* context) const {
  return {NameFromLexeme(SourceOf(context->getStart())), RangeOf(*context)};
}

std::vector<ast::Name> SourceReader::PathOf(Grammar::ModulePathContext* context) const {
  std::vector<ast::Name> path;
  for (Grammar::ModuleNameContext* name : context->moduleName()) path.push_back(NameOf(name));
  return path;
}

int64_t SourceReader::NumberOf(Grammar::WholeNumberContext* context) const {
  return NumberIn<int64_t>(context->getStart());
}

std::string_view SourceReader::SourceOf(antlr4::Token* token) const {
  return text_.substr(token->getStartIndex(), token->getStopIndex() + 1 - token->getStartIndex());
}

SourceRange SourceReader::RangeOf(antlr4::ParserRuleContext& context) {
  return {static_cast<int>(context.getStart()->getStartIndex()),
          static_cast<int>(context.getStop()->getStopIndex() + 1)};
}

ast::Role SourceReader::RoleOf(antlr4::ParserRuleContext& context) {
  const size_t token_type = context.getStart()->getType();
  if (token_type == Grammar::SYSTEM) return ast::Role::kSystem;
  return token_type == Grammar::USER ? ast::Role::kUser : ast::Role::kAssistant;
}

template <typename Number>
Number SourceReader::NumberIn(antlr4::Token* token) const {
  const std::string_view source = SourceOf(token);
  Number value = 0;
  std::from_chars(source.data(), source.data() + source.size(), value);
  return value;
}

int SourceReader::ParameterIn(antlr4::Token* token) const {
  const std::string_view source = SourceOf(token).substr(1);
  int value = 0;
  std::from_chars(source.data(), source.data() + source.size(), value);
  return value;
}

}  // namespace promptdb
