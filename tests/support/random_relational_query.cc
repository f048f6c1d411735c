#include "tests/support/random_relational_query.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>
#include <random>
#include <utility>

#include "parser/parser.h"

namespace promptdb {
namespace {

using Type = Column::Type;

constexpr size_t kColumnCount = std::size(kColumns);

// Texts and patterns are lists of whole characters here.
bool SlowLike(const std::vector<std::string>& text, size_t at,
              const std::vector<std::string>& pattern, size_t place) {
  if (place == pattern.size()) return at == text.size();
  if (pattern[place] == "%") {
    return SlowLike(text, at, pattern, place + 1) ||
           (at < text.size() && SlowLike(text, at + 1, pattern, place));
  }
  if (at == text.size()) return false;
  const std::string wanted = pattern[place][0] == '\\' ? pattern[place].substr(1) : pattern[place];
  return (pattern[place] == "_" || wanted == text[at]) &&
         SlowLike(text, at + 1, pattern, place + 1);
}

// ---- Random tables and queries -----------------------------------------------------------------

using Characters = std::vector<std::string>;

std::string Join(const Characters& characters) {
  std::string text;
  for (const std::string& character : characters) text += character;
  return text;
}

// nullopt: NULL.
using Truth = std::optional<bool>;

// A part of a query: how it is written, and what it means.
struct Operand {
  std::string text;
  Type type = Type::kText;
  std::function<Value(const Row&)> value;
};
struct Predicate {
  std::string text;
  std::function<Truth(const Row&)> truth;
};

// Long doubles hold integers of 64 bits and doubles exactly.
long double AsNumber(const Value& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return static_cast<long double>(*whole);
  return std::get<double>(value);
}

int SlowCompare(const Value& left, const Value& right) {
  if (std::holds_alternative<std::string>(left)) {
    const int order = std::get<std::string>(left).compare(std::get<std::string>(right));
    return (order > 0) - (order < 0);
  }
  if (std::holds_alternative<bool>(left)) return std::get<bool>(left) - std::get<bool>(right);
  const long double a = AsNumber(left);
  const long double b = AsNumber(right);
  return (a > b) - (a < b);
}

// NULL after all values.
int SlowOrder(const Value& left, const Value& right) {
  if (IsNull(left) || IsNull(right)) return IsNull(left) - IsNull(right);
  return SlowCompare(left, right);
}

class QueryMaker {
 public:
  explicit QueryMaker(uint64_t seed) : random_(seed) {}

  int Below(int count) { return static_cast<int>(random_() % static_cast<uint64_t>(count)); }
  bool Chance(int percent) { return Below(100) < percent; }

  Characters SomeCharacters(int most) {
    static const Characters kAlphabet = {"a", "b", "'", "%", "_", "\\", "ä", "😀"};
    Characters characters(static_cast<size_t>(Below(most + 1)));
    for (std::string& character : characters) {
      character = kAlphabet[static_cast<size_t>(Below(Chance(60) ? 2 : 8))];
    }
    return characters;
  }

  Value SomeValue(size_t column) {
    static constexpr int64_t kBig[] = {
        kLeast, kLeast + 1, -(int64_t{1} << 53) - 1, 0, (int64_t{1} << 53) + 1, kMost - 1, kMost};
    if (Chance(20)) return {};
    switch (column) {
      case 0:
        return int64_t{Below(7) - 3};
      case 1:
        return kBig[Below(7)];
      case 2:
        return (Below(13) - 6) * 0.5;
      case 3:
        return Join(SomeCharacters(4));
      case 4:
        return std::string(Chance(50) ? "s" : "other");
      default:
        return Chance(50);
    }
  }

  std::vector<Row> SomeRows() {
    std::vector<Row> rows(static_cast<size_t>(Chance(10) ? 0 : Below(30)));
    for (Row& row : rows) {
      for (size_t i = 0; i < kColumnCount; ++i) row.push_back(SomeValue(i));
    }
    return rows;
  }

  static Operand ColumnOperand(size_t column) {
    return {std::string(kColumns[column].name), kColumns[column].type,
            [column](const Row& row) { return row[column]; }};
  }

  static Operand Constant(const Value& value, Type type) {
    std::string text = "NULL";
    if (const auto* whole = std::get_if<int64_t>(&value)) text = std::to_string(*whole);
    if (const auto* real = std::get_if<double>(&value)) {
      char buffer[64];
      std::snprintf(buffer, sizeof(buffer), "%.1f", *real);
      text = buffer;
    }
    if (const auto* flag = std::get_if<bool>(&value)) text = *flag ? "TRUE" : "off";
    if (const auto* string = std::get_if<std::string>(&value)) text = QuoteText(*string);
    return {text, type, [value](const Row&) { return value; }};
  }

