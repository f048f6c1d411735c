#include "constraint/json_numbers.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace promptdb {

namespace {

Expression Digit(char first, char last) {
  return Expression::Character(
      CharacterSet({{static_cast<char32_t>(first), static_cast<char32_t>(last)}}));
}

Expression Digits(int least, int most) { return Expression::Repeat(Digit('0', '9'), least, most); }

bool AllAre(std::string_view digits, char digit) {
  return digits.find_first_not_of(digit) == std::string_view::npos;
}

// All of the same length from `least` to `most`, which have that length, too.
Expression SameLength(std::string_view least, std::string_view most) {
  if (least.empty()) return Expression::Text("");
  const std::string_view least_rest = least.substr(1), most_rest = most.substr(1);
  const int rest = static_cast<int>(least_rest.size());
  if (AllAre(least_rest, '0') && AllAre(most_rest, '9')) {
    return Expression::Sequence({Digit(least[0], most[0]), Digits(rest, rest)});
  }
  if (least[0] == most[0]) {
    return Expression::Sequence({Digit(least[0], least[0]), SameLength(least_rest, most_rest)});
  }
  const std::string zeros(least_rest.size(), '0'), nines(least_rest.size(), '9');
  std::vector<Expression> ways;
  ways.push_back(Expression::Sequence({Digit(least[0], least[0]), SameLength(least_rest, nines)}));
  if (most[0] - least[0] > 1) {
    ways.push_back(Expression::Sequence(
        {Digit(static_cast<char>(least[0] + 1), static_cast<char>(most[0] - 1)),
         Digits(rest, rest)}));
  }
  ways.push_back(Expression::Sequence({Digit(most[0], most[0]), SameLength(zeros, most_rest)}));
  return Expression::Alternatives(std::move(ways));
}

// Length by length; neighbouring lengths whose numbers are all in the range are one alternative.
// REQUIRES: 0 <= least <= most.
void AddRange(int64_t least, int64_t most, const std::string& sign, std::vector<Expression>& ways) {
  int shortest_whole = 0, longest_whole = 0;
  while (least <= most) {
    const std::string digits = std::to_string(least);
    const auto length = static_cast<int>(digits.size());
    const int64_t nines = std::stoll(std::string(digits.size(), '9'));
    if (digits[0] == '1' && AllAre(std::string_view(digits).substr(1), '0') && nines <= most) {
      if (shortest_whole == 0) shortest_whole = length;
      longest_whole = length;
    } else {
      ways.push_back(Expression::Sequence(
          {Expression::Text(sign), SameLength(digits, std::to_string(std::min(most, nines)))}));
    }
    least = nines + 1;
  }
  if (shortest_whole > 0) {
    ways.push_back(Expression::Sequence(
        {Expression::Text(sign), Digit('1', '9'), Digits(shortest_whole - 1, longest_whole - 1)}));
  }
}

}  // namespace

Expression JsonInteger(int64_t least, int64_t most) {
  Check(-kLargestJsonInteger <= least && least <= most && most <= kLargestJsonInteger,
        "a range of integers is in order");
  std::vector<Expression> ways;
  if (most >= 0) AddRange(std::max<int64_t>(least, 0), most, "", ways);
  if (least < 0) AddRange(most < 0 ? -most : 1, -least, "-", ways);
  return Expression::Alternatives(std::move(ways));
}

Expression JsonNumber() {
  return Expression::Sequence(
      {Expression::Optional(Expression::Text("-")),
       Expression::Alternatives(
           {Expression::Text("0"), Expression::Sequence({Digit('1', '9'), Digits(0, 15)})}),
       Expression::Optional(Expression::Sequence({Expression::Text("."), Digits(1, 16)})),
       Expression::Optional(Expression::Sequence(
           {Expression::Alternatives({Expression::Text("e"), Expression::Text("E")}),
            Expression::Optional(
                Expression::Alternatives({Expression::Text("+"), Expression::Text("-")})),
            Digits(1, 2)}))});
}

}  // namespace promptdb
