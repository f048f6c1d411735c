// The CPU tier of the KV cache: blocks in memory under a budget in bytes that is never exceeded.
//
// A block is reachable only through a BlockPin; a pinned block is neither evicted nor moved, so the
// attention kernel reads it in place. When room is needed, blocks of the states with the least
// priority go first; which of those is decided by an EvictionPolicy.
//
// Thread-safe: one mutex guards the tables; block payloads are immutable once inserted.
#ifndef PROMPTDB_STORAGE_BUFFER_POOL_H_
#define PROMPTDB_STORAGE_BUFFER_POOL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "storage/block_id.h"
#include "storage/eviction_policy.h"
#include "storage/kv_format.h"

namespace promptdb {

class BufferPool;

// Keeps one block in memory. Move-only; unpins when destroyed. The pool must outlive it.
class BlockPin {
 public:
  BlockPin(BlockPin&& other) noexcept;
  BlockPin& operator=(BlockPin&& other) noexcept;
  ~BlockPin();

  const BlockBuffer& block() const { return *block_; }

 private:
  friend class BufferPool;
  BlockPin(BufferPool* pool, BlockId id, const BlockBuffer* block);

  BufferPool* pool_;
  BlockId id_;
  const BlockBuffer* block_;
};

struct BufferPoolStats {
  int64_t budget_bytes = 0;
  int64_t used_bytes = 0;
  int64_t pinned_bytes = 0;
  int64_t blocks = 0;
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t evictions = 0;
  int64_t rejected = 0;  // inserts that did not fit because too much was pinned
};

class BufferPool {
 public:
  BufferPool(int64_t budget_bytes, EvictionPolicyFactory make_policy);
  ~BufferPool();  // REQUIRES: no pins

  // The block, if it is in memory. Counts a hit or a miss.
  std::optional<BlockPin> Pin(const BlockId& id);

  // Whether the block is in memory. Counts nothing.
  bool Contains(const BlockId& id) const;

  // Takes the block over and pins it, evicting what the policy names until it fits. If it can't
  // fit, since everything left is pinned, returns nullopt and leaves `block` as it was. If the id
  // is there already, pins that one and drops `block`. `cost_ms` is what computing the block again
  // would take; 0 where nobody knows.
  std::optional<BlockPin> Insert(const BlockId& id, BlockBuffer&& block, double cost_ms = 0);

  // The same for all blocks of a state at once, in index order: either all are pinned, or nothing
  // has changed. `cost_ms` is that of the whole state.
  std::optional<std::vector<BlockPin>> InsertState(const Digest& state,
                                                   std::vector<BlockBuffer>& blocks,
                                                   double cost_ms = 0);

  // Bytes that could be pinned on top of what is pinned now. Negative where the budget has shrunk
  // below that.
  int64_t UnpinnedBudget() const;

  // Drops the blocks of a state; returns the bytes freed. Pinned ones go when they are unpinned.
  int64_t EraseState(const Digest& state);
  // Drops every unpinned block; returns the bytes freed.
  int64_t Clear();

  // Blocks of a state of a lower priority are evicted before any of a higher one. 0 where nothing
  // was set. Meant for a few different priorities. It may be called before the state has blocks
  // here, and holds until it is called again, whatever is erased meanwhile.
  void SetPriority(const Digest& state, int priority);

  // Evicts down to the new budget as far as pinned blocks allow; what is held back goes when it is
  // unpinned.
  void SetBudget(int64_t budget_bytes);

  // From now on another policy names the victims. What the old one had learned is lost.
  void SetPolicy(EvictionPolicyFactory make_policy);
  std::string_view policy_name() const;

  // Bytes of a state's blocks that are in memory.
  int64_t StateBytes(const Digest& state) const;
  BufferPoolStats stats() const;

 private:
  friend class BlockPin;
  struct StateEntries;
  struct Entry {
    BlockBuffer block;
    double cost_ms = 0;
    int pins = 0;
    bool erase_when_unpinned = false;
    bool is_evictable = false;  // as the policy knows it
    StateEntries* state = nullptr;
  };
  struct StateEntries {
    // Entries never move, since pins point at their blocks.
    std::map<int, std::unique_ptr<Entry>> blocks;
    int64_t bytes = 0;
    EvictionPolicy* policy = nullptr;  // of the state's priority
  };

  void Unpin(const BlockId& id);
  // All that follow: REQUIRES: mutex_ held.
  Entry* Find(const BlockId& id) const;  // nullptr if absent
  BlockPin PinEntry(const BlockId& id, Entry& entry);
  BlockPin PinAgain(const BlockId& id, Entry& entry);  // of a block that was there before
  Entry& AddEntry(const BlockId& id, BlockBuffer&& block, double cost_ms);
  // Tells the policy after a change of pins.
  void UpdateEvictable(const BlockId& id, Entry& entry);
  // Evicts until `bytes` more fit. False, with nothing evicted, if what is pinned makes that
  // impossible.
  bool MakeRoom(int64_t bytes);
  void EvictToBudget();
  bool EvictOne();                                        // false if nothing can be evicted
  int64_t EraseEntries(const std::vector<BlockId>& ids);  // returns their bytes
  void EraseEntry(const BlockId& id);
  void DropEntry(const BlockId& id);  // which the policy has let go
  int PriorityOf(const Digest& state) const;
  EvictionPolicy* PolicyOf(int priority);  // made if there is none yet
  // Hands all blocks of a state to a policy; the one that has them now is not told.
  void MoveToPolicy(const Digest& state, StateEntries& entries, EvictionPolicy* policy);

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  EvictionPolicyFactory make_policy_;
  std::map<int, std::unique_ptr<EvictionPolicy>> policies_;  // by priority; 0 is always there
  std::unordered_map<Digest, StateEntries, DigestHash> states_;
  std::unordered_map<Digest, int, DigestHash> priorities_;  // but for those of 0
  BufferPoolStats stats_;  // budget_bytes, used_bytes and pinned_bytes are the books themselves
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BUFFER_POOL_H_
