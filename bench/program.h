// What the programs of bench/ have in common: what they measure with, and how they end.
//
// Thread-safe: no state.
#ifndef PROMPTDB_BENCH_PROGRAM_H_
#define PROMPTDB_BENCH_PROGRAM_H_

#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace promptdb {

// For main() to return: what `run` returns, or, where it throws an Error, 1 (for an invalid
// argument `invalid_argument`), with the error's text on standard error.
inline int RunProgram(int (*run)(int argc, char** argv), int argc, char** argv,
                      int invalid_argument = 1) {
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    std::fputs(FormatError(error, "").c_str(), stderr);
    return error.code() == ErrorCode::kInvalidArgument ? invalid_argument : 1;
  }
}

// A new folder beside a file, removed with all that is in it at the end.
class FolderBeside {
 public:
  FolderBeside(const std::filesystem::path& file, const std::string& name) {
    std::string pattern = (file.parent_path() / (name + "-XXXXXX")).string();
    if (mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorCode::kIo, "cannot make a folder beside " + file.string());
    }
    path_ = pattern;
  }
  ~FolderBeside() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FolderBeside(const FolderBeside&) = delete;
  FolderBeside& operator=(const FolderBeside&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Words without spaces between them, from a fixed sequence: every run measures the same tokens.
inline std::string Letters(int count, uint32_t seed) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    text += static_cast<char>('a' + (seed >> 24) % 26);
  }
  return text;
}

// The value below which `share` of the others lie. REQUIRES: there are values.
inline double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(share * last + 0.5)];
}
inline double Median(const std::vector<double>& values) { return Percentile(values, 0.5); }

}  // namespace promptdb

#endif  // PROMPTDB_BENCH_PROGRAM_H_
