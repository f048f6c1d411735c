// Whole files as strings, for tests. What can't be read is empty.
#ifndef PROMPTDB_TESTS_SUPPORT_TEXT_FILE_H_
#define PROMPTDB_TESTS_SUPPORT_TEXT_FILE_H_

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace promptdb {

inline std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteText(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TEXT_FILE_H_
