// Ctrl-C: a statement that runs is asked to stop, and a prompt that waits is woken.
//
// The handlers are the process's, so their state is too. All functions are for the main thread; the
// handlers only touch atomics and a pipe.
#ifndef PROMPTDB_SHELL_INTERRUPTS_H_
#define PROMPTDB_SHELL_INTERRUPTS_H_

#include "shell/statement_runner.h"

namespace promptdb {

// Installs the handlers. Without a prompt to come back to (a batch), a second Ctrl-C ends the
// process at once, for the case that the statement doesn't stop.
void InstallInterruptHandlers(bool has_prompt);

// True after Ctrl-C, until it is cleared.
bool InterruptPending();
void ClearInterrupt();

// Readable when a signal has come: a prompt polls it beside the terminal. Drained by
// DrainSignalPipe.
int SignalPipe();
void DrainSignalPipe();

// True once after the terminal's size changed, or after the process was continued.
bool TakeWindowChange();
bool TakeContinue();

// While one lives, Ctrl-C cancels `session`.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(StatementRunner* session);
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_INTERRUPTS_H_
