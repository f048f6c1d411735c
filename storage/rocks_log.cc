#include "storage/rocks_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace promptdb {

namespace {

constexpr off_t kMostBytes = off_t{1} << 20;

}  // namespace

RocksLog::RocksLog(const std::filesystem::path& folder)
    : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL),
      fd_(open((folder / "LOG").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {}

RocksLog::~RocksLog() {
  if (fd_ >= 0) close(fd_);
}

void RocksLog::Logv(const char* format, va_list arguments) {
  if (fd_ < 0) return;
  char line[2048];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  size_t size = std::strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S ", &parts);
  const int text = std::vsnprintf(line + size, sizeof line - size, format, arguments);
  if (text < 0) return;
  // Of a line that is too long the beginning must do.
  size = std::min(size + static_cast<size_t>(text), sizeof line - 2);
  if (line[size - 1] != '\n') line[size++] = '\n';
  struct stat status {};
  const bool is_full = fstat(fd_, &status) == 0 && status.st_size > kMostBytes;
  if (is_full && ftruncate(fd_, 0) != 0) return;
  // One write, so that lines of several threads don't mix. Whether it succeeds is nobody's concern.
  [[maybe_unused]] const ssize_t written = write(fd_, line, size);
}

}  // namespace promptdb