  // Comparable with `type`, NULL among it unless `is_value`.
  Operand SomeOperand(Type type, bool is_constant = false, bool is_value = false) {
    for (;;) {
      const auto column = static_cast<size_t>(Below(static_cast<int>(kColumnCount)));
      if (!AreComparable(kColumns[column].type, type)) continue;
      if (!is_constant && Chance(50)) return ColumnOperand(column);
      const Value value = SomeValue(column);
      // -9223372036854775808 is the minus of a number that is too large.
      if (value == Value(kLeast) || (is_value && IsNull(value))) continue;
      return Constant(value, kColumns[column].type);
    }
  }

  Predicate SomePredicate(int depth) {
    if (depth > 0 && Chance(60)) {
      Predicate left = SomePredicate(depth - 1);
      if (Chance(25)) {
        return {"NOT (" + left.text + ")", [left](const Row& row) {
                  const Truth truth = left.truth(row);
                  return truth ? Truth(!*truth) : truth;
                }};
      }
      Predicate right = SomePredicate(depth - 1);
      const bool is_and = Chance(50);
      return {"(" + left.text + (is_and ? ") AND (" : ") OR (") + right.text + ")",
              [left, right, is_and](const Row& row) -> Truth {
                const Truth a = left.truth(row);
                const Truth b = right.truth(row);
                // What decides is false for AND, true for OR.
                if ((a && *a != is_and) || (b && *b != is_and)) return !is_and;
                return a && b ? Truth(is_and) : std::nullopt;
              }};
    }
    const auto column = static_cast<size_t>(Below(static_cast<int>(kColumnCount)));
    const Operand tested = Chance(90) ? ColumnOperand(column) : SomeOperand(kColumns[column].type);
    const bool is_negated = Chance(40);
    switch (Below(5)) {
      case 0:
        return {tested.text + (is_negated ? " IS NOT NULL" : " IS NULL"),
                [=](const Row& row) { return Truth(IsNull(tested.value(row)) != is_negated); }};
      case 1:
        if (tested.type == Type::kText) return SomeLike(tested, is_negated);
        [[fallthrough]];
      case 2:
        return SomeIn(tested, is_negated);
      case 3: {
        const Operand least = SomeOperand(tested.type);
        const Operand most = SomeOperand(tested.type);
        return {
            tested.text + (is_negated ? " NOT" : "") + " BETWEEN " + least.text + " AND " +
                most.text,
            [=](const Row& row) -> Truth {
              const Value value = tested.value(row);
              const Value low = least.value(row);
              const Value high = most.value(row);
              const bool is_below = !IsNull(value) && !IsNull(low) && SlowCompare(value, low) < 0;
              const bool is_above = !IsNull(value) && !IsNull(high) && SlowCompare(value, high) > 0;
              if (is_below || is_above) return is_negated;
              if (IsNull(value) || IsNull(low) || IsNull(high)) return std::nullopt;
              return !is_negated;
            }};
      }
      default:
        break;
    }
    static const Characters kComparisons = {"=", "<>", "!=", "<", "<=", ">", ">="};
    const std::string comparison = kComparisons[static_cast<size_t>(Below(7))];
    const Operand other = SomeOperand(tested.type);
    return {tested.text + " " + comparison + " " + other.text, [=](const Row& row) -> Truth {
              const Value left = tested.value(row);
              const Value right = other.value(row);
              if (IsNull(left) || IsNull(right)) return std::nullopt;
              const int order = SlowCompare(left, right);
              if (comparison == "=") return order == 0;
              if (comparison == "<>" || comparison == "!=") return order != 0;
              if (comparison == "<") return order < 0;
              if (comparison == "<=") return order <= 0;
              return comparison == ">" ? order > 0 : order >= 0;
            }};
  }

  Predicate SomeIn(const Operand& tested, bool is_negated) {
    std::vector<Value> values;
    std::string text = tested.text + (is_negated ? " NOT IN (" : " IN (");
    const int count = 1 + Below(4);
    for (int i = 0; i < count; ++i) {
      const Operand constant = SomeOperand(tested.type, true, true);
      text += (i > 0 ? ", " : "") + constant.text;
      values.push_back(constant.value({}));
    }
    return {text + ")", [=](const Row& row) -> Truth {
              const Value value = tested.value(row);
              if (IsNull(value)) return std::nullopt;
              const bool is_in = std::any_of(values.begin(), values.end(), [&](const Value& other) {
                return SlowCompare(value, other) == 0;
              });
              return is_in != is_negated;
            }};
  }

