// A file mapped read-only into memory.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_BASE_MAPPED_FILE_H_
#define PROMPTDB_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/digest.h"

namespace promptdb {

class MappedFile {
 public:
  // Throws Error(kIo) that names the path when it is absent, unreadable, or no regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Gives back the memory of what was read of a mapped file: whole pages in `part`, which is a part
// of a MappedFile's bytes. They are read again when they are touched.
void ReleasePages(std::span<const std::byte> part);

// DigestBytes() of a MappedFile's bytes, which don't stay in memory.
Digest DigestMapped(std::span<const std::byte> bytes);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_MAPPED_FILE_H_
