// What the programs of bench/ have in common: how they end.
//
// Thread-safe: no state.
#ifndef PROMPTDB_BENCH_PROGRAM_H_
#define PROMPTDB_BENCH_PROGRAM_H_

#include <cstdio>

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

}  // namespace promptdb

#endif  // PROMPTDB_BENCH_PROGRAM_H_
