// Numbers of JSON as they are written.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_CONSTRAINT_JSON_NUMBERS_H_
#define PROMPTDB_CONSTRAINT_JSON_NUMBERS_H_

#include <cstdint>

#include "constraint/grammar.h"

namespace promptdb {

// Integers have at most 18 digits, so that every one fits in 64 bits.
inline constexpr int64_t kLargestJsonInteger = 999'999'999'999'999'999;

// Exactly the integers from `least` to `most`, without leading zeros, zero without a sign.
// REQUIRES: -kLargestJsonInteger <= least <= most <= kLargestJsonInteger.
Expression JsonInteger(int64_t least, int64_t most);

// Any number, with a bounded number of digits: a model that likes zeros comes to an end, and no
// number overflows a double.
Expression JsonNumber();

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_JSON_NUMBERS_H_
