#include "constraint/gbnf_parser.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/digits.h"
#include "base/error.h"
#include "base/nearest_name.h"
#include "base/text_place.h"
#include "base/utf8.h"

namespace promptdb {

namespace {

constexpr size_t kLongestGrammar = 1 << 20;
constexpr int kDeepestNesting = 100;
// "a"**: each is one more level of nesting.
constexpr int kMostQuantifiers = 4;
constexpr int kMostRepetitions = 100000;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : text_(text) {}

  Grammar Parse() {
    SkipSpace(true);
    if (AtEnd()) Fail("the grammar is empty", at_, "It needs a rule: root ::= \"yes\" | \"no\"");
    while (!AtEnd()) ParseRule();
    for (const auto& [name, rule] : rules_) {
      if (!rule.is_defined) FailUndefined(name, rule.first_use);
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) {
      throw Error(ErrorCode::kInvalidArgument, "the grammar has no rule \"root\"",
                  "The answer is what the rule root says.");
    }
    grammar_.root = root->second.index;
    return std::move(grammar_);
  }

 private:
  struct NamedRule {
    int index = 0;
    bool is_defined = false;
    size_t first_use = 0;
  };

  [[noreturn]] void Fail(const std::string& cause, size_t at, const std::string& hint = "") const {
    throw Error(ErrorCode::kInvalidArgument,
                cause + " (" + LineAndColumn(text_, at) + " of the grammar)", hint);
  }

