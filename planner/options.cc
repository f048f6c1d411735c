#include "planner/options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/nearest_name.h"

namespace promptdb {

namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string Number(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  return {buffer, end};
}

[[noreturn]] void FailType(const ast::Literal& literal, std::string_view name,
                           std::string_view wanted) {
  throw Error(ErrorCode::kInvalidArgument, std::string(name) + " must be " + std::string(wanted),
              "", literal.range);
}

std::string LiteralText(const ast::Literal& literal, std::string_view name) {
  const auto* text = std::get_if<std::string>(&literal.value);
  if (text == nullptr || literal.is_word) FailType(literal, name, "a text in quotes");
  return *text;
}

[[noreturn]] void FailRange(const ast::Literal& literal, std::string_view name,
                            const std::string& least, const std::string& most,
                            const std::string& found) {
  throw Error(ErrorCode::kInvalidArgument,
              std::string(name) + " must be from " + least + " to " + most + ", not " + found, "",
              literal.range);
}

// A number and the letters behind it, in lower case.
struct Amount {
  double number = 0;
  std::string unit;
};

std::optional<Amount> AmountOf(const ast::Literal& literal) {
  if (const auto* whole = std::get_if<int64_t>(&literal.value)) {
    return Amount{static_cast<double>(*whole), ""};
  }
  const auto* text = std::get_if<std::string>(&literal.value);
  if (text == nullptr) return std::nullopt;
  Amount amount;
  const char* end = text->data() + text->size();
  const auto number = std::from_chars(text->data(), end, amount.number);
  if (number.ec != std::errc()) return std::nullopt;
  amount.unit = Lower({number.ptr, static_cast<size_t>(end - number.ptr)});
  std::erase(amount.unit, ' ');
  return amount;
}

}  // namespace

OptionReader::OptionReader(const std::vector<ast::Option>& options, std::string_view place,
                           std::vector<std::string> known,
                           const std::vector<std::string>& repeatable)
    : options_(options) {
  for (const ast::Option& option : options) {
    if (std::find(known.begin(), known.end(), option.name.text) == known.end()) {
      std::string hint = DidYouMean(option.name.text, known);
      if (hint.empty() && !known.empty()) {
        hint = "It takes ";
        for (size_t i = 0; i < known.size(); ++i) {
          if (i > 0) hint += i + 1 == known.size() ? " and " : ", ";
          hint += known[i];
        }
        hint += ".";
      }
      throw Error(ErrorCode::kUnknownName,
                  std::string(place) + " has no option \"" + option.name.text + "\"", hint,
                  option.name.range);
    }
    const bool is_repeatable =
        std::find(repeatable.begin(), repeatable.end(), option.name.text) != repeatable.end();
    if (!is_repeatable && Find(option.name.text) != &option) {
      throw Error(ErrorCode::kInvalidArgument, "option \"" + option.name.text + "\" is given twice",
                  "", option.name.range);
    }
  }
}

const ast::Option* FindOption(const std::vector<ast::Option>& options, std::string_view name) {
  for (const ast::Option& option : options) {
    if (option.name.text == name) return &option;
  }
  return nullptr;
}

const ast::Option* OptionReader::Find(std::string_view name) const {
  return FindOption(options_, name);
}

SourceRange OptionReader::RangeOf(std::string_view name) const {
  const ast::Option* option = Find(name);
  Check(option != nullptr, "RangeOf() is asked for options that are given");
  return option->value.range;
}

std::optional<int64_t> OptionReader::Integer(std::string_view name, int64_t least,
                                             int64_t most) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralInteger(option->value, name, least, most);
}

std::optional<double> OptionReader::Real(std::string_view name, double least, double most) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralReal(option->value, name, least, most);
}

std::optional<bool> OptionReader::Boolean(std::string_view name) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralBoolean(option->value, name);
}

std::optional<std::string> OptionReader::TextValue(std::string_view name) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralText(option->value, name);
}

std::vector<ast::Text> OptionReader::Texts(std::string_view name) const {
  std::vector<ast::Text> texts;
  for (const ast::Option& option : options_) {
    if (option.name.text != name) continue;
    texts.push_back({LiteralText(option.value, name), option.value.range});
  }
  return texts;
}

std::optional<std::string> OptionReader::Choice(std::string_view name,
                                                const std::vector<std::string>& choices) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralChoice(option->value, name, choices);
}

std::optional<int64_t> OptionReader::Bytes(std::string_view name) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralBytes(option->value, name);
}

std::optional<int64_t> OptionReader::Seconds(std::string_view name) const {
  const ast::Option* option = Find(name);
  if (option == nullptr) return std::nullopt;
  return LiteralSeconds(option->value, name);
}

namespace {

// The whole text of an untyped literal as a number.
template <typename Number>
std::optional<Number> UntypedNumber(const ast::Literal& literal) {
  const auto* text = std::get_if<std::string>(&literal.value);
  if (text == nullptr || !literal.is_untyped) return std::nullopt;
  Number number = 0;
  const char* const end = text->data() + text->size();
  const auto read = std::from_chars(text->data(), end, number);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return number;
}

}  // namespace

std::optional<int64_t> UntypedInteger(const ast::Literal& literal) {
  return UntypedNumber<int64_t>(literal);
}

std::optional<double> UntypedReal(const ast::Literal& literal) {
  return UntypedNumber<double>(literal);
}