  Predicate SomeLike(const Operand& tested, bool is_negated) {
    Characters pattern;
    for (const std::string& character : SomeCharacters(5)) {
      const bool is_escaped = character == "\\" || Chance(15);
      pattern.push_back(is_escaped ? "\\" + character : Chance(20) ? "%" : character);
    }
    return {tested.text + (is_negated ? " NOT LIKE " : " LIKE ") + QuoteText(Join(pattern)),
            [=](const Row& row) -> Truth {
              const Value value = tested.value(row);
              if (IsNull(value)) return std::nullopt;
              return SlowLike(Split(std::get<std::string>(value)), 0, pattern, 0) != is_negated;
            }};
  }

  static Characters Split(const std::string& text) {
    Characters characters;
    for (const char c : text) {
      if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) characters.emplace_back();
      characters.back() += c;
    }
    return characters;
  }

 private:
  std::mt19937_64 random_;
};

// ---- Aggregates --------------------------------------------------------------------------------

struct Overflow {};

struct SlowAggregate {
  std::string function;
  int column = -1;
  bool is_distinct = false;

  std::string text() const {
    if (column < 0) return "count(*)";
    return function + "(" + (is_distinct ? "DISTINCT " : "") + std::string(kColumns[column].name) +
           ")";
  }

  // Throws Overflow where an integer's sum has no 64 bits.
  Value Over(const std::vector<Row>& rows) const {
    if (column < 0) return static_cast<int64_t>(rows.size());
    std::vector<Value> values;
    for (const Row& row : rows) {
      const Value& value = row[static_cast<size_t>(column)];
      const bool is_seen = std::any_of(values.begin(), values.end(), [&](const Value& other) {
        return !IsNull(value) && SlowCompare(other, value) == 0;
      });
      if (!IsNull(value) && !(is_distinct && is_seen)) values.push_back(value);
    }
    if (function == "count") return static_cast<int64_t>(values.size());
    if (values.empty()) return {};
    std::vector<Value> sorted = values;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Value& a, const Value& b) { return SlowCompare(a, b) < 0; });
    if (function == "min") return sorted.front();
    if (function == "max") return sorted.back();
    __extension__ __int128 whole = 0;
    double real = 0;
    for (const Value& value : values) {
      if (const auto* integer = std::get_if<int64_t>(&value)) whole += *integer;
      if (const auto* number = std::get_if<double>(&value)) real += *number;
    }
    const bool is_integer = kColumns[column].type == Type::kInteger;
    if (function == "avg") {
      const long double sum = is_integer ? static_cast<long double>(whole) : real;
      return static_cast<double>(sum / static_cast<long double>(values.size()));
    }
    if (!is_integer) return real;
    if (whole < kLeast || whole > kMost) throw Overflow();
    return static_cast<int64_t>(whole);
  }
};

SlowAggregate SomeAggregate(QueryMaker& maker) {
  static const Characters kFunctions = {"count", "min", "max", "sum", "avg"};
  SlowAggregate aggregate;
  if (maker.Chance(25)) return aggregate;
  aggregate.column = maker.Below(static_cast<int>(kColumnCount));
  aggregate.function = kFunctions[static_cast<size_t>(maker.Below(aggregate.column < 3 ? 5 : 3))];
  aggregate.is_distinct = maker.Chance(30);
  return aggregate;
}

// ---- Whole queries -----------------------------------------------------------------------------

// A column that ORDER BY may name: how, and the value in a row of the table or of the groups.
struct OrderChoice {
  std::vector<std::string> texts;
  size_t place = 0;
};

