// What the tests of checkpoint files expect of an error.
#ifndef PROMPTDB_TESTS_SUPPORT_EXPECT_ERROR_H_
#define PROMPTDB_TESTS_SUPPORT_EXPECT_ERROR_H_

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace promptdb {

// Runs `action`, which must throw an Error with this code whose message holds all `parts`, and
// neither a line break nor any other control character.
inline void ExpectError(ErrorCode code, const std::vector<std::string>& parts,
                        const std::function<void()>& action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one about " << parts.front();
  } catch (const Error& error) {
    EXPECT_EQ(ErrorCodeName(error.code()), ErrorCodeName(code)) << error.message();
    for (const std::string& part : parts) {
      EXPECT_NE(error.message().find(part), std::string::npos)
          << "\"" << part << "\" is not in: " << error.message();
    }
    for (const char c : error.message()) {
      EXPECT_GE(static_cast<unsigned char>(c), 0x20) << "a control character is in a message";
    }
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_EXPECT_ERROR_H_
