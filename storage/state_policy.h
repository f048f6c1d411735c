// How long, and how firmly, a state is kept: what PIN and ALTER MODULE … SET say.
//
// A value.
#ifndef PROMPTDB_STORAGE_STATE_POLICY_H_
#define PROMPTDB_STORAGE_STATE_POLICY_H_

#include <cstdint>

namespace promptdb {

struct StatePolicy {
  int64_t ttl_seconds = 0;  // after its last use it counts as gone; 0: for ever
  int priority = 0;         // states of a lower one go first
  bool is_pinned = false;   // stays in memory, and on disk

  bool operator==(const StatePolicy&) const = default;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STATE_POLICY_H_
