// What the tests of damaged checkpoints ask of any file: that it opens or gives an Error.
#ifndef PROMPTDB_TESTS_SUPPORT_HOSTILE_CHECKPOINT_H_
#define PROMPTDB_TESTS_SUPPORT_HOSTILE_CHECKPOINT_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "base/error.h"
#include "model/checkpoint.h"

namespace promptdb {

// Touches every byte that Open() vouched for.
inline void ReadEverything(const Checkpoint& checkpoint) {
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    std::vector<float> values(tensor.elements());
    CopyAsFloat(tensor, values);
  }
}

// Opens and reads it all; true where that worked, false where it gave an Error. Anything else that
// is thrown (bad_alloc, length_error) fails the test by itself.
inline bool Survives(const std::filesystem::path& path) {
  try {
    ReadEverything(*Checkpoint::Open(path));
    return true;
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.message();
    EXPECT_FALSE(error.message().empty());
    return false;
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_HOSTILE_CHECKPOINT_H_
