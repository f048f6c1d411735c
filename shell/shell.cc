#include "shell/shell.h"

#include <langinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/text_place.h"
#include "parser/parser.h"
#include "shell/collected_rows.h"
#include "shell/completion.h"
#include "shell/demo_setup.h"
#include "shell/display_text.h"
#include "shell/history_file.h"
#include "shell/interrupts.h"
#include "shell/line_editor.h"
#include "shell/remote_session.h"

namespace promptdb {

namespace {

// A file that runs itself must end somewhere.
constexpr int kMostFileDepth = 16;

std::unique_ptr<ProgressBar> MakeProgressBar(Output* messages) {
  if (!messages->is_terminal()) return nullptr;
  const char* term = std::getenv("TERM");
  const char* no_color = std::getenv("NO_COLOR");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  ProgressBar::Style style;
  style.unicode = !dumb && std::string_view(nl_langinfo(CODESET)) == "UTF-8";
  style.color = !dumb && (no_color == nullptr || *no_color == '\0');
  style.erase = !dumb;
  return std::make_unique<ProgressBar>(
      style,
      [messages](std::string_view text) {
        messages->Write(text);
        messages->Flush();
      },
      [messages] { return messages->Columns(); });
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The first place at or after `at` that is neither blank nor in a comment.
size_t SkipBlanksAndComments(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (IsBlank(text[at])) {
      ++at;
    } else if (text.substr(at, 2) == "--") {
      at = std::min(text.find('\n', at), text.size());
    } else if (text.substr(at, 2) == "/*") {
      const size_t end = text.find("*/", at + 2);
      if (end == text.npos) return at;
      at = end + 2;
    } else {
      break;
    }
  }
  return at;
}

std::string Milliseconds(std::chrono::steady_clock::duration duration) {
  char text[48];
  const double milliseconds = std::chrono::duration<double, std::milli>(duration).count();
  if (milliseconds < 10000) {
    std::snprintf(text, sizeof text, "time: %.1f ms\n", milliseconds);
  } else {
    std::snprintf(text, sizeof text, "time: %.1f s\n", milliseconds / 1000);
  }
  return text;
}

}  // namespace

Shell::Shell(const Options& options, Output* data, Output* messages, bool interactive)
    : options_(options),
      standard_data_(data),
      data_(data),
      messages_(messages),
      progress_(MakeProgressBar(messages)),
      printer_(data, messages, progress_.get(), &settings_, InterruptPending),
      database_is_new_(options.server.empty() && !std::filesystem::exists(options.database)) {
  if (options.server.empty()) {
    database_ = std::make_unique<Database>(options.database);
    session_ = std::make_unique<EmbeddedSession>(database_.get());
  } else {
    session_ = std::make_unique<RemoteSession>(options.server);
  }
  settings_.format = options.format;
  settings_.timing = options.timing;
  settings_.echo = options.echo;
  settings_.interactive = interactive;
  settings_.expanded = interactive ? Expanded::kAuto : Expanded::kOff;
}

Shell::~Shell() = default;

int Shell::RunBatch() {
  InstallInterruptHandlers(false);
  std::vector<BatchInput> inputs = options_.inputs;
  if (inputs.empty()) inputs.push_back({BatchInput::Kind::kFile, "-"});
  for (const BatchInput& input : inputs) {
    const Outcome outcome = input.kind == BatchInput::Kind::kFile
                                ? RunFile(input.value)
                                : RunScript(Script{input.value, ""});
    if (outcome == Outcome::kQuit) break;
    if (outcome != Outcome::kOk) return 1;
  }
  return 0;
}

int Shell::RunCheck() {
  InstallInterruptHandlers(false);
  CollectedRows found(&printer_, /*forwards_notices=*/true);
  const std::optional<Error> error = Attempt([&] {
    session_->Execute("CHECK DATABASE", found);
    printer_.OnColumns(found.columns());
    for (const Row& row : found.rows()) printer_.OnRow(row);
    printer_.OnDone("CHECK");
  });
  if (error) Fail(*error, Script{});
  if (AfterOutput(error ? Outcome::kFailed : Outcome::kOk) != Outcome::kOk) return 1;
  for (size_t i = 0; i < found.rows().size(); ++i) {
    if (found.At(i, "damaged") != Value(int64_t{0})) return 1;
  }
  return 0;
}

Shell::Outcome Shell::RunFile(const std::string& path) {
  Script script;
  script.name = path == "-" ? "<stdin>" : path;
  if (file_depth_ >= kMostFileDepth) {
    return FailCommand("files run files more than " + std::to_string(kMostFileDepth) +
                       " deep: " + path);
  }
  try {
    script.text = ReadWholeFile(path);
  } catch (const Error& error) {
    return Fail(error, Script{});
  }
  ++file_depth_;
  const Outcome outcome = RunScript(script);
  --file_depth_;
  return outcome;
}

std::string Shell::ReadWholeFile(const std::string& path) {
  std::string text;
  if (path == "-") {
    // read(), so that Ctrl-C and a terminal's end of input behave.
    char bytes[1 << 16];
    ssize_t got = 0;
    while ((got = read(STDIN_FILENO, bytes, sizeof bytes)) > 0) {
      text.append(bytes, static_cast<size_t>(got));
    }
    if (got < 0) {
      throw Error(ErrorCode::kIo,
                  std::string("cannot read standard input: ") + std::strerror(errno));
    }
  } else {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
      throw Error(ErrorCode::kIo, "cannot read the script, it is a folder: \"" + path + "\"");
    }
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in) {
      const std::string cause = errno != 0 ? std::strerror(errno) : "unknown cause";
      throw Error(ErrorCode::kIo, "cannot read the script: " + cause + ": \"" + path + "\"");
    }
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  // Some editors begin a UTF-8 file with a mark.
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

Shell::Outcome Shell::RunScript(const Script& script) {
  const std::string_view text = script.text;
  size_t at = SkipBlanksAndComments(text, 0);
  while (at < text.size()) {
    if (text[at] == '\\') {
      const size_t end = std::min(text.find('\n', at), text.size());
      const Outcome outcome = RunCommand(text.substr(at, end - at));
      if (outcome != Outcome::kOk) return outcome;
      at = SkipBlanksAndComments(text, end);
      continue;
    }
    // Everything up to the next command line is cut at once, so that a long script is read once.
    const ScriptSplit split = SplitScript(text.substr(at));
    const size_t base = at;
    std::vector<SourceRange> statements = split.statements;
    if (split.rest.end > split.rest.begin) statements.push_back(split.rest);
    if (statements.empty()) break;
    for (const SourceRange& piece : statements) {
      const SourceRange range{piece.begin + static_cast<int>(base),
                              piece.end + static_cast<int>(base)};
      const size_t begin = SkipBlanksAndComments(text, static_cast<size_t>(range.begin));
      at = begin;
      if (begin < text.size() && text[begin] == '\\') break;
      at = static_cast<size_t>(range.end);
      if (begin >= at || text.substr(begin, at - begin) == ";") continue;
      const Outcome outcome = RunStatement(script, range);
      if (outcome != Outcome::kOk) return outcome;
    }
    at = SkipBlanksAndComments(text, at);
  }
  return Outcome::kOk;
}

Shell::Outcome Shell::RunText(const std::string& statement) {
  return RunStatement(Script{statement, ""}, {0, static_cast<int>(statement.size())});
}

Shell::Outcome Shell::RunStatement(const Script& script, SourceRange range) {
  const std::string_view statement = TextAt(script.text, range);
  if (settings_.echo) printer_.Message(MaskSecrets(statement) + "\n");
  if (!settings_.interactive && InterruptPending()) return Outcome::kInterrupted;
  if (settings_.interactive) ClearInterrupt();
  const auto begin = std::chrono::steady_clock::now();
  const std::optional<Error> error = Attempt([&] { session_->Execute(statement, printer_); });
  const auto end = std::chrono::steady_clock::now();
  Outcome outcome = AfterOutput(error ? Outcome::kFailed : Outcome::kOk);
  if (outcome == Outcome::kOutputGone) return outcome;
  if (error) {
    // The session saw the statement alone; the user sees a place in the whole script.
    const SourceRange place = error->range().value_or(SourceRange{0, range.end - range.begin});
    const Error unplaced(error->code(), error->message(), error->hint());
    outcome = Fail(WithDemoHint(unplaced.At({place.begin + range.begin, place.end + range.begin})),
                   script);
  }
  if (settings_.timing) printer_.Message(Milliseconds(end - begin));
  return outcome;
}

std::optional<Error> Shell::Attempt(const std::function<void()>& work) {
  std::optional<Error> error;
  printer_.BeginStatement();
  try {
    const CancelOnInterrupt guard(session_.get());
    work();
  } catch (...) {
    error = CurrentError();
  }
  printer_.EndStatement(error.has_value());
  return error;
}

Shell::Outcome Shell::Fail(const Error& error, const Script& script) {
  // A statement that the user stopped is not to blame: no place is shown.
  const bool stopped = error.code() == ErrorCode::kCanceled && InterruptPending();
  std::string text = FormatError(error, stopped ? std::string() : MaskSecrets(script.text));
  if (!script.name.empty() && error.range()) {
    const auto begin = std::min(static_cast<size_t>(error.range()->begin), script.text.size());
    const auto line =
        1 + std::count(script.text.begin(),
                       script.text.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
    text = script.name + ":" + std::to_string(line) + ": " + text;
  }
  printer_.Message(text);
  return stopped ? Outcome::kInterrupted : Outcome::kFailed;
}

Shell::Outcome Shell::FailCommand(const std::string& message, const std::string& hint) {
  printer_.Message("error: " + message + "\n" + (hint.empty() ? "" : "hint: " + hint + "\n"));
  return Outcome::kFailed;
}

Shell::Outcome Shell::AfterOutput(Outcome outcome) {
  if (data_->error() == 0) return outcome;
  // A reader that has seen enough (`pcsh … | head`) is nobody's problem.
  if (data_->error() != EPIPE) {
    const std::string where = data_ == standard_data_ ? "standard output" : "the file of \\o";
    FailCommand("input/output error: cannot write to " + where + ": " +
                std::strerror(data_->error()));
  }
  if (data_ == standard_data_) return Outcome::kOutputGone;
  data_file_.reset();
  data_ = standard_data_;
  printer_.SetData(data_);
  return Outcome::kFailed;
}

void Shell::PrintData(std::string_view text) {
  data_->Write(data_->is_terminal() ? EscapeControls(text) : text);
  data_->Flush();
}

std::string Shell::Prompt(bool open_quote) const {
  if (typed_.empty()) return "promptdb=> ";
  return open_quote ? "promptdb'> " : "promptdb-> ";
}

int Shell::RunInteractive() {
  InstallInterruptHandlers(true);
  LineEditor editor(DefaultHistoryFile(), [this](std::string_view before_cursor) {
    Session::Names names;
    try {
      names = session_->CatalogNames();
    } catch (const Error&) {
      // Completion has nothing to say then; the next statement will tell what is wrong.
    }
    return Complete(typed_ + std::string(before_cursor), names);
  });
  printer_.Message(
      "PromptDB " PROMPTDB_VERSION +
      (database_ ? ", database " + options_.database : ", server " + options_.server) +
      (database_is_new_ ? " (new)" : "") +
      "\nType \\? for help, \\h for the language, \\q to quit. Statements end with ;\n" +
      (session_->CatalogNames().models.empty()
           ? "No model yet: \\demo sets up a small one that is built in.\n"
           : "") +
      "\n");
  while (true) {
    LineEditor::Line line = editor.Read(Prompt(open_quote_));
    if (line.end == LineEditor::Line::End::kEof) {
      printer_.Message("\n");
      break;
    }
    if (line.end == LineEditor::Line::End::kInterrupted) {
      printer_.Message("^C\n");
      typed_.clear();
      history_entry_.clear();
      open_quote_ = false;
      continue;
    }
    const Outcome outcome = TakeLine(line.text);
    if (typed_.empty() && !history_entry_.empty()) {
      while (IsBlank(history_entry_.back())) history_entry_.pop_back();
      editor.AddHistory(history_entry_);
      history_entry_.clear();
    }
    if (outcome == Outcome::kQuit) break;
    if (outcome == Outcome::kOutputGone) return 1;
  }
  return 0;
}

Shell::Outcome Shell::TakeLine(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == line.npos && !open_quote_) return Outcome::kOk;
  history_entry_ += line + "\n";
  if (!open_quote_ && line[begin] == '\\') return RunCommand(line.substr(begin));
  if (typed_.empty()) {
    const std::string word = line.substr(begin, line.find_last_not_of(" \t;") + 1 - begin);
    if (word == "quit" || word == "exit") return Outcome::kQuit;
    if (word == "help") return RunCommand("\\?");
  }
  typed_ += line + "\n";
  const ScriptSplit split = SplitScript(typed_);
  if (split.statements.empty()) {
    open_quote_ = split.rest_is_open_quote;
    if (split.rest.end == split.rest.begin && !open_quote_) typed_.clear();
    return Outcome::kOk;
  }
  const Script script{std::move(typed_), ""};
  typed_.clear();
  for (const SourceRange& range : split.statements) {
    if (SkipBlanksAndComments(script.text, static_cast<size_t>(range.begin)) + 1 ==
        static_cast<size_t>(range.end)) {
      continue;  // a lone semicolon
    }
    // Errors count lines from the statement's own beginning.
    const std::string statement(TextAt(script.text, range));
    const Outcome outcome = RunText(statement);
    if (outcome != Outcome::kOk && outcome != Outcome::kFailed) {
      open_quote_ = false;
      return outcome == Outcome::kInterrupted ? Outcome::kOk : outcome;
    }
  }
  if (split.rest.end > split.rest.begin) {
    typed_ = script.text.substr(static_cast<size_t>(split.rest.begin));
  }
  open_quote_ = split.rest_is_open_quote;
  return Outcome::kOk;
}

}  // namespace promptdb
