// Damage to the files of a database, as disks and crashes do it.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_TESTS_SUPPORT_DAMAGE_H_
#define PROMPTDB_TESTS_SUPPORT_DAMAGE_H_

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace promptdb {

// The files of a folder whose names end with `ending`, by name.
inline std::vector<std::filesystem::path> FilesOf(const std::filesystem::path& folder,
                                                  const std::string& ending) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename().string().ends_with(ending)) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline void FlipBit(const std::filesystem::path& path, uint64_t bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const char byte = static_cast<char>(file.get() ^ (1 << (bit % 8)));
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(byte);
}

inline void CopyFolder(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_DAMAGE_H_
