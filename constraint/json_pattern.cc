#include "constraint/json_pattern.h"

#include <nlohmann/json.hpp>
#include <string>

#include "base/digits.h"
#include "base/error.h"
#include "base/utf8.h"
#include "constraint/json_strings.h"

namespace promptdb {

namespace {

constexpr int kDeepestNesting = 50;
constexpr int kMostRepetitions = 10000;

CharacterSet LineEnds() { return CharacterSet({{U'\n', U'\n'}, {U'\r', U'\r'}, {0x2028, 0x2029}}); }

CharacterSet WhiteSpace() {
  return CharacterSet({{U'\t', U'\r'},
                       {U' ', U' '},
                       {0xA0, 0xA0},
                       {0x1680, 0x1680},
                       {0x2000, 0x200A},
                       {0x2028, 0x2029},
                       {0x202F, 0x202F},
                       {0x205F, 0x205F},
                       {0x3000, 0x3000},
                       {0xFEFF, 0xFEFF}});
}

CharacterSet WordCharacters() {
  return CharacterSet({{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}});
}

CharacterSet One(char32_t character) { return CharacterSet({{character, character}}); }

class PatternParser {
 public:
  explicit PatternParser(std::string_view pattern) : pattern_(pattern) {}

  Expression Parse() {
    std::vector<Expression> alternatives;
    do {
      const Expression anything =
          Expression::Repeat(JsonCharacter(CharacterSet::All()), 0, Expression::kUnbounded);
      std::vector<Expression> parts;
      if (!Take('^')) parts.push_back(anything);
      parts.push_back(ParseSequence(0));
      if (!Take('$')) parts.push_back(anything);
      alternatives.push_back(Expression::Sequence(std::move(parts)));
    } while (Take('|'));
    if (!AtEnd()) {
      if (Peek() == ')') Fail("a \")\" without its \"(\"");
      FailUnsupported("an anchor inside");
    }
    return Expression::Alternatives(std::move(alternatives));
  }

 private:
  std::string Quoted() const { return nlohmann::json(std::string(pattern_)).dump(); }

  [[noreturn]] void Fail(const std::string& cause) const {
    throw Error(ErrorCode::kInvalidArgument, "the pattern has " + cause + ": " + Quoted());
  }
  [[noreturn]] void FailUnsupported(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported,
                "the pattern has " + what + ", which is not supported: " + Quoted(),
                "Use literals, classes, groups, |, *, +, ? and {n,m}.");
  }

  bool AtEnd() const { return at_ == pattern_.size(); }
  char Peek() const { return AtEnd() ? '\0' : pattern_[at_]; }
  bool Take(char c) {
    if (AtEnd() || pattern_[at_] != c) return false;
    ++at_;
    return true;
  }

  Expression ParseGroup(int nesting) {
    if (nesting > kDeepestNesting) Fail("groups nested too deeply");
    if (Take('?') && !Take(':')) FailUnsupported("a special group");
    std::vector<Expression> alternatives;
    do {
      alternatives.push_back(ParseSequence(nesting));
    } while (Take('|'));
    if (Peek() == '^' || Peek() == '$') FailUnsupported("an anchor inside");
    if (!Take(')')) Fail("a \"(\" that is not closed");
    return Expression::Alternatives(std::move(alternatives));
  }

  // Stops at |, ), ^, $ and the end.
  Expression ParseSequence(int nesting) {
    std::vector<Expression> parts;
    while (!AtEnd() && Peek() != '|' && Peek() != ')' && Peek() != '^' && Peek() != '$') {
      Expression part = Take('(') ? ParseGroup(nesting + 1) : JsonCharacter(ParseOne());
      parts.push_back(ParseQuantifier(std::move(part)));
    }
    return Expression::Sequence(std::move(parts));
  }

