#include "shell/display_text.h"
#include "shell/row_formatter.h"

namespace promptdb {

namespace {

class CsvFormatter : public RowFormatter {
 public:
  explicit CsvFormatter(Output& out) : out_(out) {}

  void Begin(const std::vector<Column>& columns) override {
    std::string line;
    for (const Column& column : columns)
      Append(line, &column == &columns.front(), column.name, true);
    Write(line);
  }

  void Row(const std::vector<Value>& row) override {
    std::string line;
    for (const Value& value : row) {
      const bool is_text = std::holds_alternative<std::string>(value);
      Append(line, &value == &row.front(), ExactValue(value), is_text);
    }
    Write(line);
  }

  void End() override {}

 private:
  // Quotes are for texts that need them; an empty text has them too, to differ from NULL.
  static void Append(std::string& line, bool first, const std::string& field, bool is_text) {
    if (!first) line += ',';
    const bool quoted = is_text && (field.empty() || field.find_first_of(",\"\r\n") != field.npos);
    if (!quoted) {
      line += field;
      return;
    }
    line += '"';
    for (const char c : field) {
      if (c == '"') line += '"';
      line += c;
    }
    line += '"';
  }

  void Write(std::string line) {
    line += '\n';
    out_.Write(out_.is_terminal() ? EscapeControls(line) : line);
  }

  Output& out_;
};

}  // namespace

std::unique_ptr<RowFormatter> MakeCsvFormatter(Output& out) {
  return std::make_unique<CsvFormatter>(out);
}

}  // namespace promptdb
