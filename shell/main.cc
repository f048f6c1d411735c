// pcsh: the shell of PromptDB.
#include <langinfo.h>
#include <signal.h>
#include <unistd.h>

#include <clocale>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "shell/display_text.h"
#include "shell/interrupts.h"
#include "shell/options.h"
#include "shell/output.h"
#include "shell/shell.h"

namespace {

using promptdb::EscapeControls;
using promptdb::Output;

void PrintMessage(Output& messages, std::string_view text) {
  messages.Write(messages.is_terminal() ? EscapeControls(text) : text);
  messages.Flush();
}

// The line editor needs to know that the terminal speaks UTF-8, as all our text does.
void SetLocale() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

// Ends the process as the signal would have, so that a script that called us learns it.
void EndBySignal(int signal_number) {
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

int Run(const promptdb::Options& options, Output& data, Output& messages) {
  const bool interactive = !options.check && options.inputs.empty() && isatty(STDIN_FILENO) == 1;
  try {
    if (options.check && options.server.empty() &&
        !std::filesystem::exists(options.database + "/CURRENT")) {
      throw promptdb::Error(promptdb::ErrorCode::kInvalidArgument,
                            "there is no database in \"" + options.database + "\"");
    }
    promptdb::Shell shell(options, &data, &messages, interactive);
    if (options.check) return shell.RunCheck();
    return interactive ? shell.RunInteractive() : shell.RunBatch();
  } catch (const promptdb::Error& error) {
    PrintMessage(messages, promptdb::FormatError(error, ""));
  } catch (const std::exception& error) {
    PrintMessage(messages, std::string("error: internal error: ") + error.what() + "\n");
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  SetLocale();
  // A reader that goes away is seen as an error of write().
  signal(SIGPIPE, SIG_IGN);
  Output data(STDOUT_FILENO);
  Output messages(STDERR_FILENO);
  promptdb::Options options;
  try {
    options = promptdb::ParseOptions({argv + 1, argv + argc});
  } catch (const promptdb::UsageError& error) {
    PrintMessage(messages, std::string("pcsh: ") + error.what() + "\n" +
                               (error.hint().empty() ? "" : "hint: " + error.hint() + "\n"));
    return 2;
  }
  int status = 0;
  if (options.help || options.version) {
    data.Write(options.help ? promptdb::UsageText() : "pcsh (PromptDB) " PROMPTDB_VERSION "\n");
    data.Flush();
    if (data.error() != 0) status = 1;
    if (data.error() != 0 && data.error() != EPIPE) {
      PrintMessage(messages,
                   std::string("error: input/output error: cannot write to standard output: ") +
                       std::strerror(data.error()) + "\n");
    }
  } else {
    status = Run(options, data, messages);
    // The database is closed by now.
    if (status != 0 && promptdb::InterruptPending()) EndBySignal(SIGINT);
  }
  if (data.error() == EPIPE) EndBySignal(SIGPIPE);
  return status;
}
