#include "shell/output.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace promptdb {

namespace {

constexpr size_t kBufferBytes = 64 << 10;

int OpenForWriting(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    throw Error(ErrorCode::kIo, "cannot write to the file: " + std::string(std::strerror(errno)) +
                                    ": \"" + path + "\"");
  }
  return fd;
}

}  // namespace

Output::Output(int fd) : fd_(fd), owned_(false), is_terminal_(isatty(fd) == 1) {}

Output::Output(const std::string& path)
    : fd_(OpenForWriting(path)), owned_(true), is_terminal_(false) {}

Output::~Output() {
  Flush();
  if (owned_) close(fd_);
}

void Output::Write(std::string_view text) {
  if (text.empty() || error_ != 0) return;
  at_line_start_ = text.back() == '\n';
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) Flush();
}

void Output::Flush() {
  size_t written = 0;
  while (error_ == 0 && written < buffer_.size()) {
    const ssize_t n = write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (n >= 0) {
      written += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  buffer_.clear();
}

int Output::Columns() const {
  winsize size{};
  if (is_terminal_ && ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace promptdb
