// pcsh itself: opens the database, and runs statements and backslash commands on it, from the
// command line, from files, or from a prompt.
//
// Not thread-safe; there is one in a process (the terminal and Ctrl-C are the process's).
#ifndef PROMPTDB_SHELL_SHELL_H_
#define PROMPTDB_SHELL_SHELL_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shell/options.h"
#include "shell/output.h"
#include "shell/progress_bar.h"
#include "shell/result_printer.h"
#include "shell/statement_runner.h"

namespace promptdb {

class Shell {
 public:
  // Opens the database, or connects to the server. Throws Error. `data` and `messages` (standard
  // output and error) are borrowed.
  Shell(const Options& options, Output* data, Output* messages, bool interactive);
  ~Shell();

  // Runs -c and -f in their order, or standard input where there is none.
  // All return pcsh's exit status.
  int RunBatch();
  int RunCheck();
  int RunInteractive();

  // How a piece of work ended.
  enum class Outcome {
    kOk,
    kFailed,       // an error, which has been printed
    kInterrupted,  // Ctrl-C
    kOutputGone,   // nobody reads standard output any more, or it can't be written
    kQuit,         // \q
  };

 private:
  // Where a script came from, for its errors.
  struct Script {
    std::string text;
    std::string name;  // the file's name; empty for -c and for what was typed
  };

  // Runs every statement and every backslash command of a script, up to the first that fails.
  Outcome RunScript(const Script& script);
  Outcome RunFile(const std::string& path);
  Outcome RunStatement(const Script& script, SourceRange range);
  // Defined in run_command.cc.
  Outcome RunCommand(std::string_view line);
  Outcome Describe(const std::string& name);
  Outcome SetOutput(const std::string& path);
  Outcome SetSetting(const std::string& name, const std::string& value);
  // \demo and \compare.
  Outcome RunDemo();
  Outcome Compare(const std::string& query);

  // Runs `work`, which uses session_ and printer_, so that Ctrl-C cancels it and progress is shown.
  // Gives back the error that ended it.
  std::optional<Error> Attempt(const std::function<void()>& work);
  // A statement of the shell's own making.
  Outcome RunText(const std::string& statement);
  // Prints an error whose range is in script.text; then kFailed, or kInterrupted where Ctrl-C is
  // the cause.
  Outcome Fail(const Error& error, const Script& script);
  // Prints a command's error; then kFailed.
  Outcome FailCommand(const std::string& message, const std::string& hint = "");
  // kOutputGone, with a message where that is news to somebody, when a write has failed.
  Outcome AfterOutput(Outcome outcome);
  void PrintData(std::string_view text);
  std::string ReadWholeFile(const std::string& path);

  std::string Prompt(bool open_quote) const;
  // One line typed at the prompt.
  Outcome TakeLine(const std::string& line);

  ShellSettings settings_;
  Options options_;
  Output* standard_data_;
  Output* data_;
  Output* messages_;
  std::unique_ptr<Output> data_file_;  // \o
  std::unique_ptr<ProgressBar> progress_;
  ResultPrinter printer_;
  const bool database_is_new_;
  std::unique_ptr<Database> database_;  // null with --connect
  std::unique_ptr<StatementRunner> session_;
  int file_depth_ = 0;       // files that run files
  std::string typed_;        // at the prompt, not yet run
  bool open_quote_ = false;  // typed_ ends in a quote
  std::string history_entry_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_SHELL_H_
