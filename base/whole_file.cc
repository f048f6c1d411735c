#include "base/whole_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

#include "base/error.h"

namespace promptdb {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void RefuseExisting(const fs::path& path) {
  throw Error(ErrorCode::kInvalidArgument, "the file exists already: \"" + path.string() + '"',
              "Choose another name, or remove it first.");
}

// Renames unless there is a file of the new name. Where the file system can't do both at once,
// nothing prevents that one comes to be there in between.
int RenameToNew(const fs::path& from, const fs::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  if (access(to.c_str(), F_OK) == 0) return EEXIST;
  return rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

WholeFileWriter::WholeFileWriter(const fs::path& path, Existing existing)
    : path_(path), existing_(existing) {
  std::error_code error;
  wanted_ = fs::weakly_canonical(path, error);
  if (error) Fail(error.value());
  const fs::file_status status = fs::status(wanted_, error);
  if (fs::exists(status)) {
    if (existing == Existing::kRefuse) RefuseExisting(path);
    if (!fs::is_regular_file(status)) {
      throw Error(ErrorCode::kIo, "\"" + path.string() + "\" is no regular file");
    }
  }
  // One name for each writer. It may be there still from a process that died.
  static std::atomic<int> number = 0;
  do {
    fresh_ = wanted_.string() + ".new-" + std::to_string(getpid()) + "-" + std::to_string(++number);
    fd_ = open(fresh_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) Fail(errno);
}

WholeFileWriter::~WholeFileWriter() {
  if (fd_ >= 0) close(fd_);
  if (!has_name_) unlink(fresh_.c_str());
}

void WholeFileWriter::Fail(int error) const {
  throw Error(ErrorCode::kIo,
              "cannot write \"" + path_.string() + "\": " + std::generic_category().message(error),
              error == ENOSPC || error == EDQUOT ? "Free some disk space." : "");
}

void WholeFileWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Fail(errno);
    size_ += written;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void WholeFileWriter::CutTo(int64_t size) {
  Check(size <= size_, "a file is cut to less");
  if (ftruncate(fd_, size) != 0 || lseek(fd_, size, SEEK_SET) != size) Fail(errno);
  size_ = size;
}

void WholeFileWriter::Finish() {
  if (fsync(fd_) != 0) Fail(errno);
  const int fd = fd_;
  fd_ = -1;
  if (close(fd) != 0) Fail(errno);
  if (existing_ == Existing::kReplace) {
    if (rename(fresh_.c_str(), wanted_.c_str()) != 0) Fail(errno);
  } else if (const int error = RenameToNew(fresh_, wanted_); error != 0) {
    if (error == EEXIST) RefuseExisting(path_);
    Fail(error);
  }
  has_name_ = true;
  // The name is on disk when the folder is. A folder that can't be opened is no failure of ours.
  const int folder = open(wanted_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

void WriteWholeFile(const fs::path& path, std::string_view text) {
  WholeFileWriter file(path, WholeFileWriter::Existing::kReplace);
  file.Write(text);
  file.Finish();
}

}  // namespace promptdb
