// Whether a JSON value fits a JSON schema, written as the specification reads and for the keywords
// that we have. Independent of constraint/: it looks at values, never at grammars.
#ifndef PROMPTDB_TESTS_SUPPORT_PLAIN_SCHEMA_VALIDATOR_H_
#define PROMPTDB_TESTS_SUPPORT_PLAIN_SCHEMA_VALIDATOR_H_

#include <cmath>
#include <cstdio>
#include <locale>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace promptdb {

class PlainSchemaValidator {
 public:
  using Json = nlohmann::ordered_json;

  explicit PlainSchemaValidator(const Json& root) : root_(root) {}

  bool Fits(const Json& value) const { return Fits(root_, value); }

 private:
  static bool IsOfType(const Json& value, const std::string& type) {
    if (type == "integer") {
      return value.is_number_integer() ||
             (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
    }
    return (type == "number" && value.is_number()) || (type == "string" && value.is_string()) ||
           (type == "boolean" && value.is_boolean()) || (type == "null" && value.is_null()) ||
           (type == "array" && value.is_array()) || (type == "object" && value.is_object());
  }

  static size_t Characters(const std::string& text) {
    size_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    return count;
  }

  static bool IsDate(const std::string& text) {
    int year = 0, month = 0, day = 0, end = 0;
    if (text.size() != 10 ||
        std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &year, &month, &day, &end) != 3 || end != 10) {
      return false;
    }
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int days[] = {31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
  }

  static bool IsTime(const std::string& text) {
    int hour = 0, minute = 0, second = 0, end = 0;
    if (std::sscanf(text.c_str(), "%2d:%2d:%2d%n", &hour, &minute, &second, &end) != 3 ||
        end != 8 || hour > 23 || minute > 59 || second > 59) {
      return false;
    }
    return std::regex_match(text.substr(8), std::regex("(\\.\\d+)?(Z|[+-][0-2]\\d:[0-5]\\d)"));
  }

  static std::wstring Wide(std::string_view text) {
    static_assert(sizeof(wchar_t) == sizeof(char32_t));
    std::wstring wide;
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = ReadUtf8(text, at);
      wide += static_cast<wchar_t>(step.code);
      at += step.size;
    }
    return wide;
  }

  // What ECMAScript calls white space, which the C library knows in ASCII only.
  class WhiteSpace : public std::ctype<wchar_t> {
    bool do_is(mask wanted, wchar_t c) const override {
      constexpr std::wstring_view kSpaces = L"\u00A0\u1680\u2028\u2029\u202F\u205F\u3000\uFEFF";
      if (kSpaces.find(c) == kSpaces.npos && (c < 0x2000 || c > 0x200A)) {
        return std::ctype<wchar_t>::do_is(wanted, c);
      }
      return (wanted & space) != 0;
    }
  };

  // Of characters, where std::regex is one of bytes.
  static bool HasPattern(const std::string& text, const std::string& pattern) {
    std::wregex expression;
    expression.imbue(std::locale(std::locale::classic(), new WhiteSpace));  // which it then owns
    expression.assign(Wide(pattern));
    return std::regex_search(Wide(text), expression);
  }

  static bool HasFormat(const std::string& text, const std::string& format) {
    if (format == "date") return IsDate(text);
    if (format == "time") return IsTime(text);
    if (format == "date-time") {
      return text.size() > 11 && text[10] == 'T' && IsDate(text.substr(0, 10)) &&
             IsTime(text.substr(11));
    }
    return std::regex_match(
        text, std::regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
  }

  bool FitsAny(const Json& schemas, const Json& value) const {
    for (const Json& schema : schemas) {
      if (Fits(schema, value)) return true;
    }
    return false;
  }

  bool Fits(const Json& schema, const Json& value) const {
    if (schema.is_boolean()) return schema.get<bool>();
    if (value.is_null() && schema.value("nullable", false)) return true;
    for (const auto& item : schema.items()) {
      if (!FitsKeyword(item.key(), item.value(), schema, value)) return false;
    }
    return true;
  }

  bool FitsKeyword(const std::string& keyword, const Json& says, const Json& schema,
                   const Json& value) const {
    if (keyword == "type") {
      if (says.is_string()) return IsOfType(value, says);
      for (const Json& type : says) {
        if (IsOfType(value, type)) return true;
      }
      return false;
    }
    if (keyword == "enum") return std::find(says.begin(), says.end(), value) != says.end();
    if (keyword == "const") return value == says;
    if (keyword == "anyOf" || keyword == "oneOf") return FitsAny(says, value);
    if (keyword == "allOf") return Fits(says[0], value);
    if (keyword == "$ref") {
      return Fits(root_.at(Json::json_pointer(says.get<std::string>().substr(1))), value);
    }
    if (value.is_string()) {
      const std::string& text = value.get_ref<const std::string&>();
      if (keyword == "minLength") return Characters(text) >= says.get<size_t>();
      if (keyword == "maxLength") return Characters(text) <= says.get<size_t>();
      if (keyword == "pattern") return HasPattern(text, says.get<std::string>());
      if (keyword == "format") return HasFormat(text, says);
    }
    if (value.is_number()) {
      if (keyword == "minimum") return value >= says;
      if (keyword == "maximum") return value <= says;
      if (keyword == "exclusiveMinimum") return value > says;
      if (keyword == "exclusiveMaximum") return value < says;
    }
    if (value.is_array()) return FitsArray(keyword, says, schema, value);
    if (value.is_object()) return FitsObject(keyword, says, schema, value);
    return true;
  }

  bool FitsArray(const std::string& keyword, const Json& says, const Json& schema,
                 const Json& value) const {
    if (keyword == "minItems") return value.size() >= says.get<size_t>();
    if (keyword == "maxItems") return value.size() <= says.get<size_t>();
    const size_t before = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (keyword == "prefixItems" && i < before && !Fits(says[i], value[i])) return false;
      if (keyword == "items" && i >= before && !Fits(says, value[i])) return false;
    }
    return true;
  }

  bool FitsObject(const std::string& keyword, const Json& says, const Json& schema,
                  const Json& value) const {
    if (keyword == "required") {
      for (const Json& name : says) {
        if (!value.contains(name.get<std::string>())) return false;
      }
    }
    for (const auto& member : value.items()) {
      const bool is_declared =
          schema.contains("properties") && schema["properties"].contains(member.key());
      if (keyword == "properties" && is_declared && !Fits(says[member.key()], member.value())) {
        return false;
      }
      if (keyword == "additionalProperties" && !is_declared && !Fits(says, member.value())) {
        return false;
      }
    }
    return true;
  }

  const Json& root_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_PLAIN_SCHEMA_VALIDATOR_H_
