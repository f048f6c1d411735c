// What pcserver is told: by flags, and by a config file that names the same things.
//
// Plain values and pure functions; thread-safe.
#ifndef PROMPTDB_SERVER_SERVER_OPTIONS_H_
#define PROMPTDB_SERVER_SERVER_OPTIONS_H_

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace promptdb {

struct ServerOptions {
  enum class Authentication {
    kAuto,   // kScram where there are users, else kTrust
    kTrust,  // nobody is asked; connections from other machines are refused
    kScram,  // SCRAM-SHA-256
  };
  enum class Action { kServe, kAddUser, kHelp, kVersion };

  Action action = Action::kServe;
  std::string user_to_add;

  std::string database = "./promptdb-data";
  std::filesystem::path config_file;  // empty: none
  std::string listen = "127.0.0.1";
  int http_port = -1;  // -1: no HTTP; 0: one that is free
  int port = 5433;     // 0: one that is free
  Authentication authentication = Authentication::kAuto;
  std::filesystem::path tls_cert;
  std::filesystem::path tls_key;
  int max_connections = 100;
  int workers = 32;                           // statements that run at a time
  int max_waiting = 64;                       // statements that wait for a worker
  int64_t max_message = 64 << 20;             // bytes of one message or HTTP body
  std::chrono::seconds startup_timeout{30};   // to log in, and for a message to arrive whole
  std::chrono::seconds idle_timeout{0};       // 0: none
  std::chrono::seconds statement_timeout{0};  // 0: none
  std::chrono::seconds write_timeout{60};     // for a client that does not read
  std::chrono::seconds shutdown_timeout{10};  // for running statements when the server is stopped
  bool demo = false;
  // SET NAME = VALUE of the database, before the first client: cpu_cache, threads, …
  std::vector<std::pair<std::string, std::string>> engine_settings;
};

// A command line or config file that pcserver doesn't understand. `hint` may be empty.
class OptionsError : public std::runtime_error {
 public:
  OptionsError(const std::string& message, std::string hint)
      : std::runtime_error(message), hint_(std::move(hint)) {}
  const std::string& hint() const { return hint_; }

 private:
  std::string hint_;
};

// Reads the arguments after the program's name, and the file that --config names, over which flags
// win. Throws OptionsError.
ServerOptions ParseServerOptions(const std::vector<std::string>& arguments);

// Every option that has a value now, by its name in the config file: what SHOW answers.
std::vector<std::pair<std::string, std::string>> ShownOptions(const ServerOptions& options);

// What `pcserver --help` prints.
std::string ServerUsage();

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_SERVER_OPTIONS_H_
