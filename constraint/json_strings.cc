#include "constraint/json_strings.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"
#include "constraint/json_pattern.h"

namespace promptdb {

namespace {

const CharacterSet& EscapedCharacters() {
  static const CharacterSet set({{0, 0x1F}, {U'"', U'"'}, {U'\\', U'\\'}});
  return set;
}

Expression OneOf(const std::vector<CharacterRange>& ranges) {
  return Expression::Character(CharacterSet(ranges));
}

std::string EscapeOf(char32_t character) {
  std::string text;
  AppendUtf8(character, text);
  const std::string quoted = nlohmann::json(text).dump();
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

Expression JsonText(std::string_view text) {
  return Expression::Text(nlohmann::json(std::string(text)).dump());
}

Expression JsonCharacter(const CharacterSet& set) {
  std::vector<Expression> ways;
  CharacterSet plain = set.Without(EscapedCharacters());
  if (!plain.empty()) ways.push_back(Expression::Character(std::move(plain)));
  for (const CharacterRange& range : EscapedCharacters().ranges()) {
    for (char32_t character = range.first; character <= range.last; ++character) {
      if (set.Contains(character)) ways.push_back(Expression::Text(EscapeOf(character)));
    }
  }
  return Expression::Alternatives(std::move(ways));
}

Expression AnyJsonCharacter() {
  const auto hex = [] { return OneOf({{U'0', U'9'}, {U'a', U'f'}, {U'A', U'F'}}); };
  // Two \u escapes could spell one character beyond U+FFFF, and one of the two alone none: such
  // characters are written as they are.
  Expression code = Expression::Alternatives(
      {Expression::Sequence(
           {OneOf({{U'0', U'9'}, {U'a', U'c'}, {U'e', U'f'}, {U'A', U'C'}, {U'E', U'F'}}), hex()}),
       Expression::Sequence({OneOf({{U'd', U'd'}, {U'D', U'D'}}), OneOf({{U'0', U'7'}})})});
  std::vector<CharacterRange> letters;
  for (const char c : std::string_view("\"\\/bfnrt")) {
    letters.push_back({static_cast<char32_t>(c), static_cast<char32_t>(c)});
  }
  return Expression::Alternatives(
      {Expression::Character(EscapedCharacters().Negated()),
       Expression::Sequence(
           {Expression::Text("\\"),
            Expression::Alternatives(
                {OneOf(letters),
                 Expression::Sequence({Expression::Text("u"), std::move(code), hex(), hex()})})})});
}

Expression InQuotes(Expression content) {
  return Expression::Sequence({Expression::Text("\""), std::move(content), Expression::Text("\"")});
}

namespace {

// The texts that begin alike, from their character `depth` on: `texts` are distinct.
Expression RestOtherThan(const std::vector<std::u32string>& texts, size_t depth) {
  const CharacterSet plain = EscapedCharacters().Negated();
  std::map<char32_t, std::vector<std::u32string>> groups;
  bool is_excluded = depth == 0;  // the empty text is excluded in any case
  for (const std::u32string& text : texts) {
    if (text.size() == depth) {
      is_excluded = true;
    } else {
      groups[text[depth]].push_back(text);
    }
  }
  std::vector<CharacterRange> begun;
  std::vector<Expression> ways;
  if (!is_excluded) ways.push_back(Expression::Text(""));
  for (const auto& [character, group] : groups) {
    begun.push_back({character, character});
    std::string text;
    AppendUtf8(character, text);
    ways.push_back(Expression::Sequence({Expression::Text(text), RestOtherThan(group, depth + 1)}));
  }
  ways.push_back(Expression::Sequence(
      {Expression::Character(plain.Without(CharacterSet(begun))),
       Expression::Repeat(Expression::Character(plain), 0, Expression::kUnbounded)}));
  return Expression::Alternatives(std::move(ways));
}

}  // namespace

Expression JsonTextOtherThan(const std::vector<std::string>& texts) {
  std::vector<std::u32string> plain;
  for (const std::string& text : texts) {
    std::u32string characters;
    for (size_t i = 0; i < text.size();) {
      const Utf8Step step = ReadUtf8(text, i);
      characters += step.code;
      i += step.size;
    }
    // A text with characters that need an escape is never written without one.
    if (std::none_of(characters.begin(), characters.end(),
                     [](char32_t c) { return EscapedCharacters().Contains(c); })) {
      plain.push_back(std::move(characters));
    }
  }
  return InQuotes(RestOtherThan(plain, 0));
}

std::optional<Expression> JsonTextOfFormat(std::string_view format) {
  // The days that there are: of each month, and 29 February of years divisible by 4, of centuries
  // by 400.
  const std::string date =
      "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
      "02-(0[1-9]|1[0-9]|2[0-8]))|"
      "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)";
  const std::string time =
      "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?"
      "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
  std::string pattern;
  if (format == "date") pattern = date;
  if (format == "time") pattern = time;
  if (format == "date-time") pattern = date + "T" + time;
  if (format == "uuid") pattern = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
  if (pattern.empty()) return std::nullopt;
  return InQuotes(ParseJsonPattern("^(" + pattern + ")$"));
}

}  // namespace promptdb
