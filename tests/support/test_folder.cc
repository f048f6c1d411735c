#include "tests/support/test_folder.h"

#include <cstdlib>
#include <string>
#include <system_error>

#include "base/error.h"

namespace promptdb {

TemporaryFolder::TemporaryFolder(std::string_view name) {
  std::string pattern =
      (std::filesystem::temp_directory_path() / ("promptdb_" + std::string(name) + "_XXXXXX"))
          .string();
  Check(mkdtemp(pattern.data()) != nullptr, "a test could not make its temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::optional<std::filesystem::path> SharedFolder() {
  std::error_code ignored;
  if (const char* shared = std::getenv("PROMPTDB_SHARED"); shared != nullptr && *shared != '\0') {
    if (std::filesystem::is_directory(shared, ignored)) return shared;
    return std::nullopt;
  }
  const std::filesystem::path beside = std::filesystem::path(PROMPTDB_SOURCE_DIR) / "../shared";
  if (std::filesystem::is_directory(beside, ignored)) return beside.lexically_normal();
  return std::nullopt;
}

}  // namespace promptdb
