#include "tests/support/server_process.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

namespace promptdb {

namespace {

int PortIn(const std::string& log, const std::string& protocol) {
  const size_t line = log.find("event=listening protocol=" + protocol);
  if (line == std::string::npos) return 0;
  const size_t port = log.find(" port=", line);
  return port == std::string::npos ? 0 : std::stoi(log.substr(port + 6));
}

}  // namespace

ServerProcess::ServerProcess(const std::string& binary, const std::filesystem::path& folder,
                             const std::vector<std::string>& arguments)
    : log_(folder.string() + ".log") {
  std::vector<std::string> command = {binary, "--db", folder.string(), "--port", "0"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : command) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::filesystem::remove(log_);
  pid_ = fork();
  if (pid_ == 0) {
    const int fd = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, STDERR_FILENO);
    dup2(fd, STDOUT_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  if (!WaitForLog("event=ready")) {
    std::cerr << "pcserver does not start: " << Log() << std::endl;
    std::abort();
  }
  port_ = PortIn(Log(), "postgresql");
  http_port_ = PortIn(Log(), "http");
}

ServerProcess::~ServerProcess() {
  if (!IsRunning()) return;
  kill(pid_, SIGTERM);
  if (Wait(30) < 0) {
    kill(pid_, SIGKILL);
    Wait();
  }
}

bool ServerProcess::IsRunning() {
  if (status_ >= 0) return false;
  return Wait(0) < 0;
}

void ServerProcess::Signal(int signal_number) { kill(pid_, signal_number); }

int ServerProcess::Wait(int seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (status_ < 0) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      break;
    }
    if (std::chrono::steady_clock::now() >= end) return -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return status_;
}

std::string ServerProcess::Log() const {
  std::ifstream in(log_);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool ServerProcess::WaitForLog(const std::string& text) const {
  for (int i = 0; i < 6000; ++i) {
    if (Log().find(text) != std::string::npos) return true;
    int status = 0;
    // A process that has ended will log nothing more. It is left for Wait() to collect.
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid_) {
      return Log().find(text) != std::string::npos;
    }
    (void)status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

void WriteTestCertificate(const std::filesystem::path& certificate,
                          const std::filesystem::path& key_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
  X509_set_pubkey(x509, key);
  X509_NAME* name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  X509_sign(x509, key, EVP_sha256());
  std::FILE* out = std::fopen(certificate.c_str(), "w");
  PEM_write_X509(out, x509);
  std::fclose(out);
  out = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
  X509_free(x509);
  EVP_PKEY_free(key);
}

}  // namespace promptdb
