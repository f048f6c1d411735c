// How much was read or written, how long that took, and how fast it was, for people.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_EXECUTOR_TRANSFER_RATE_H_
#define PROMPTDB_EXECUTOR_TRANSFER_RATE_H_

#include <cstdint>
#include <string>

namespace promptdb {

// "312 bytes", "3.2 MiB".
std::string ByteCount(int64_t bytes);

// "3.2 MiB in 0.04 s (80 MiB/s)".
std::string TransferRate(int64_t bytes, double seconds);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_TRANSFER_RATE_H_
