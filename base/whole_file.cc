#include "base/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

#include "base/error.h"

namespace promptdb {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const fs::path& path, int error) {
  throw Error(ErrorCode::kIo,
              "cannot write \"" + path.string() + "\": " + std::generic_category().message(error));
}

// The new file until it has its name; removed again if it never gets it.
class FreshFile {
 public:
  explicit FreshFile(const fs::path& wanted) : wanted_(wanted) {
    // One name for each writer. It may be there still from a process that died.
    static std::atomic<int> number = 0;
    do {
      path_ = wanted.string() + ".new-" + std::to_string(getpid()) + "-" + std::to_string(++number);
      fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0) Fail(wanted_, errno);
  }
  FreshFile(const FreshFile&) = delete;
  FreshFile& operator=(const FreshFile&) = delete;
  ~FreshFile() {
    if (fd_ >= 0) close(fd_);
    if (!has_name_) unlink(path_.c_str());
  }

  void Write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t written = write(fd_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) Fail(wanted_, errno);
      text.remove_prefix(static_cast<size_t>(written));
    }
    if (fsync(fd_) != 0) Fail(wanted_, errno);
    const int fd = fd_;
    fd_ = -1;
    if (close(fd) != 0) Fail(wanted_, errno);
  }

  void TakeName() {
    std::error_code error;
    fs::rename(path_, wanted_, error);
    if (error) Fail(wanted_, error.value());
    has_name_ = true;
  }

 private:
  fs::path path_;
  const fs::path& wanted_;
  int fd_ = -1;
  bool has_name_ = false;
};

}  // namespace

void WriteWholeFile(const fs::path& path, std::string_view text) {
  std::error_code error;
  const fs::path wanted = fs::weakly_canonical(path, error);
  if (error) Fail(path, error.value());
  const fs::file_status status = fs::status(wanted, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    throw Error(ErrorCode::kIo, "\"" + path.string() + "\" is no regular file");
  }
  FreshFile file(wanted);
  file.Write(text);
  file.TakeName();
  // The name is on disk when the folder is. A folder that can't be opened is no failure of ours.
  const int folder = open(wanted.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

}  // namespace promptdb
