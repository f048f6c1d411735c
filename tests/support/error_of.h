// The error of an action as one text.
#ifndef PROMPTDB_TESTS_SUPPORT_ERROR_OF_H_
#define PROMPTDB_TESTS_SUPPORT_ERROR_OF_H_

#include <string>

#include "base/error.h"

namespace promptdb {

// Runs `action`, which must throw, and gives its error as "code: message".
template <typename Action>
std::string ErrorOf(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::string(ErrorCodeName(error.code())) + ": " + error.message();
  }
  return "no error";
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_ERROR_OF_H_
