// Prints the outcome of statements: rows and streamed text to the data output, notices and progress
// to the messages output. It is the shell's ResultSink.
//
// Not thread-safe: it is called on the thread that runs the statement. Nothing here throws on a
// write that fails: IsCanceled() then stops the statement, and the shell looks at the Outputs.
#ifndef PROMPTDB_SHELL_RESULT_PRINTER_H_
#define PROMPTDB_SHELL_RESULT_PRINTER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "executor/result.h"
#include "shell/options.h"
#include "shell/output.h"
#include "shell/progress_bar.h"
#include "shell/row_formatter.h"

namespace promptdb {

// What \format, \x and \timing change.
struct ShellSettings {
  OutputFormat format = OutputFormat::kTable;
  Expanded expanded = Expanded::kOff;
  bool timing = false;
  bool echo = false;
  bool interactive = false;
};

class ResultPrinter : public ResultSink {
 public:
  // All borrowed. `progress` is null where none is to be shown; `interrupted` says whether the user
  // pressed Ctrl-C.
  ResultPrinter(Output* data, Output* messages, ProgressBar* progress,
                const ShellSettings* settings, std::function<bool()> interrupted);

  // Where rows go from the next statement on. Borrowed.
  void SetData(Output* data) { data_ = data; }

  // Around every statement.
  void BeginStatement();
  void EndStatement(bool failed);

  // A line of the shell's own for the messages output, escaped and flushed.
  void Message(std::string_view text);

  void OnColumns(const std::vector<Column>& columns) override;
  void OnRow(const std::vector<Value>& row) override;
  void OnTextPiece(std::string_view piece) override;
  void OnNotice(std::string_view notice) override;
  void OnDone(std::string_view tag) override;
  void OnProgress(std::string_view stage, int64_t done, int64_t total,
                  std::string_view unit) override;
  bool IsCanceled() const override;

 private:
  bool StreamsText() const;
  void WriteText(std::string_view text);  // generated text, bare
  void EndTextLine();
  RowFormatter& Formatter();  // made at the first row that needs it
  void MakeRoom();            // the bar, and a half-written line, make room for something else

  Output* data_;
  Output* messages_;
  ProgressBar* progress_;
  const ShellSettings* settings_;
  std::function<bool()> interrupted_;

  // Of the statement that runs.
  std::vector<Column> columns_;
  bool is_generation_ = false;  // the row has a generated text and its figures
  bool footer_written_ = false;
  std::string streamed_;  // what OnTextPiece has shown and no row has claimed yet
  std::unique_ptr<RowFormatter> formatter_;
  bool rows_written_before_ = false;  // an earlier statement of this batch has written rows
};

// The figures of a generation's row in one line, for under a streamed text:
// (23 tokens, stop; 41 of 46 prompt tokens from cache; first token 3.1 ms, total 20.4 ms)
std::string GenerationFooter(const std::vector<Column>& columns, const std::vector<Value>& row);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_RESULT_PRINTER_H_
