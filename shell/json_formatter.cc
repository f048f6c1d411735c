#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "shell/row_formatter.h"

namespace promptdb {

namespace {

// A JSON string. DEL and the C1 controls are escaped as well, which JSON allows, so that the line
// is safe on a terminal.
std::string JsonText(std::string_view text) {
  std::string out = "\"";
  const std::string valid = ReplaceInvalidUtf8(text);
  for (size_t i = 0; i < valid.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(valid[i]);
    char escape[8];
    switch (c) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      default:
        break;
    }
    if (c < 0x20 || c == 0x7f) {
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else if (c == 0xc2 && static_cast<unsigned char>(valid[i + 1]) < 0xa0) {
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned char>(valid[++i]));
      out += escape;
    } else {
      out += valid[i];
    }
  }
  return out + '"';
}

std::string JsonValue(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "null";
  if (const std::string* text = std::get_if<std::string>(&value)) return JsonText(*text);
  // JSON has no infinities and no NaN.
  if (const double* real = std::get_if<double>(&value); real != nullptr && !std::isfinite(*real)) {
    return "null";
  }
  return ExactValue(value);
}

class JsonFormatter : public RowFormatter {
 public:
  JsonFormatter(Output& out, bool lines) : out_(out), lines_(lines) {}

  void Begin(const std::vector<Column>& columns) override {
    for (const Column& column : columns) names_.push_back(JsonText(column.name));
    if (!lines_) out_.Write("[");
  }

  void Row(const std::vector<Value>& row) override {
    std::string line = lines_ ? "" : rows_ == 0 ? "\n  " : ",\n  ";
    line += '{';
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += ", ";
      line += names_[i] + ": " + JsonValue(row[i]);
    }
    line += '}';
    if (lines_) line += '\n';
    out_.Write(line);
    ++rows_;
  }

  void End() override {
    if (!lines_) out_.Write(rows_ == 0 ? "]\n" : "\n]\n");
  }

  void Abort() override { End(); }

 private:
  Output& out_;
  const bool lines_;
  std::vector<std::string> names_;
  size_t rows_ = 0;
};

}  // namespace

std::string ExactValue(const Value& value) {
  if (const double* real = std::get_if<double>(&value)) {
    char digits[64];
    const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, *real);
    return std::string(digits, end.ptr);
  }
  return FormatValue(value);
}

std::unique_ptr<RowFormatter> MakeJsonFormatter(Output& out, bool lines) {
  return std::make_unique<JsonFormatter>(out, lines);
}

}  // namespace promptdb
