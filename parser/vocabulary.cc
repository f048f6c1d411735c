#include "parser/vocabulary.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "PromptQLParser.h"
#include "parser/parser.h"

namespace promptdb {

namespace {

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

}  // namespace

Vocabulary::Vocabulary() {
  // The tables belong to the generated class and can only be asked for through an object of it.
  std::vector<std::unique_ptr<antlr4::Token>> tokens;
  tokens.push_back(std::make_unique<antlr4::CommonToken>(antlr4::Token::EOF));
  antlr4::ListTokenSource source(std::move(tokens));
  antlr4::CommonTokenStream stream(&source);
  grammar::PromptQLParser parser(&stream);
  const antlr4::dfa::Vocabulary& vocabulary = parser.getVocabulary();
  words_.resize(vocabulary.getMaxTokenType() + 1);
  for (size_t type = 1; type < words_.size(); ++type) {
    const std::string literal = vocabulary.getLiteralName(type);
    if (literal.size() < 3) continue;
    words_[type] = literal.substr(1, literal.size() - 2);
    types_.emplace(words_[type], type);
    if (!IsUpper(words_[type].front())) continue;
    keywords_.push_back(words_[type]);
    keyword_types_.insert(type);
  }
  std::sort(keywords_.begin(), keywords_.end());
  const antlr4::atn::ATN& atn = parser.getATN();
  const antlr4::misc::IntervalSet names =
      atn.nextTokens(atn.ruleToStartState[grammar::PromptQLParser::RuleNonReserved]);
  const antlr4::misc::IntervalSet starts =
      atn.nextTokens(atn.ruleToStartState[grammar::PromptQLParser::RuleStatement]);
  for (const size_t type : keyword_types_) {
    if (starts.contains(type)) statement_starts_.insert(type);
    if (!names.contains(type)) reserved_.insert(type);
  }
}

size_t Vocabulary::TypeOf(std::string_view word) const {
  constexpr size_t kLongerThanAnyKeyword = 32;
  if (word.size() > kLongerThanAnyKeyword) return 0;
  std::string upper(word);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const auto found = types_.find(upper);
  return found == types_.end() ? 0 : found->second;
}

const std::string& Vocabulary::WordOf(size_t type) const {
  static const std::string kNone;
  return type < words_.size() ? words_[type] : kNone;
}

const Vocabulary& GrammarVocabulary() {
  static const Vocabulary vocabulary;
  return vocabulary;
}

const std::vector<std::string>& Keywords() { return GrammarVocabulary().keywords(); }

}  // namespace promptdb
