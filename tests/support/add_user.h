// Users of a database that no server holds, made by the real pcserver. For tests that have its path
// in PROMPTDB_PCSERVER.
#ifndef PROMPTDB_TESTS_SUPPORT_ADD_USER_H_
#define PROMPTDB_TESTS_SUPPORT_ADD_USER_H_

#include <filesystem>
#include <string>

#include "tests/support/child_process.h"

namespace promptdb {

inline ChildResult AddUser(const std::filesystem::path& database, const std::string& name,
                           const std::string& password) {
  ChildOptions options;
  options.input = password + "\n";
  return RunChild({PROMPTDB_PCSERVER, "--db", database.string(), "--add-user", name}, options);
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_ADD_USER_H_