RandomQuery MakeQuery(QueryMaker& maker, const std::vector<Row>& table) {
  std::string where;
  std::vector<Row> rows = table;
  if (maker.Chance(75)) {
    Predicate predicate = maker.SomePredicate(3);
    if (maker.Chance(20)) {
      // What the scan narrows itself to.
      const Predicate inner = predicate;
      predicate = {"schema = 's' AND (" + inner.text + ")", [inner](const Row& row) {
                     return row[4] == Value(std::string("s")) ? inner.truth(row) : Truth(false);
                   }};
    }
    where = " WHERE " + predicate.text;
    std::erase_if(rows, [&](const Row& row) { return predicate.truth(row) != Truth(true); });
  }

  // The rows that are sorted have all that SELECT and ORDER BY may name.
  std::string group_by;
  std::vector<std::string> names;  // of the columns of those rows
  bool has_overflow = false;
  const bool is_grouped = maker.Chance(50);
  if (!is_grouped) {
    for (const SystemColumn& column : kColumns) names.emplace_back(column.name);
  } else {
    std::vector<size_t> keys;
    const int wanted = maker.Below(3);
    for (int i = 0; i < wanted; ++i) {
      keys.push_back(static_cast<size_t>(maker.Below(static_cast<int>(kColumnCount))));
      group_by += (i > 0 ? ", " : " GROUP BY ") + std::string(kColumns[keys.back()].name);
      names.emplace_back(kColumns[keys.back()].name);
    }
    std::vector<SlowAggregate> aggregates(1 + static_cast<size_t>(maker.Below(3)));
    for (SlowAggregate& aggregate : aggregates) {
      aggregate = SomeAggregate(maker);
      names.push_back(aggregate.text());
    }
    std::vector<std::vector<Row>> groups;
    if (keys.empty()) groups.emplace_back(rows);
    if (!keys.empty()) {
      for (const Row& row : rows) {
        const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& members) {
          return std::all_of(keys.begin(), keys.end(), [&](size_t key) {
            return SlowOrder(members.front()[key], row[key]) == 0;
          });
        });
        if (group == groups.end()) {
          groups.push_back({row});
        } else {
          group->push_back(row);
        }
      }
    }
    rows.clear();
    for (const std::vector<Row>& group : groups) {
      Row& result = rows.emplace_back();
      for (const size_t key : keys) result.push_back(group.front()[key]);
      for (const SlowAggregate& aggregate : aggregates) {
        try {
          result.push_back(aggregate.Over(group));
        } catch (const Overflow&) {
          has_overflow = true;
          result.emplace_back();
        }
      }
    }
  }

  // The last aggregate is always shown, so that the query has one.
  std::string select;
  std::vector<size_t> shown;
  std::vector<OrderChoice> choices;
  if (!is_grouped && maker.Chance(15)) {
    select = "*";
    for (size_t i = 0; i < names.size(); ++i) shown.push_back(i);
  } else {
    const int count = 1 + maker.Below(3);
    for (int i = 0; i < count; ++i) {
      shown.push_back(static_cast<size_t>(maker.Below(static_cast<int>(names.size()))));
    }
    if (is_grouped) {
      shown.clear();
      for (size_t i = 0; i < names.size(); ++i) shown.push_back(i);
      // In any order.
      for (size_t i = shown.size(); i > 1; --i) {
        std::swap(shown[i - 1], shown[static_cast<size_t>(maker.Below(static_cast<int>(i)))]);
      }
    }
    for (size_t i = 0; i < shown.size(); ++i) {
      select += (i > 0 ? ", " : "") + names[shown[i]];
      OrderChoice choice{{names[shown[i]], std::to_string(i + 1)}, shown[i]};
      if (maker.Chance(30)) {
        choice.texts.push_back("alias" + std::to_string(i));
        select += " AS " + choice.texts.back();
      }
      choices.push_back(std::move(choice));
    }
  }
  for (size_t i = 0; i < names.size(); ++i) choices.push_back({{names[i]}, i});

  std::string order_by;
  std::vector<std::pair<size_t, bool>> order;
  const int keys = maker.Chance(30) ? 0 : maker.Below(4);
  for (int i = 0; i < keys; ++i) {
    const OrderChoice& choice =
        choices[static_cast<size_t>(maker.Below(static_cast<int>(choices.size())))];
    const bool is_descending = maker.Chance(50);
    order.emplace_back(choice.place, is_descending);
    order_by +=
        (i > 0 ? ", " : " ORDER BY ") +
        choice.texts[static_cast<size_t>(maker.Below(static_cast<int>(choice.texts.size())))] +
        (is_descending      ? " DESC"
         : maker.Chance(50) ? " ASC"
                            : "");
  }
  // Insertion sort: the obvious one that keeps the order of equals.
  for (size_t i = 1; i < rows.size(); ++i) {
    for (size_t j = i; j > 0; --j) {
      bool is_less = false;
      for (const auto& [place, is_descending] : order) {
        const int sign = SlowOrder(rows[j][place], rows[j - 1][place]);
        if (sign == 0) continue;
        is_less = is_descending ? sign > 0 : sign < 0;
        break;
      }
      if (!is_less) break;
      std::swap(rows[j], rows[j - 1]);
    }
  }

  std::string limit;
  if (maker.Chance(30)) {
    const auto most = static_cast<size_t>(maker.Below(12));
    const auto offset = static_cast<size_t>(maker.Chance(50) ? maker.Below(12) : 0);
    limit = " LIMIT " + std::to_string(most);
    if (offset > 0) limit += " OFFSET " + std::to_string(offset);
    std::vector<Row> kept;
    for (size_t i = offset; i < rows.size() && i < offset + most; ++i) kept.push_back(rows[i]);
    rows = kept;
  }

  RandomQuery query;
  query.text = "SELECT " + select + " FROM pc_random" + where + group_by + order_by + limit;
  query.table = table;
  if (!has_overflow) {
    query.answer.emplace();
    for (const Row& row : rows) {
      Row& result = query.answer->emplace_back();
      for (const size_t place : shown) result.push_back(row[place]);
    }
  }
  return query;
}
}  // namespace

RandomQuery MakeRandomQuery(uint64_t seed) {
  QueryMaker maker(seed);
  const std::vector<Row> table = maker.SomeRows();
  return MakeQuery(maker, table);
}

}  // namespace promptdb
