// Whole files as strings, for tests. What can't be read is empty; what can't be written ends the
// test's process.
#ifndef PROMPTDB_TESTS_SUPPORT_TEXT_FILE_H_
#define PROMPTDB_TESTS_SUPPORT_TEXT_FILE_H_

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "base/error.h"

namespace promptdb {

inline std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteText(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  Check(file.good(), "a test could not write its file");
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TEXT_FILE_H_
