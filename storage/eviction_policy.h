// Which block leaves memory when another needs its room.
//
// A policy is told of every block in the pool: that it came, that it was used again, that it went,
// and whether it may be evicted right now. Blocks that may not (they are pinned) have
// their history like others, but stand in no queue: however many there are, finding a victim among
// the rest takes no longer.
//
// Not thread-safe: the buffer pool calls it with its mutex held.
#ifndef PROMPTDB_STORAGE_EVICTION_POLICY_H_
#define PROMPTDB_STORAGE_EVICTION_POLICY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/block_id.h"

namespace promptdb {

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // A block that came into memory, which is its first use. It can't be evicted until SetEvictable()
  // says so. `cost_ms` is what computing it again would take; 0 where nobody knows.
  // REQUIRES: bytes > 0, cost_ms finite and >= 0; the block is not there.
  virtual void OnInsert(const BlockId& id, int64_t bytes, double cost_ms) = 0;
  // The block was used again.
  virtual void OnAccess(const BlockId& id) = 0;
  // Pins are given up by destructors, so this neither throws nor allocates.
  virtual void SetEvictable(const BlockId& id, bool evictable) noexcept = 0;
  // The block went, other than by TakeVictim().
  virtual void OnErase(const BlockId& id) = 0;
  // Takes out the block to evict next; nullopt if none is evictable.
  virtual std::optional<BlockId> TakeVictim() = 0;
  virtual std::string_view name() const = 0;
};

// Makes an empty policy. The pool has one for each priority class.
using EvictionPolicyFactory = std::unique_ptr<EvictionPolicy> (*)();

// Least recently used first. O(log n) for each call.
std::unique_ptr<EvictionPolicy> MakeLruPolicy();

// Greedy-Dual-Size-Frequency (L. Cherkasova, "Improving WWW Proxies Performance with
// Greedy-Dual-Size-Frequency Caching Policy", HP Laboratories, 1998): the block of the least
//     priority = clock + uses * cost / bytes
// goes, of equals the least recently used; the clock is the priority of the last victim. A block's
// priority is set when it is used, so the clock overtakes whatever is no longer used. O(log n) for
// each call.
std::unique_ptr<EvictionPolicy> MakeGdsfPolicy();

// S3-FIFO (J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023) with cost:
// new blocks wait in a small queue and are gone after one pass unless they were used meanwhile; the
// others go round in the main queue. Blocks that come back soon after they went from the small
// queue go to the main one at once. Where the original counts uses, each use counts here as many
// times as the block is worth more, by cost per byte, than the average. O(log n) for each call,
// amortised.
std::unique_ptr<EvictionPolicy> MakeS3FifoPolicy();

// "gdsf", "lru", "s3fifo".
std::vector<std::string> EvictionPolicyNames();
// REQUIRES: one of EvictionPolicyNames().
EvictionPolicyFactory EvictionPolicyNamed(std::string_view name);
// Of a database that was not told otherwise: the best of bench/policies.cc.
std::string_view DefaultEvictionPolicyName();

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_EVICTION_POLICY_H_
