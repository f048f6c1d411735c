#include "server/user_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"

namespace promptdb {

namespace {

[[noreturn]] void FailIo(const std::string& what, const std::filesystem::path& file) {
  throw Error(ErrorCode::kIo, what + ": " + std::strerror(errno) + ": \"" + file.string() + "\"");
}

void WriteWhole(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path fresh = file.string() + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) FailIo("cannot write the users", fresh);
  const bool is_written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool is_synced = is_written && fsync(fd) == 0;
  close(fd);
  if (!is_synced || rename(fresh.c_str(), file.c_str()) != 0) {
    FailIo("cannot write the users", file);
  }
}

}  // namespace

UserVerifiers ReadUserFile(const std::filesystem::path& file) {
  UserVerifiers users;
  errno = 0;
  std::ifstream in(file);
  if (!in) {
    if (errno == ENOENT) return users;
    FailIo("cannot read the users", file);
  }
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.find(':');
    const std::optional<ScramVerifier> verifier =
        colon == std::string::npos ? std::nullopt : ScramVerifier::Parse(line.substr(colon + 1));
    if (!verifier || colon == 0) {
      throw Error(ErrorCode::kCorrupt,
                  "line " + std::to_string(number) + " of the users is no NAME:VERIFIER: \"" +
                      file.string() + "\"",
                  "pcserver --add-user NAME writes one.");
    }
    users.insert_or_assign(line.substr(0, colon), *verifier);
  }
  return users;
}

void PutUser(const std::filesystem::path& file, std::string_view name, std::string_view password) {
  if (name.empty() || name.find_first_of(":\r\n") != std::string_view::npos || name[0] == '#' ||
      name.find('\0') != std::string_view::npos) {
    throw Error(ErrorCode::kInvalidArgument,
                "a user's name can't be empty, begin with # or hold a colon or a line break");
  }
  if (password.empty()) throw Error(ErrorCode::kInvalidArgument, "the password is empty");
  UserVerifiers users = ReadUserFile(file);
  users.insert_or_assign(std::string(name), MakeScramVerifier(password));
  std::string text;
  for (const auto& [user, verifier] : users) text += user + ":" + verifier.Format() + "\n";
  WriteWhole(file, text);
}

}  // namespace promptdb
