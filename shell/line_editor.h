// Reads lines from a terminal, with editing, history and completion by libedit.
//
// Not thread-safe; there is one in a process, since the terminal is the process's.
#ifndef PROMPTDB_SHELL_LINE_EDITOR_H_
#define PROMPTDB_SHELL_LINE_EDITOR_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "shell/completion.h"

namespace promptdb {

class LineEditor {
 public:
  // The word to complete, from all of the line that stands before the cursor.
  using Completer = std::function<Completion(std::string_view before_cursor)>;

  // Loads the history from `history_file` (empty: none is kept). A history that can't be read or
  // written is no error.
  LineEditor(std::filesystem::path history_file, Completer completer);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  struct Line {
    enum class End { kLine, kInterrupted, kEof };
    End end = End::kLine;
    std::string text;  // without the line break; lines of a recalled statement keep theirs
  };
  Line Read(const std::string& prompt);

  // Remembers one entry, which may have several lines, and appends it to the file.
  void AddHistory(const std::string& entry);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_LINE_EDITOR_H_
