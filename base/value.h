// Values, columns and rows: what statements return and what system tables hold.
//
// Thread-safe: values and pure functions.
#ifndef PROMPTDB_BASE_VALUE_H_
#define PROMPTDB_BASE_VALUE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace promptdb {

// NULL, or a value of a column's type.
using Value = std::variant<std::monostate, bool, int64_t, double, std::string>;

using Row = std::vector<Value>;

struct Column {
  enum class Type { kText, kInteger, kReal, kBoolean };
  std::string name;
  Type type = Type::kText;
};

// "text", "integer", "real", "boolean".
std::string_view TypeName(Column::Type type);

inline bool IsNull(const Value& value) { return std::holds_alternative<std::monostate>(value); }

// Whether values of the two types have an order among each other: two of one type, or two numbers.
bool AreComparable(Column::Type left, Column::Type right);

// Less than, equal to or greater than zero, as `left` stands to `right`. An integer and a real are
// compared exactly, whatever their size. A real that is no number equals itself and is greater than
// all others; texts are compared byte by byte, which is by code point; false is less than true.
// REQUIRES: neither is NULL; their types are comparable.
int CompareValues(const Value& left, const Value& right);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_VALUE_H_
