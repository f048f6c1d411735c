#include "base/value.h"

#include <cmath>

#include "base/error.h"

namespace promptdb {

namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;

template <typename T>
int Sign(const T& left, const T& right) {
  return left < right ? -1 : right < left ? 1 : 0;
}

int CompareReals(double left, double right) {
  if (std::isnan(left) || std::isnan(right)) return Sign(std::isnan(left), std::isnan(right));
  return Sign(left, right);
}

// Without turning the integer into a real, which has only 53 bits for it.
int CompareIntegerToReal(int64_t left, double right) {
  if (std::isnan(right) || right >= kTwoTo63) return -1;
  if (right < -kTwoTo63) return 1;
  const double whole = std::trunc(right);
  const int sign = Sign(left, static_cast<int64_t>(whole));
  return sign != 0 ? sign : Sign(whole, right);
}

}  // namespace

std::string_view TypeName(Column::Type type) {
  switch (type) {
    case Column::Type::kText:
      return "text";
    case Column::Type::kInteger:
      return "integer";
    case Column::Type::kReal:
      return "real";
    case Column::Type::kBoolean:
      return "boolean";
  }
  return "";
}

bool AreComparable(Column::Type left, Column::Type right) {
  const auto is_number = [](Column::Type type) {
    return type == Column::Type::kInteger || type == Column::Type::kReal;
  };
  return left == right || (is_number(left) && is_number(right));
}

int CompareValues(const Value& left, const Value& right) {
  const auto* left_integer = std::get_if<int64_t>(&left);
  const auto* right_integer = std::get_if<int64_t>(&right);
  const auto* left_real = std::get_if<double>(&left);
  const auto* right_real = std::get_if<double>(&right);
  if (left_integer != nullptr && right_real != nullptr) {
    return CompareIntegerToReal(*left_integer, *right_real);
  }
  if (left_real != nullptr && right_integer != nullptr) {
    return -CompareIntegerToReal(*right_integer, *left_real);
  }
  Check(left.index() == right.index() && !IsNull(left), "only comparable values are compared");
  if (left_integer != nullptr) return Sign(*left_integer, *right_integer);
  if (left_real != nullptr) return CompareReals(*left_real, *right_real);
  if (const auto* flag = std::get_if<bool>(&left)) return Sign(*flag, std::get<bool>(right));
  return Sign(std::get<std::string>(left), std::get<std::string>(right));
}

}  // namespace promptdb
