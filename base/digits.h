// Digits of ASCII, whatever the locale.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_BASE_DIGITS_H_
#define PROMPTDB_BASE_DIGITS_H_

namespace promptdb {

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The value of a hexadecimal digit in either case, or -1.
inline int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace promptdb

#endif  // PROMPTDB_BASE_DIGITS_H_