  [[noreturn]] void FailUndefined(const std::string& name, size_t at) const {
    std::vector<std::string> defined;
    for (const auto& [other, rule] : rules_) {
      if (rule.is_defined) defined.push_back(other);
    }
    Fail("there is no rule \"" + name + "\"", at, DidYouMean(name, defined));
  }

  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  // Blanks and comments, line breaks too where they mean nothing.
  void SkipSpace(bool with_line_breaks) {
    while (!AtEnd()) {
      const char c = Peek();
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || (with_line_breaks && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string ParseName() {
    const size_t begin = at_;
    while (!AtEnd() && IsNameCharacter(Peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  NamedRule& RuleOf(const std::string& name, size_t use) {
    const auto [place, is_new] = rules_.emplace(name, NamedRule{});
    if (is_new) place->second = {grammar_.AddRule(name, {}), false, use};
    return place->second;
  }

  void ParseRule() {
    const size_t begin = at_;
    const std::string name = ParseName();
    if (name.empty()) Fail("a rule's name is expected", at_);
    SkipSpace(false);
    if (!Take("::=")) Fail("\"::=\" is expected after the rule's name", at_);
    NamedRule& rule = RuleOf(name, begin);
    if (rule.is_defined) Fail("the rule \"" + name + "\" is defined twice", begin);
    rule.is_defined = true;
    const int index = rule.index;
    SkipSpace(true);
    if (AtEnd())
      Fail("the rule \"" + name + "\" is empty", begin, "Write \"\" for the empty text.");
    Expression expression = ParseAlternatives(0);
    grammar_.rules[static_cast<size_t>(index)].expression = std::move(expression);
    if (!AtEnd() && Peek() != '\n' && Peek() != '\r') {
      if (Peek() == ')') Fail("no \"(\" is open here", at_);
      Fail("an element, | or the end of the line is expected", at_);
    }
    SkipSpace(true);
  }

  Expression ParseAlternatives(int nesting) {
    std::vector<Expression> alternatives;
    do {
      SkipSpace(true);
      alternatives.push_back(ParseSequence(nesting));
      // A line that begins with | belongs to the rule above it.
      const size_t end = at_;
      SkipSpace(true);
      if (Peek() != '|' && nesting == 0) at_ = end;
    } while (Take("|"));
    return Expression::Alternatives(std::move(alternatives));
  }

  Expression ParseSequence(int nesting) {
    std::vector<Expression> parts;
    while (true) {
      SkipSpace(nesting > 0);
      const size_t begin = at_;
      const char c = Peek();
      if (c == '"') {
        parts.push_back(ParseLiteral());
      } else if (c == '[') {
        parts.push_back(ParseClass());
      } else if (c == '.') {
        ++at_;
        parts.push_back(Expression::Character(CharacterSet::All()));
      } else if (c == '(') {
        if (nesting == kDeepestNesting) Fail("the grammar is nested too deeply", at_);
        ++at_;
        Expression group = ParseAlternatives(nesting + 1);
        if (!Take(")")) Fail("the \"(\" is not closed", begin);
        parts.push_back(std::move(group));
      } else if (!AtEnd() && IsNameCharacter(c)) {
        const std::string name = ParseName();
        SkipSpace(false);
        if (text_.substr(at_).starts_with("::=")) {
          Fail("the rule \"" + name + "\" must begin on a line of its own", begin);
        }
        parts.push_back(Expression::Rule(RuleOf(name, begin).index));
      } else if (c == '<' || c == '!') {
        Fail("tokens by name or number are not supported", at_, "Write the token's text.");
      } else {
        return Expression::Sequence(std::move(parts));
      }
      SkipSpace(nesting > 0);
      for (int count = 0; ParseRepetition(parts.back()); ++count) {
        if (count == kMostQuantifiers) Fail("an element is repeated too many times over", at_ - 1);
        SkipSpace(nesting > 0);
      }
    }
  }

  bool ParseRepetition(Expression& element) {
    const size_t begin = at_;
    int least = 0, most = Expression::kUnbounded;
    if (Take("+")) {
      least = 1;
    } else if (Take("?")) {
      most = 1;
    } else if (Take("{")) {
      SkipSpace(false);
      least = ParseCount(begin);
      SkipSpace(false);
      most = least;
      if (Take(",")) {
        SkipSpace(false);
        most = IsDigit(Peek()) ? ParseCount(begin) : Expression::kUnbounded;
        SkipSpace(false);
      }
      if (!Take("}")) Fail("the \"{\" is not closed", begin);
      if (most != Expression::kUnbounded && most < least) {
        Fail("the repetition's lower bound is above its upper bound", begin);
      }
    } else if (!Take("*")) {
      return false;
    }
    element = Expression::Repeat(std::move(element), least, most);
    return true;
  }

  int ParseCount(size_t begin) {
    if (!IsDigit(Peek())) Fail("a whole number is expected in the repetition", at_);
    int count = 0;
    while (IsDigit(Peek())) {
      count = count * 10 + (Peek() - '0');
      if (count > kMostRepetitions) {
        Fail("repetition bounds must be at most " + std::to_string(kMostRepetitions), begin);
      }
      ++at_;
    }
    return count;
  }

  Expression ParseLiteral() {
    const size_t begin = at_++;
    std::string literal;
    while (!Take("\"")) {
      if (AtEnd()) Fail("the literal is not closed", begin);
      AppendUtf8(ParseCharacter(false), literal);
    }
    return Expression::Text(literal);
  }

  Expression ParseClass() {
    const size_t begin = at_++;
    const bool is_negated = Take("^");
    std::vector<CharacterRange> ranges;
    while (!Take("]")) {
      if (AtEnd()) Fail("the character class is not closed", begin);
      const size_t range_begin = at_;
      const char32_t first = ParseCharacter(true);
      char32_t last = first;
      if (Peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = ParseCharacter(true);
      }
      if (last < first) Fail("the range is in the wrong order", range_begin);
      ranges.push_back({first, last});
    }
    if (ranges.empty()) Fail("the character class is empty", begin);
    CharacterSet set(ranges);
    if (is_negated) set = set.Negated();
    if (set.empty()) Fail("the character class matches nothing", begin);
    return Expression::Character(std::move(set));
  }

  char32_t ParseCharacter(bool in_class) {
    const size_t begin = at_;
    if (!Take("\\")) {
      const Utf8Step step = ReadUtf8(text_, at_);
      if (!step.valid) Fail("the grammar is not valid UTF-8", at_);
      at_ += step.size;
      return step.code;
    }
    if (AtEnd()) Fail("a character is expected after the backslash", begin);
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case '\\':
      case '"':
      case '[':
      case ']':
        return static_cast<char32_t>(c);
      case 'x':
        return ParseHex(2, begin);
      case 'u':
        return ParseHex(4, begin);
      case 'U':
        return ParseHex(8, begin);
      default:
        if (in_class && (c == '-' || c == '^')) return static_cast<char32_t>(c);
        Fail("there is no such escape", begin, "Write \\\\ for a backslash.");
    }
  }

  char32_t ParseHex(int digits, size_t begin) {
    char32_t code = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = HexDigit(Peek());
      if (digit < 0) {
        Fail("the escape needs " + std::to_string(digits) + " hexadecimal digits", begin);
      }
      code = code << 4 | static_cast<char32_t>(digit);
      ++at_;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      Fail("the escape names no character", begin);
    }
    return code;
  }

  std::string_view text_;
  size_t at_ = 0;
  Grammar grammar_;
  std::map<std::string, NamedRule> rules_;
};

}  // namespace

Grammar ParseGbnf(std::string_view text) {
  if (text.size() > kLongestGrammar) {
    throw Error(ErrorCode::kTooLong, "the grammar must be at most " +
                                         std::to_string(kLongestGrammar) + " bytes, not " +
                                         std::to_string(text.size()));
  }
  return GbnfParser(text).Parse();
}

}  // namespace promptdb
