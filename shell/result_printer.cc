#include "shell/result_printer.h"

#include <cstdio>

#include "shell/display_text.h"

namespace promptdb {

namespace {

const Value* Find(const std::vector<Column>& columns, const std::vector<Value>& row,
                  std::string_view name) {
  for (size_t i = 0; i < columns.size() && i < row.size(); ++i) {
    if (columns[i].name == name && !std::holds_alternative<std::monostate>(row[i])) return &row[i];
  }
  return nullptr;
}

bool HasColumn(const std::vector<Column>& columns, std::string_view name) {
  for (const Column& column : columns) {
    if (column.name == name) return true;
  }
  return false;
}

std::string Count(const Value& value, const std::string& noun) {
  const std::string number = FormatValue(value);
  return number + " " + noun + (number == "1" ? "" : "s");
}

std::string Milliseconds(const Value& value) {
  double number = 0;
  if (const auto* real = std::get_if<double>(&value)) number = *real;
  if (const auto* whole = std::get_if<int64_t>(&value)) number = static_cast<double>(*whole);
  char text[48];
  std::snprintf(text, sizeof text, "%.1f ms", number);
  return text;
}

void AppendPart(std::string& line, std::string_view separator, const std::string& part) {
  if (part.empty()) return;
  if (!line.empty()) line += separator;
  line += part;
}

}  // namespace

std::string GenerationFooter(const std::vector<Column>& columns, const std::vector<Value>& row) {
  std::string produced, prompt, time;
  if (const Value* tokens = Find(columns, row, "output_tokens")) produced = Count(*tokens, "token");
  if (const Value* reason = Find(columns, row, "finish_reason")) {
    AppendPart(produced, ", ", FormatValue(*reason));
  }
  const Value* cached = Find(columns, row, "cached_tokens");
  if (const Value* tokens = Find(columns, row, "prompt_tokens")) {
    if (cached == nullptr || FormatValue(*cached) == "0") {
      prompt = Count(*tokens, "prompt token");
    } else {
      prompt = FormatValue(*cached) + " of " + Count(*tokens, "prompt token") + " from cache";
    }
  }
  if (const Value* first = Find(columns, row, "ttft_ms"))
    time = "first token " + Milliseconds(*first);
  if (const Value* total = Find(columns, row, "total_ms")) {
    AppendPart(time, ", ", "total " + Milliseconds(*total));
  }
  std::string line;
  AppendPart(line, "; ", produced);
  AppendPart(line, "; ", prompt);
  AppendPart(line, "; ", time);
  return "(" + line + ")";
}

ResultPrinter::ResultPrinter(Output* data, Output* messages, ProgressBar* progress,
                             const ShellSettings* settings, std::function<bool()> interrupted)
    : data_(data),
      messages_(messages),
      progress_(progress),
      settings_(settings),
      interrupted_(std::move(interrupted)) {}

void ResultPrinter::BeginStatement() {
  if (progress_ != nullptr) progress_->Begin();
  columns_.clear();
  is_generation_ = false;
  footer_written_ = false;
  streamed_.clear();
  formatter_.reset();
}

void ResultPrinter::EndStatement(bool failed) {
  if (progress_ != nullptr) progress_->Erase();
  if (failed) {
    if (formatter_ != nullptr) formatter_->Abort();
    EndTextLine();
  }
  formatter_.reset();
  data_->Flush();
  messages_->Flush();
}

void ResultPrinter::Message(std::string_view text) {
  MakeRoom();
  data_->Flush();
  messages_->Write(messages_->is_terminal() ? EscapeControls(text) : text);
  messages_->Flush();
}

void ResultPrinter::OnColumns(const std::vector<Column>& columns) {
  columns_ = columns;
  is_generation_ = HasColumn(columns, "text") && HasColumn(columns, "output_tokens");
}

bool ResultPrinter::StreamsText() const {
  if (settings_->format == OutputFormat::kText) return true;
  return settings_->format == OutputFormat::kTable && settings_->interactive &&
         data_->is_terminal();
}

void ResultPrinter::OnTextPiece(std::string_view piece) {
  if (!StreamsText()) return;
  if (progress_ != nullptr) progress_->Erase();
  WriteText(piece);
  streamed_ += piece;
  data_->Flush();
}

void ResultPrinter::WriteText(std::string_view text) {
  data_->Write(data_->is_terminal() ? EscapeControls(text) : text);
}

void ResultPrinter::EndTextLine() {
  if (!data_->at_line_start()) data_->Write("\n");
}

void ResultPrinter::OnRow(const std::vector<Value>& row) {
  if (progress_ != nullptr) progress_->Erase();
  if (is_generation_ && StreamsText()) {
    const Value* value = Find(columns_, row, "text");
    const std::string text = value != nullptr ? FormatValue(*value) : "";
    const bool was_streamed = !streamed_.empty() && streamed_ == text;
    if (settings_->format == OutputFormat::kText) {
      if (!was_streamed) WriteText(text);
      EndTextLine();
      if (text.empty()) data_->Write("\n");
      streamed_.clear();
      return;
    }
    if (was_streamed) {
      EndTextLine();
      data_->Write(GenerationFooter(columns_, row) + "\n");
      streamed_.clear();
      footer_written_ = true;
      return;
    }
  }
  if (!streamed_.empty()) EndTextLine();
  streamed_.clear();
  Formatter().Row(row);
}

RowFormatter& ResultPrinter::Formatter() {
  if (formatter_ == nullptr) {
    const bool is_table = settings_->format == OutputFormat::kTable;
    // An empty line parts the tables of a batch; at a prompt it follows each.
    if (is_table && !settings_->interactive && rows_written_before_) data_->Write("\n");
    rows_written_before_ = true;
    switch (settings_->format) {
      case OutputFormat::kTable:
        formatter_ =
            MakeTableFormatter(*data_, settings_->expanded, static_cast<size_t>(data_->Columns()));
        break;
      case OutputFormat::kCsv:
        formatter_ = MakeCsvFormatter(*data_);
        break;
      case OutputFormat::kJson:
        formatter_ = MakeJsonFormatter(*data_, false);
        break;
      case OutputFormat::kJsonl:
        formatter_ = MakeJsonFormatter(*data_, true);
        break;
      case OutputFormat::kText:
        formatter_ = MakeTextFormatter(*data_);
        break;
    }
    formatter_->Begin(columns_);
  }
  return *formatter_;
}

void ResultPrinter::OnDone(std::string_view tag) {
  if (progress_ != nullptr) progress_->Erase();
  if (!streamed_.empty()) EndTextLine();
  if (columns_.empty()) {
    // "CREATE SCHEMA" is for the person who waits for it, so scripts don't see it.
    if (messages_->is_terminal()) Message(std::string(tag) + "\n");
  } else {
    const bool text_was_all = settings_->format == OutputFormat::kText && is_generation_;
    if (!footer_written_ && !text_was_all) Formatter();
    if (formatter_ != nullptr) formatter_->End();
    if (settings_->interactive && settings_->format == OutputFormat::kTable) data_->Write("\n");
  }
  formatter_.reset();
  columns_.clear();
  footer_written_ = false;
  data_->Flush();
}

void ResultPrinter::MakeRoom() {
  if (progress_ != nullptr) progress_->Erase();
  if (data_->is_terminal()) EndTextLine();
}

void ResultPrinter::OnNotice(std::string_view notice) {
  Message("notice: " + std::string(notice) + "\n");
}

void ResultPrinter::OnProgress(std::string_view stage, int64_t done, int64_t total,
                               std::string_view unit) {
  if (progress_ == nullptr) return;
  // The bar would overwrite a line of text that is still being written.
  if (data_->is_terminal() && !data_->at_line_start()) return;
  progress_->Update(stage, done, total, unit);
}

bool ResultPrinter::IsCanceled() const { return interrupted_() || data_->error() != 0; }

}  // namespace promptdb
