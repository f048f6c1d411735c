#include "executor/user_paths.h"

#include <algorithm>

namespace promptdb {

using Path = std::filesystem::path;

Path UserPath(const ast::Text& text) {
  const Path path = std::filesystem::absolute(text.text).lexically_normal();
  return path.has_filename() ? path : path.parent_path();  // "a/b/" is "a/b"
}

std::string Quoted(const Path& path) { return '"' + path.string() + '"'; }

bool LiesIn(const Path& path, const Path& folder) {
  std::error_code failure;
  const Path inner = std::filesystem::weakly_canonical(path, failure);
  const Path outer = std::filesystem::weakly_canonical(folder, failure);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace promptdb
