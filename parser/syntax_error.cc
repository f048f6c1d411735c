#include "parser/syntax_error.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "PromptQLParser.h"
#include "base/nearest_name.h"
#include "base/text_place.h"
#include "parser/parser.h"
#include "parser/quoting.h"
#include "parser/scanner.h"
#include "parser/vocabulary.h"

namespace promptdb {

namespace {

using Grammar = grammar::PromptQLParser;

const std::map<size_t, std::string>& NameRuleWords() {
  static const std::map<size_t, std::string> words = {
      {Grammar::RuleModelName, "a model name"},
      {Grammar::RuleSchemaName, "a schema name"},
      {Grammar::RuleModuleName, "a module name"},
      {Grammar::RuleUnionName, "a union name"},
      {Grammar::RuleScaffoldName, "a scaffold name"},
      {Grammar::RuleParameterName, "a parameter name"},
      {Grammar::RulePreparedName, "a prepared query's name"},
      {Grammar::RuleChatName, "a chat name"},
      {Grammar::RuleUserName, "a user name"},
      {Grammar::RuleKeyName, "a key's name"},
      {Grammar::RuleOptionName, "an option name"},
      {Grammar::RuleSettingName, "a setting name"},
      {Grammar::RuleColumnName, "a column name"},
      {Grammar::RuleSystemTable, "a system table (pc_…)"},
      {Grammar::RuleName, "a name"},
  };
  return words;
}

const std::map<size_t, std::string>& OtherRuleWords() {
  static const std::map<size_t, std::string> words = {
      {Grammar::RuleStatement, "a statement (CREATE, SELECT, EXPLAIN, SHOW, …)"},
      {Grammar::RuleSchemaElement,
       "a part (TEXT, MODULE, UNION, SYSTEM, USER, ASSISTANT or SCAFFOLD)"},
      {Grammar::RulePart, "a part (TEXT, MODULE, UNION, SYSTEM, USER or ASSISTANT)"},
      {Grammar::RuleText, "a text in quotes"},
      {Grammar::RuleTextValue, "a text in quotes"},
      {Grammar::RuleWholeNumber, "a whole number"},
      {Grammar::RuleLiteral, "a value"},
      {Grammar::RuleConstant, "a value"},
      {Grammar::RulePrivilege, "a privilege"},
      {Grammar::RuleSelectItem, "a column"},
      {Grammar::RuleOperand, "a column or a value"},
      {Grammar::RulePredicate, "a condition"},
  };
  return words;
}

bool IsTextRule(size_t rule) {
  return rule == Grammar::RuleText || rule == Grammar::RuleTextValue ||
         rule == Grammar::RuleLiteral || rule == Grammar::RuleConstant;
}

bool IsPlaceForText(const Expectation& expectation) {
  return std::any_of(
      expectation.items.begin(), expectation.items.end(),
      [](const Expectation::Item& item) { return item.is_rule && IsTextRule(item.index); });
}

bool IsPlaceForName(const Expectation& expectation) {
  return std::any_of(expectation.items.begin(), expectation.items.end(),
                     [](const Expectation::Item& item) {
                       return item.is_rule && NameRuleWords().contains(item.index);
                     });
}

bool IsPlaceForEnd(const Expectation& expectation) {
  return std::any_of(expectation.items.begin(), expectation.items.end(),
                     [](const Expectation::Item& item) {
                       return !item.is_rule && item.index == antlr4::Token::EOF;
                     });
}

// The words of what can stand here: names, values and keywords first, then symbols, then the end.
std::vector<std::string> WordsOf(const Expectation& expectation) {
  std::vector<std::string> words;
  std::vector<std::string> symbols;
  const auto add = [](std::vector<std::string>& to, const std::string& word) {
    if (std::find(to.begin(), to.end(), word) == to.end()) to.push_back(word);
  };
  for (const auto& [is_rule, index] : expectation.items) {
    if (is_rule) {
      const auto name = NameRuleWords().find(index);
      add(words, name != NameRuleWords().end() ? name->second : OtherRuleWords().at(index));
    } else if (index == Grammar::INTEGER || index == Grammar::DECIMAL) {
      add(words, "a number");
    } else if (GrammarVocabulary().IsKeyword(index)) {
      add(words, GrammarVocabulary().WordOf(index));
    } else if (index != antlr4::Token::EOF && !GrammarVocabulary().WordOf(index).empty()) {
      add(symbols, "\"" + GrammarVocabulary().WordOf(index) + "\"");
    }
  }
  words.insert(words.end(), symbols.begin(), symbols.end());
  if (IsPlaceForEnd(expectation)) words.push_back("end of statement");
  return words;
}

std::string ListOf(const std::vector<std::string>& words) {
  constexpr size_t kReadable = 8;
  std::string list;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i == kReadable && words.size() > kReadable + 1) return list + ", …";
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += words[i];
  }
  return list;
}

