// pcserver: the server of PromptDB.
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include "base/error.h"
#include "server/server.h"
#include "server/server_options.h"
#include "server/user_file.h"

namespace {

using promptdb::ServerOptions;

// While one lives, the terminal does not show what is typed.
class HiddenInput {
 public:
  HiddenInput() : is_terminal_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!is_terminal_) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  ~HiddenInput() {
    if (is_terminal_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  HiddenInput(const HiddenInput&) = delete;
  HiddenInput& operator=(const HiddenInput&) = delete;

  bool is_terminal() const { return is_terminal_; }

 private:
  termios before_{};
  bool is_terminal_;
};

int AddUser(const ServerOptions& options) {
  std::string password;
  {
    const HiddenInput hidden;
    if (hidden.is_terminal()) std::cerr << "Password of " << options.user_to_add << ": ";
    std::getline(std::cin, password);
    if (hidden.is_terminal()) std::cerr << "\n";
  }
  if (password.ends_with('\r')) password.pop_back();
  const std::filesystem::path file = options.UserFile();
  promptdb::PutUser(file, options.user_to_add, password);
  std::cerr << "User " << options.user_to_add << " is in " << file.string()
            << ". A running server reads it at SIGHUP.\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  ServerOptions options;
  try {
    options = promptdb::ParseServerOptions(arguments);
  } catch (const promptdb::OptionsError& error) {
    std::cerr << "pcserver: " << error.what() << "\n";
    if (!error.hint().empty()) std::cerr << "hint: " << error.hint() << "\n";
    return 2;
  }
  try {
    switch (options.action) {
      case ServerOptions::Action::kHelp:
        std::cout << promptdb::ServerUsage();
        return 0;
      case ServerOptions::Action::kVersion:
        std::cout << "pcserver (PromptDB) " PROMPTDB_VERSION "\n";
        return 0;
      case ServerOptions::Action::kAddUser:
        return AddUser(options);
      case ServerOptions::Action::kServe:
        promptdb::Server(options, arguments).Run();
        return 0;
    }
  } catch (const promptdb::Error& error) {
    std::cerr << promptdb::FormatError(error, "");
  } catch (const std::exception& error) {
    std::cerr << "error: internal error: " << error.what() << "\n";
  }
  return 1;
}
