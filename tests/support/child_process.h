// Runs real programs for tests: with pipes, or on a terminal of their own.
//
// Not thread-safe: one test owns a child. A child that hangs is killed, and the test told.
#ifndef PROMPTDB_TESTS_SUPPORT_CHILD_PROCESS_H_
#define PROMPTDB_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

struct ChildOptions {
  std::string input;                               // what it reads from standard input
  std::filesystem::path folder;                    // its working folder; empty: ours
  std::map<std::string, std::string> environment;  // over ours; the locale is C.UTF-8
};

struct ChildResult {
  int status = -1;  // its exit status, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

// Runs `command` (a path, then its arguments) to its end.
ChildResult RunChild(const std::vector<std::string>& command, const ChildOptions& options = {});

// A program on a terminal of 100 columns.
class TerminalChild {
 public:
  TerminalChild(const std::vector<std::string>& command, const ChildOptions& options = {});
  ~TerminalChild();
  TerminalChild(const TerminalChild&) = delete;
  TerminalChild& operator=(const TerminalChild&) = delete;

  void Send(std::string_view keys);
  // Reads until `text` comes after what earlier calls have found; false when it doesn't in 60
  // seconds, or the program ends before.
  bool WaitFor(std::string_view text);
  // Reads until `bytes` more have come than what was found; false as above.
  bool WaitForMore(size_t bytes);
  // What was read since the last call of Mark().
  std::string SinceMark() const { return output_.substr(mark_); }
  void Mark() { mark_ = found_; }
  // Everything the terminal was sent, for a test's message.
  const std::string& output() const { return output_; }
  // Waits for the program's end; -1 when it doesn't end in time.
  int Wait();
  pid_t pid() const { return pid_; }

 private:
  bool ReadSome(int timeout_ms);

  pid_t pid_ = -1;
  int terminal_ = -1;
  std::string output_;
  size_t found_ = 0;  // the end of what the last WaitFor found
  size_t mark_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_CHILD_PROCESS_H_