// The start of `source`, on one line.
std::string Clipped(std::string_view source) {
  constexpr int kMaxShown = 40;
  size_t at = 0;
  for (int shown = 0; at < source.size() && shown < kMaxShown; ++shown) {
    if (source[at] == '\n' || source[at] == '\r') break;
    at += CodePointAt(source, at).length;
  }
  return std::string(source.substr(0, at)) + (at < source.size() ? "…" : "");
}

std::string WordsOfToken(const Token& token, std::string_view source) {
  const std::string shown = Clipped(source);
  switch (token.type) {
    case antlr4::Token::EOF:
      return "end of statement";
    case Grammar::TEXT_LITERAL:
      return "text " + shown;
    case Grammar::QUOTED_NAME:
      return "name " + shown;
    case Grammar::INTEGER:
    case Grammar::DECIMAL:
      return "number " + shown;
    case Grammar::PARAMETER:
      return "parameter " + shown;
    default:
      return "\"" + shown + "\"";
  }
}

std::string NearMiss(const Token& token, std::string_view source, const Expectation& expectation) {
  const bool is_word =
      token.type == Grammar::IDENTIFIER || GrammarVocabulary().IsKeyword(token.type);
  // One letter, or two that are nothing alike, are near to too much to be worth a guess.
  if (!is_word || source.size() < 2) return "";
  std::vector<std::string> candidates;
  for (const size_t type : expectation.keywords) {
    if (GrammarVocabulary().IsKeyword(type)) {
      candidates.push_back(GrammarVocabulary().WordOf(type));
    }
  }
  return DidYouMean(source, candidates);
}

std::string HintFor(std::string_view source, std::span<const Token> tokens, size_t offending,
                    const Expectation& expectation) {
  const Token& token = tokens[offending];
  const bool text_fits = IsPlaceForText(expectation);
  const bool name_fits = IsPlaceForName(expectation);
  if (token.type == Grammar::TEXT_LITERAL && name_fits && !text_fits) {
    return "Names are written bare or in \"double quotes\".";
  }
  if (token.type == Grammar::QUOTED_NAME && text_fits) {
    return "Texts are written in 'single quotes'.";
  }
  if (std::string hint = NearMiss(token, source, expectation); !hint.empty()) return hint;
  const bool touches_text = offending > 0 && tokens[offending - 1].type == Grammar::TEXT_LITERAL &&
                            tokens[offending - 1].range.end == token.range.begin;
  if (touches_text && token.type == Grammar::IDENTIFIER) {
    return "Inside a text, write a quote twice: 'it''s'.";
  }
  const bool after_comma = offending > 0 && tokens[offending - 1].type == Grammar::COMMA;
  if (after_comma && (token.type == Grammar::RIGHT_PARENTHESIS || token.type == Grammar::PROMPT ||
                      token.type == Grammar::WITH || token.type == antlr4::Token::EOF)) {
    return "Remove the comma before it.";
  }
  if (name_fits && GrammarVocabulary().IsReserved(token.type)) {
    return GrammarVocabulary().WordOf(token.type) + " is a keyword; as a name, write it as " +
           QuoteName(FoldName(GrammarVocabulary().WordOf(token.type))) + ".";
  }
  if (token.type == Grammar::IDENTIFIER && text_fits && !name_fits) {
    return "Texts are written in 'single quotes'.";
  }
  if (expectation.items == std::vector<Expectation::Item>{{false, Grammar::DOT}}) {
    return "A module is named together with its schema: schema.module.";
  }
  if (offending > 0 && IsPlaceForEnd(expectation) &&
      GrammarVocabulary().StartsStatement(token.type)) {
    return "Put a semicolon between two statements.";
  }
  return "";
}

}  // namespace

const ExpectationRules& ErrorRules() {
  static const ExpectationRules rules = [] {
    ExpectationRules out;
    for (const auto& [rule, words] : NameRuleWords()) out.name_rules.insert(rule);
    out.named_rules = out.name_rules;
    for (const auto& [rule, words] : OtherRuleWords()) out.named_rules.insert(rule);
    out.name_rules.insert(Grammar::RuleWord);
    return out;
  }();
  return rules;
}

Error SyntaxError(std::string_view text, std::span<const Token> tokens, size_t offending,
                  const Expectation& expectation) {
  const Token& token = tokens[offending];
  const std::string shown = MaskSecrets(text);
  const std::string_view source = TextAt(shown, token.range);
  std::string message = "unexpected " + WordsOfToken(token, source);
  const std::string expected = ListOf(WordsOf(expectation));
  if (!expected.empty()) message += "; expected " + expected;
  return Error(ErrorCode::kSyntax, std::move(message),
               HintFor(source, tokens, offending, expectation), token.range);
}

}  // namespace promptdb
