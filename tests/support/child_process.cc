#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "base/error.h"

extern char** environ;

namespace promptdb {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kTimeout{60};

// Arguments and environment as execve takes them, made before the fork.
class ExecArguments {
 public:
  ExecArguments(const std::vector<std::string>& command, const ChildOptions& options)
      : command_(command) {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const size_t equals = text.find('=');
      variables[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
    variables.erase("NO_COLOR");
    variables["LC_ALL"] = "C.UTF-8";
    variables["TERM"] = "xterm";
    for (const auto& [name, value] : options.environment) variables[name] = value;
    for (const auto& [name, value] : variables) environment_.push_back(name + "=" + value);
    for (std::string& text : command_) argv_.push_back(text.data());
    for (std::string& text : environment_) envp_.push_back(text.data());
    argv_.push_back(nullptr);
    envp_.push_back(nullptr);
    folder_ = options.folder.string();
  }

  [[noreturn]] void Exec() {
    if (!folder_.empty() && chdir(folder_.c_str()) != 0) _exit(126);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    execve(argv_[0], argv_.data(), envp_.data());
    _exit(127);
  }

 private:
  std::vector<std::string> command_;
  std::vector<std::string> environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  std::string folder_;
};

int ExitStatus(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// The child's status, or nullopt when it doesn't end before `deadline`.
std::optional<int> WaitUntil(pid_t pid, Clock::time_point deadline) {
  while (true) {
    int wait_status = 0;
    const pid_t ended = waitpid(pid, &wait_status, WNOHANG);
    if (ended == pid) return ExitStatus(wait_status);
    if (Clock::now() >= deadline) return std::nullopt;
    usleep(2000);
  }
}

}  // namespace

ChildResult RunChild(const std::vector<std::string>& command, const ChildOptions& options) {
  ExecArguments arguments(command, options);
  int in[2], out[2], err[2];
  Check(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0,
        "no pipes for a child");
  const pid_t pid = fork();
  Check(pid >= 0, "no child");
  if (pid == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    arguments.Exec();
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  signal(SIGPIPE, SIG_IGN);

  ChildResult result;
  size_t written = 0;
  const Clock::time_point deadline = Clock::now() + kTimeout;
  pollfd waits[3] = {{in[1], POLLOUT, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  while ((waits[1].fd >= 0 || waits[2].fd >= 0) && Clock::now() < deadline) {
    if (waits[0].fd >= 0 && written == options.input.size()) {
      close(waits[0].fd);
      waits[0].fd = -1;
    }
    if (poll(waits, 3, 200) <= 0) continue;
    if (waits[0].fd >= 0 && waits[0].revents != 0) {
      const ssize_t n =
          write(waits[0].fd, options.input.data() + written, options.input.size() - written);
      written = n > 0 ? written + static_cast<size_t>(n) : options.input.size();
    }
    for (int i = 1; i < 3; ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) continue;
      char bytes[1 << 16];
      const ssize_t n = read(waits[i].fd, bytes, sizeof bytes);
      if (n > 0) {
        (i == 1 ? result.out : result.err).append(bytes, static_cast<size_t>(n));
      } else {
        close(waits[i].fd);
        waits[i].fd = -1;
      }
    }
  }
  for (const pollfd& wait : waits) {
    if (wait.fd >= 0) close(wait.fd);
  }
  const std::optional<int> status = WaitUntil(pid, deadline);
  if (!status) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    result.err += "\n[the test killed a child that hung]\n";
  }
  result.status = status.value_or(-1);
  return result;
}

TerminalChild::TerminalChild(const std::vector<std::string>& command, const ChildOptions& options) {
  ExecArguments arguments(command, options);
  winsize size{};
  size.ws_row = 40;
  size.ws_col = 100;
  pid_ = forkpty(&terminal_, nullptr, nullptr, &size);
  Check(pid_ >= 0, "no terminal for a child");
  if (pid_ == 0) arguments.Exec();
}

TerminalChild::~TerminalChild() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(terminal_);
}

void TerminalChild::Send(std::string_view keys) {
  while (!keys.empty()) {
    const ssize_t n = write(terminal_, keys.data(), keys.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) keys.remove_prefix(static_cast<size_t>(n));
  }
}

bool TerminalChild::ReadSome(int timeout_ms) {
  pollfd wait = {terminal_, POLLIN, 0};
  if (poll(&wait, 1, timeout_ms) <= 0) return true;
  char bytes[1 << 16];
  const ssize_t n = read(terminal_, bytes, sizeof bytes);
  // A terminal whose program has ended gives EIO.
  if (n <= 0) return false;
  output_.append(bytes, static_cast<size_t>(n));
  return true;
}

bool TerminalChild::WaitFor(std::string_view text) {
  const Clock::time_point deadline = Clock::now() + kTimeout;
  bool open = true;
  while (true) {
    const size_t at = output_.find(text, found_);
    if (at != output_.npos) {
      found_ = at + text.size();
      return true;
    }
    if (!open || Clock::now() >= deadline) return false;
    open = ReadSome(100);
  }
}

bool TerminalChild::WaitForMore(size_t bytes) {
  const Clock::time_point deadline = Clock::now() + kTimeout;
  while (output_.size() < found_ + bytes) {
    if (Clock::now() >= deadline || !ReadSome(100)) return false;
  }
  return true;
}

int TerminalChild::Wait() {
  const Clock::time_point deadline = Clock::now() + kTimeout;
  while (Clock::now() < deadline && ReadSome(100)) {
  }
  const std::optional<int> status = WaitUntil(pid_, deadline);
  if (!status) return -1;
  pid_ = -1;
  return *status;
}

}  // namespace promptdb