  Expression ParseQuantifier(Expression part) {
    int least = 0, most = Expression::kUnbounded;
    if (Take('+')) {
      least = 1;
    } else if (Take('?')) {
      most = 1;
    } else if (Take('{')) {
      least = most = ParseCount();
      if (Take(',')) most = IsDigit(Peek()) ? ParseCount() : Expression::kUnbounded;
      if (!Take('}')) Fail("a \"{\" that is no quantifier");
      if (most != Expression::kUnbounded && most < least) Fail("a quantifier in the wrong order");
    } else if (!Take('*')) {
      return part;
    }
    Take('?');  // lazy: the same strings match
    const char next = Peek();
    if (next == '*' || next == '+' || next == '?' || next == '{') Fail("two quantifiers in a row");
    return Expression::Repeat(std::move(part), least, most);
  }

  int ParseCount() {
    if (!IsDigit(Peek())) Fail("a \"{\" that is no quantifier");
    int count = 0;
    for (; IsDigit(Peek()); ++at_) {
      count = count * 10 + (Peek() - '0');
      if (count > kMostRepetitions) {
        Fail("a quantifier above " + std::to_string(kMostRepetitions));
      }
    }
    return count;
  }

  CharacterSet ParseOne() {
    const char c = Peek();
    if (c == '*' || c == '+' || c == '?' || c == '{') Fail("a quantifier that follows nothing");
    if (Take('.')) return LineEnds().Negated();
    if (Take('[')) return ParseClass();
    return ParseCharacter(false);
  }

  CharacterSet ParseClass() {
    const bool is_negated = Take('^');
    CharacterSet set;
    while (!Take(']')) {
      if (AtEnd()) Fail("a \"[\" that is not closed");
      const CharacterSet first = ParseCharacter(true);
      const bool is_range = Peek() == '-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']';
      if (!is_range) {
        set = set.Union(first);
        continue;
      }
      ++at_;
      const CharacterSet last = ParseCharacter(true);
      const char32_t low = first.ranges().front().first, high = last.ranges().front().first;
      if (!(first == One(low)) || !(last == One(high)) || low > high) {
        Fail("a range that is none");
      }
      set = set.Union(CharacterSet({{low, high}}));
    }
    if (is_negated) set = set.Negated();
    if (set.empty()) Fail("a class that matches nothing");
    return set;
  }

  CharacterSet ParseCharacter(bool in_class) {
    if (!Take('\\')) {
      const Utf8Step step = ReadUtf8(pattern_, at_);
      at_ += step.size;
      return One(step.code);
    }
    if (AtEnd()) Fail("a backslash at its end");
    const char c = pattern_[at_++];
    switch (c) {
      case 'd':
        return CharacterSet({{U'0', U'9'}});
      case 'D':
        return CharacterSet({{U'0', U'9'}}).Negated();
      case 'w':
        return WordCharacters();
      case 'W':
        return WordCharacters().Negated();
      case 's':
        return WhiteSpace();
      case 'S':
        return WhiteSpace().Negated();
      case 't':
        return One(U'\t');
      case 'n':
        return One(U'\n');
      case 'r':
        return One(U'\r');
      case 'f':
        return One(U'\f');
      case 'v':
        return One(U'\v');
      case 'x':
        return One(ParseHex(2));
      case 'u':
        return One(ParseHex(4));
      case 'b':
      case 'B':
        if (in_class && c == 'b') return One(U'\b');
        FailUnsupported("a word border");
      case 'p':
      case 'P':
        FailUnsupported("a character property");
      case 'k':
        FailUnsupported("a back-reference");
      default:
        break;
    }
    if (c == '0' && !IsDigit(Peek())) return One(0);
    if (IsDigit(c)) FailUnsupported("a back-reference");
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_letter || static_cast<unsigned char>(c) >= 0x80) Fail("an escape that is none");
    return One(static_cast<char32_t>(c));
  }

  char32_t ParseHex(int digits) {
    char32_t code = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = HexDigit(Peek());
      if (digit < 0) Fail("an escape that lacks hexadecimal digits");
      code = code << 4 | static_cast<char32_t>(digit);
      ++at_;
    }
    if (code >= 0xD800 && code <= 0xDFFF) FailUnsupported("a surrogate");
    return code;
  }

  std::string_view pattern_;
  size_t at_ = 0;
};

}  // namespace

Expression ParseJsonPattern(std::string_view pattern) { return PatternParser(pattern).Parse(); }

}  // namespace promptdb
