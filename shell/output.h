// A file descriptor that the shell writes to: standard output, standard error, or a file of \o.
//
// Not thread-safe. Writing never throws, since it happens in the middle of a statement: the first
// failure is remembered, later writes are dropped, and whoever runs the statements asks.
#ifndef PROMPTDB_SHELL_OUTPUT_H_
#define PROMPTDB_SHELL_OUTPUT_H_

#include <string>
#include <string_view>

namespace promptdb {

class Output {
 public:
  // `fd` is borrowed.
  explicit Output(int fd);
  // Opens `path` for writing and empties it. Throws Error(kIo).
  explicit Output(const std::string& path);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void Write(std::string_view text);
  void Flush();

  bool is_terminal() const { return is_terminal_; }
  // The terminal's width in columns; 80 where it isn't known.
  int Columns() const;
  // True when nothing written so far ended in the middle of a line.
  bool at_line_start() const { return at_line_start_; }

  // The errno of the first write that failed, or 0.
  int error() const { return error_; }

 private:
  int fd_;
  bool owned_;
  bool is_terminal_;
  bool at_line_start_ = true;
  int error_ = 0;
  std::string buffer_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_OUTPUT_H_
