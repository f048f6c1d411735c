// A pcserver that a test has started: the real binary, on a port of its own.
//
// Not thread-safe: one test owns it. It is stopped at its end, and killed where it does not stop.
#ifndef PROMPTDB_TESTS_SUPPORT_SERVER_PROCESS_H_
#define PROMPTDB_TESTS_SUPPORT_SERVER_PROCESS_H_

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace promptdb {

class ServerProcess {
 public:
  // Starts `binary` with --db `folder`, --port 0 and `arguments`, and waits until it listens; a
  // test failure where it does not in a minute.
  ServerProcess(const std::string& binary, const std::filesystem::path& folder,
                const std::vector<std::string>& arguments = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  int port() const { return port_; }
  int http_port() const { return http_port_; }
  pid_t pid() const { return pid_; }
  // True while the process runs.
  bool IsRunning();
  void Signal(int signal_number);
  // Its exit status, or 128 + the signal; -1 when it has not ended in `seconds`.
  int Wait(int seconds = 60);
  // What it has logged so far.
  std::string Log() const;
  // False when `text` is not logged in a minute.
  bool WaitForLog(const std::string& text) const;

 private:
  std::filesystem::path log_;
  pid_t pid_ = -1;
  int status_ = -1;
  int port_ = 0;
  int http_port_ = 0;
};

// A self-signed certificate for localhost and its key, written as PEM files.
void WriteTestCertificate(const std::filesystem::path& certificate,
                          const std::filesystem::path& key);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_SERVER_PROCESS_H_
