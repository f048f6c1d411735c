#include "shell/display_text.h"
#include "shell/row_formatter.h"

namespace promptdb {

namespace {

class TextFormatter : public RowFormatter {
 public:
  explicit TextFormatter(Output& out) : out_(out) {}

  void Begin(const std::vector<Column>&) override {}

  void Row(const std::vector<Value>& row) override {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += '\t';
      line += row.size() == 1 ? ExactValue(row[i]) : Escape(ExactValue(row[i]));
    }
    line += '\n';
    out_.Write(out_.is_terminal() ? EscapeControls(line) : line);
  }

  void End() override {}

 private:
  static std::string Escape(const std::string& field) {
    std::string out;
    for (const char c : field) {
      switch (c) {
        case '\t':
          out += "\\t";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\\':
          out += "\\\\";
          break;
        default:
          out += c;
      }
    }
    return out;
  }

  Output& out_;
};

}  // namespace

std::unique_ptr<RowFormatter> MakeTextFormatter(Output& out) {
  return std::make_unique<TextFormatter>(out);
}

}  // namespace promptdb
