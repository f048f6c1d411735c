#include "executor/transfer_rate.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace promptdb {

namespace {

std::string Amount(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof text, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes,
                kUnits[unit]);
  return text;
}

}  // namespace

std::string ByteCount(int64_t bytes) { return Amount(static_cast<double>(bytes)); }

std::string TransferRate(int64_t bytes, double seconds) {
  char time[32];
  std::snprintf(time, sizeof time, " in %.2f s (", seconds);
  // A clock that saw no time pass must not make the rate infinite.
  return ByteCount(bytes) + time + Amount(static_cast<double>(bytes) / std::max(seconds, 1e-6)) +
         "/s)";
}

}  // namespace promptdb
