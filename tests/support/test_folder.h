// Where tests find and put files: a temporary folder of their own, and the shared test data.
//
// Thread-safe: a TemporaryFolder is owned by one test.
#ifndef PROMPTDB_TESTS_SUPPORT_TEST_FOLDER_H_
#define PROMPTDB_TESTS_SUPPORT_TEST_FOLDER_H_

#include <filesystem>
#include <optional>
#include <string_view>

namespace promptdb {

// A fresh, empty folder, removed with all that is in it at destruction.
class TemporaryFolder {
 public:
  // `name` is part of the folder's name, so that a leftover tells where it came from.
  explicit TemporaryFolder(std::string_view name = "test");
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The folder of shared test data: PROMPTDB_SHARED from the environment, else ../shared beside the
// source tree; nullopt where neither exists (then a test that needs it skips, aloud).
std::optional<std::filesystem::path> SharedFolder();

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TEST_FOLDER_H_
