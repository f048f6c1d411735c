// A file written as a whole or not at all.
//
// Not thread-safe, but several writers may be at one path: they leave the file of one of them.
#ifndef PROMPTDB_BASE_WHOLE_FILE_H_
#define PROMPTDB_BASE_WHOLE_FILE_H_

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace promptdb {

// A file on its way: it lies beside `path` under another name until Finish() gives it that name, so
// that whoever reads `path` finds what was there before, or all of the new file. A symbolic link
// keeps pointing at its file. Every call throws Error(kIo) that names the path: no such folder, no
// right to write, a full disk, something there that is no regular file.
class WholeFileWriter {
 public:
  enum class Existing { kReplace, kRefuse };

  // With kRefuse, an Error(kInvalidArgument) where `path` is there already.
  WholeFileWriter(const std::filesystem::path& path, Existing existing);
  WholeFileWriter(const WholeFileWriter&) = delete;
  WholeFileWriter& operator=(const WholeFileWriter&) = delete;
  // Removes the file, unless it has its name.
  ~WholeFileWriter();

  void Write(std::string_view bytes);
  int64_t size() const { return size_; }
  // Forgets what was written behind `size` bytes. REQUIRES: size <= size().
  void CutTo(int64_t size);

  // Has the file on disk, and gives it its name. With kRefuse, an Error(kInvalidArgument) where
  // `path` has come to be there meanwhile. Nothing may be called afterwards.
  void Finish();

 private:
  [[noreturn]] void Fail(int error) const;

  const std::filesystem::path path_;  // as it was given
  const Existing existing_;
  std::filesystem::path wanted_;  // behind symbolic links
  std::filesystem::path fresh_;   // where it lies until it has its name
  int64_t size_ = 0;
  int fd_ = -1;
  bool has_name_ = false;
};

// Writes `text` as the file `path`, in the place of what was there.
void WriteWholeFile(const std::filesystem::path& path, std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_WHOLE_FILE_H_