std::optional<bool> UntypedBoolean(const ast::Literal& literal) {
  const auto* text = std::get_if<std::string>(&literal.value);
  if (text == nullptr || !literal.is_untyped) return std::nullopt;
  // As PostgreSQL writes booleans, and as people do.
  const std::string word = Lower(*text);
  if (word == "t" || word == "true" || word == "on" || word == "1") return true;
  if (word == "f" || word == "false" || word == "off" || word == "0") return false;
  return std::nullopt;
}

int64_t LiteralInteger(const ast::Literal& literal, std::string_view name, int64_t least,
                       int64_t most) {
  const std::optional<int64_t> untyped = UntypedInteger(literal);
  const auto* value = untyped ? &*untyped : std::get_if<int64_t>(&literal.value);
  if (value == nullptr) FailType(literal, name, "a whole number");
  if (*value < least || *value > most) {
    FailRange(literal, name, std::to_string(least), std::to_string(most), std::to_string(*value));
  }
  return *value;
}

double LiteralReal(const ast::Literal& literal, std::string_view name, double least, double most) {
  double value = 0;
  if (const auto* whole = std::get_if<int64_t>(&literal.value)) {
    value = static_cast<double>(*whole);
  } else if (const auto* real = std::get_if<double>(&literal.value)) {
    value = *real;
  } else if (const std::optional<double> untyped = UntypedReal(literal)) {
    value = *untyped;
  } else {
    FailType(literal, name, "a number");
  }
  if (!(value >= least && value <= most)) {
    FailRange(literal, name, Number(least), Number(most), Number(value));
  }
  return value;
}

bool LiteralBoolean(const ast::Literal& literal, std::string_view name) {
  if (const auto* value = std::get_if<bool>(&literal.value)) return *value;
  if (const std::optional<bool> untyped = UntypedBoolean(literal)) return *untyped;
  if (const auto* text = std::get_if<std::string>(&literal.value)) {
    const std::string word = Lower(*text);
    if (word == "on" || word == "true") return true;
    if (word == "off" || word == "false") return false;
  }
  FailType(literal, name, "on or off");
}

std::string LiteralChoice(const ast::Literal& literal, std::string_view name,
                          const std::vector<std::string>& choices) {
  std::string wanted;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) wanted += i + 1 == choices.size() ? " or " : ", ";
    wanted += "'" + choices[i] + "'";
  }
  const auto* text = std::get_if<std::string>(&literal.value);
  if (text == nullptr) FailType(literal, name, wanted);
  const std::string value = Lower(*text);
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(name) + " must be " + wanted + ", not '" + *text + "'",
                DidYouMean(value, choices), literal.range);
  }
  return value;
}

int64_t LiteralBytes(const ast::Literal& literal, std::string_view name) {
  constexpr double kMostBytes = 1e15;
  const std::optional<Amount> amount = AmountOf(literal);
  double bytes = -1;
  if (amount) {
    constexpr std::string_view kUnits = "kmgt";
    const std::string& unit = amount->unit;
    if (unit.empty() || unit == "b" || unit == "bytes") {
      bytes = amount->number;
    } else if (const size_t power = kUnits.find(unit[0]);
               power != std::string_view::npos &&
               (unit.size() == 1 || unit.substr(1) == "b" || unit.substr(1) == "ib")) {
      bytes = amount->number * std::pow(1024.0, static_cast<double>(power + 1));
    }
  }
  if (!(bytes >= 0 && bytes <= kMostBytes)) {
    throw Error(ErrorCode::kInvalidArgument, std::string(name) + " must be a number of bytes",
                "Write a size like '512MB' or '4GB'.", literal.range);
  }
  return static_cast<int64_t>(bytes);
}

namespace {

// A span of time in seconds, rounded up to whole `units` of them; nullopt where it is none.
std::optional<double> SpanIn(double unit_seconds, const ast::Literal& literal) {
  constexpr double kMostSeconds = 1e10;
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ms", 0.001}, {"", 1},     {"s", 1},       {"sec", 1},   {"m", 60},
      {"min", 60},   {"h", 3600}, {"hour", 3600}, {"d", 86400}, {"day", 86400}};
  const std::optional<Amount> amount = AmountOf(literal);
  if (!amount) return std::nullopt;
  for (const auto& [unit, length] : kUnits) {
    if (length < unit_seconds) continue;  // finer than what is asked for
    if (amount->unit != unit && (unit.size() < 2 || amount->unit != std::string(unit) + "s")) {
      continue;
    }
    const double seconds = amount->number * length;
    if (!(seconds >= 0 && seconds <= kMostSeconds)) return std::nullopt;
    return std::ceil(seconds / unit_seconds);
  }
  return std::nullopt;
}

}  // namespace

int64_t LiteralSeconds(const ast::Literal& literal, std::string_view name) {
  if (const auto seconds = SpanIn(1, literal)) return static_cast<int64_t>(*seconds);
  throw Error(ErrorCode::kInvalidArgument, std::string(name) + " must be a span of time",
              "Write a span like '90s', '15min', '1h' or '7d'; 0 is for ever.", literal.range);
}

int64_t LiteralMilliseconds(const ast::Literal& literal, std::string_view name) {
  if (const auto milliseconds = SpanIn(0.001, literal)) return static_cast<int64_t>(*milliseconds);
  throw Error(ErrorCode::kInvalidArgument, std::string(name) + " must be a span of time",
              "Write a span like '500ms', '2s' or '1min'; 0 is none.", literal.range);
}

}  // namespace promptdb
