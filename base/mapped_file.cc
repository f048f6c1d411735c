#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace promptdb {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const auto fail = [&](int error) -> Error {
    return Error(ErrorCode::kIo, "cannot read \"" + path.string() +
                                     "\": " + std::generic_category().message(error));
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw fail(errno);
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file);
    throw Error(ErrorCode::kIo, "cannot read \"" + path.string() + "\": it is no regular file");
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ > 0) {
    void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    const int error = errno;
    close(file);
    if (address == MAP_FAILED) throw fail(error);
    data_ = static_cast<const std::byte*>(address);
  } else {
    close(file);
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void ReleasePages(std::span<const std::byte> part) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Digest DigestMapped(std::span<const std::byte> bytes) {
  const Digest digest = DigestBytes(bytes);
  ReleasePages(bytes);
  return digest;
}

}  // namespace promptdb
