// Counts the answers among a statement's rows for /metrics.
//
// Not thread-safe: belongs to a statement. The metrics outlive it.
#ifndef PROMPTDB_SERVER_GENERATION_COUNTS_H_
#define PROMPTDB_SERVER_GENERATION_COUNTS_H_

#include <vector>

#include "base/value.h"
#include "server/metrics.h"

namespace promptdb {

class GenerationCounts {
 public:
  explicit GenerationCounts(Metrics& metrics) : metrics_(metrics) {}

  // Rows that have no figures of an answer are not counted.
  void SetColumns(const std::vector<Column>& columns);
  void Count(const Row& row);

 private:
  Metrics& metrics_;
  bool has_answers_ = false;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_GENERATION_COUNTS_H_
