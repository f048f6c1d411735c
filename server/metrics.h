// Counts of what the server does, in Prometheus' text format.
//
// Thread-safe.
#ifndef PROMPTDB_SERVER_METRICS_H_
#define PROMPTDB_SERVER_METRICS_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace promptdb {

struct Metrics {
  std::atomic<int64_t> connections{0};          // accepted
  std::atomic<int64_t> refused_connections{0};  // beyond max_connections, or not logged in
  std::atomic<int64_t> statements{0};
  std::atomic<int64_t> failed_statements{0};
  std::atomic<int64_t> canceled_statements{0};
  std::atomic<int64_t> too_busy{0};  // statements that found no room in the queue
  std::atomic<int64_t> http_requests{0};
  std::atomic<int64_t> prompt_tokens{0};
  std::atomic<int64_t> cached_tokens{0};
  std::atomic<int64_t> output_tokens{0};
  std::atomic<int64_t> generations{0};
  std::atomic<int64_t> ttft_microseconds{0};  // of all generations
  std::atomic<int64_t> generation_microseconds{0};

  // A statement has ended, with an error of that code if with one.
  void CountEnd(std::optional<ErrorCode> failure);

  // With `gauges`: what is counted elsewhere, as name (without "promptdb_") and value.
  std::string Text(const std::vector<std::pair<std::string, int64_t>>& gauges) const;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_METRICS_H_
