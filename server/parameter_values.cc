#include "server/parameter_values.h"

#include <bit>
#include <charconv>

#include "base/error.h"
#include "base/utf8.h"
#include "planner/options.h"

namespace promptdb {

namespace {

[[noreturn]] void Fail(int number, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "the value of $" + std::to_string(number) + " " + what);
}

uint64_t BigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = (value << 8) | static_cast<unsigned char>(byte);
  return value;
}

ast::Literal BinaryValue(int number, int32_t type, std::string_view bytes) {
  const auto need = [&](size_t size) {
    if (bytes.size() != size) {
      Fail(number,
           "has " + std::to_string(bytes.size()) + " bytes, and its type " + std::to_string(size));
    }
  };
  ast::Literal literal;
  switch (type) {
    case oid::kBool:
      need(1);
      literal.value = bytes[0] != 0;
      break;
    case oid::kInt2:
      need(2);
      literal.value = int64_t{static_cast<int16_t>(BigEndian(bytes))};
      break;
    case oid::kInt4:
    case oid::kOid:
      need(4);
      literal.value = int64_t{static_cast<int32_t>(BigEndian(bytes))};
      break;
    case oid::kInt8:
      need(8);
      literal.value = static_cast<int64_t>(BigEndian(bytes));
      break;
    case oid::kFloat4:
      need(4);
      literal.value =
          static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(BigEndian(bytes))));
      break;
    case oid::kFloat8:
      need(8);
      literal.value = std::bit_cast<double>(BigEndian(bytes));
      break;
    default:
      Fail(number, "has a type that is not known in binary form: " + std::to_string(type));
  }
  return literal;
}

bool IsText(int32_t type) {
  return type == oid::kText || type == oid::kVarchar || type == oid::kBpchar || type == oid::kName;
}

}  // namespace

ast::Literal ParameterValue(int number, int32_t type, WireFormat format,
                            std::optional<std::string_view> value) {
  if (!value) Fail(number, "is NULL, which a statement of PromptQL has no place for");
  const bool is_open = type == 0 || type == oid::kUnknown || type == oid::kNumeric;
  if (format == WireFormat::kBinary && !IsText(type) && type != 0 && type != oid::kUnknown) {
    return BinaryValue(number, type, *value);
  }
  // Text has the same bytes in both formats.
  if (!IsValidUtf8(*value) || value->find('\0') != std::string_view::npos) {
    Fail(number, "is not UTF-8");
  }
  ast::Literal literal;
  literal.value = std::string(*value);
  if (IsText(type)) return literal;
  literal.is_untyped = true;
  if (is_open) return literal;
  ast::Literal typed;
  switch (type) {
    case oid::kInt2:
    case oid::kInt4:
    case oid::kInt8:
    case oid::kOid:
      if (const auto whole = UntypedInteger(literal)) {
        typed.value = *whole;
        return typed;
      }
      Fail(number, "is no whole number");
    case oid::kFloat4:
    case oid::kFloat8:
      if (const auto real = UntypedReal(literal)) {
        typed.value = *real;
        return typed;
      }
      Fail(number, "is no number");
    case oid::kBool:
      if (const auto flag = UntypedBoolean(literal)) {
        typed.value = *flag;
        return typed;
      }
      Fail(number, "is no boolean");
    default:
      Fail(number, "has a type that is not known here: " + std::to_string(type));
  }
}

}  // namespace promptdb
