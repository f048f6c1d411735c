// What all fuzz targets have in common. A target is one function over bytes (libFuzzer's entry); it
// ends the process by Check() where something does not hold that must hold for any input.
#ifndef PROMPTDB_TESTS_FUZZ_TARGET_H_
#define PROMPTDB_TESTS_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace promptdb {

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Whether an error may have line breaks: where it quotes a statement back to whoever wrote it. What
// stands in a file was written by somebody else, who must not steer the terminal.
enum class Lines { kOne, kMany };

// What holds for every error that is shown to somebody: it is no bug of ours, it says something in
// valid UTF-8, and its place lies in `text` (where the error is about a text).
inline void CheckError(const Error& error, std::string_view text, Lines lines) {
  const auto Check = [&](bool condition, const char* what) {
    if (!condition) std::fprintf(stderr, "the error: %s\n", error.message().c_str());
    promptdb::Check(condition, what);
  };
  Check(error.code() != ErrorCode::kInternal, "an input is told to be a bug of ours");
  Check(!error.message().empty(), "an error without a message");
  Check(IsValidUtf8(error.message()) && IsValidUtf8(error.hint()), "an error is valid UTF-8");
  Check(lines == Lines::kMany || error.message().find('\n') == std::string::npos,
        "an error is one line");
  if (error.range()) {
    Check(error.range()->begin >= 0 && error.range()->begin <= error.range()->end &&
              static_cast<size_t>(error.range()->end) <= text.size(),
          "an error's place lies in the text");
  }
  FormatError(error, text);
}

// Runs `work`, which may throw an Error and nothing else; true where it did not.
template <typename Work>
bool Survives(std::string_view text, Work work, Lines lines = Lines::kOne) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    CheckError(error, text, lines);
    return false;
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_FUZZ_TARGET_H_
