// Paths as statements name them.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_EXECUTOR_USER_PATHS_H_
#define PROMPTDB_EXECUTOR_USER_PATHS_H_

#include <filesystem>
#include <string>

#include "parser/ast.h"

namespace promptdb {

// Relative to where the process runs, as the files of CREATE MODEL are; without a slash at the end.
std::filesystem::path UserPath(const ast::Text& text);

// In double quotes, for a message.
std::string Quoted(const std::filesystem::path& path);

// Whether `path`, which need not be there, is `folder` or lies in it.
bool LiesIn(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_USER_PATHS_H_
