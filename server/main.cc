// pcserver: the server of PromptDB.
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include "base/error.h"
#include "executor/session.h"
#include "parser/parser.h"
#include "server/server.h"
#include "server/server_options.h"

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
  if (password.empty()) {
    throw promptdb::Error(promptdb::ErrorCode::kInvalidArgument, "the password is empty");
  }
  promptdb::Database database(options.database);
  promptdb::Session session(&database);
  promptdb::QuietSink sink;
  const std::string user = promptdb::QuoteName(options.user_to_add);
  const std::string secret = " PASSWORD " + promptdb::QuoteText(password);
  if (database.FindUser(options.user_to_add)) {
    session.Execute("ALTER USER " + user + secret, sink);
    session.Execute("ALTER USER " + user + " SET (admin = on, disabled = off)", sink);
  } else {
    session.Execute("CREATE USER " + user + secret + " WITH (admin = on)", sink);
  }
  std::cerr << "User " << options.user_to_add << " is an admin of the database in "
            << options.database << ".\n";
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
