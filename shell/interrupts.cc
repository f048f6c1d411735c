#include "shell/interrupts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/error.h"

namespace promptdb {

namespace {

std::atomic<StatementRunner*> running_session{nullptr};
std::atomic<bool> interrupted{false};
std::atomic<bool> window_changed{false};
std::atomic<bool> continued{false};
std::atomic<bool> second_interrupt_exits{false};
int signal_pipe[2] = {-1, -1};

void OnSignal(int signal_number) {
  const int saved_errno = errno;
  if (signal_number == SIGINT) {
    if (interrupted.exchange(true) && second_interrupt_exits) _exit(128 + SIGINT);
    if (StatementRunner* session = running_session.load()) session->Cancel();
  } else if (signal_number == SIGWINCH) {
    window_changed = true;
  } else {
    continued = true;
  }
  // The pipe doesn't block; when it is full, whoever polls it wakes anyway.
  [[maybe_unused]] const ssize_t ignored = write(signal_pipe[1], "", 1);
  errno = saved_errno;
}

void Handle(int signal_number) {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal_number, &action, nullptr);
}

}  // namespace

void InstallInterruptHandlers(bool has_prompt) {
  Check(pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe for signals");
  second_interrupt_exits = !has_prompt;
  Handle(SIGINT);
  if (has_prompt) {
    Handle(SIGWINCH);
    Handle(SIGCONT);
  }
}

bool InterruptPending() { return interrupted; }
void ClearInterrupt() { interrupted = false; }
int SignalPipe() { return signal_pipe[0]; }

void DrainSignalPipe() {
  char bytes[64];
  while (read(signal_pipe[0], bytes, sizeof bytes) > 0) {
  }
}

bool TakeWindowChange() { return window_changed.exchange(false); }
bool TakeContinue() { return continued.exchange(false); }

CancelOnInterrupt::CancelOnInterrupt(StatementRunner* session) { running_session = session; }
CancelOnInterrupt::~CancelOnInterrupt() { running_session = nullptr; }

}  // namespace promptdb
