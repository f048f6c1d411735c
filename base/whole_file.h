// A file written as a whole or not at all.
//
// Thread-safe; two writers of one path leave the one's file or the other's.
#ifndef PROMPTDB_BASE_WHOLE_FILE_H_
#define PROMPTDB_BASE_WHOLE_FILE_H_

#include <filesystem>
#include <string_view>

namespace promptdb {

// Writes a new file beside `path`, has it on disk, and gives it that name: whoever reads `path`
// finds what was there before or all of `text`. A symbolic link keeps pointing at its file. Throws
// Error(kIo) that names the path: no such folder, no right to write, a full disk, something there
// that is no regular file.
void WriteWholeFile(const std::filesystem::path& path, std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_WHOLE_FILE_H_
