// The CPU tier of the KV cache: blocks in memory under a budget in bytes that is never exceeded.
//
// A block is reachable only through a BlockPin; a pinned block is neither evicted nor moved, so the
// attention kernel reads it in place. Which blocks make room for others is told by a BlockLedger.
//
// Thread-safe: one mutex guards the tables; block payloads are immutable once inserted.
#ifndef PROMPTDB_STORAGE_BUFFER_POOL_H_
#define PROMPTDB_STORAGE_BUFFER_POOL_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "storage/block_id.h"
#include "storage/block_ledger.h"
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

class BufferPool {
 public:
  BufferPool(int64_t budget_bytes, EvictionPolicyFactory make_policy);
  ~BufferPool();  // REQUIRES: no pins, no reservations

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

  // Room of the budget for a block that is still on its way. Move-only; given back when destroyed.
  // The pool must outlive it.
  class Room {
   public:
    Room(Room&& other) noexcept;
    Room& operator=(Room&&) = delete;
    ~Room();

   private:
    friend class BufferPool;
    Room(BufferPool* pool, int64_t bytes) : pool_(pool), bytes_(bytes) {}

    BufferPool* pool_;
    int64_t bytes_;
  };
  // Evicts what the policy names; nullopt, with nothing evicted, if everything left is pinned.
  std::optional<Room> Reserve(int64_t bytes);
  // Puts a block into room that was reserved for it, unpinned. REQUIRES: as many bytes as reserved.
  void Insert(Room room, const BlockId& id, BlockBuffer&& block, double cost_ms);

  // Bytes that could be pinned on top of what is pinned now. Negative where the budget has shrunk
  // below that.
  int64_t UnpinnedBudget() const;

  // Drops the blocks of a state; returns the bytes freed. Pinned ones go when they are unpinned.
  int64_t EraseState(const Digest& state);
  // Drops every unpinned block; returns the bytes freed.
  int64_t Clear();

  // See BlockLedger, for both.
  void SetPriority(const Digest& state, int priority);
  void SetPolicy(EvictionPolicyFactory make_policy);
  std::string_view policy_name() const;

  // Evicts down to the new budget as far as pinned blocks allow; what is held back goes when it is
  // unpinned.
  void SetBudget(int64_t budget_bytes);

  // Bytes of a state's blocks that are in memory.
  int64_t StateBytes(const Digest& state) const;
  PoolStats stats() const;

 private:
  friend class BlockPin;

  void Unpin(const BlockId& id);
  void GiveBack(int64_t bytes);
  // All that follow: REQUIRES: mutex_ held.
  // A block that is there, which stays after all if it was to go.
  BlockPin PinAgain(const BlockId& id);
  BlockPin Add(const BlockId& id, BlockBuffer&& block, double cost_ms);
  // Evicts until `bytes` more fit. False, with nothing evicted, if what is pinned makes that
  // impossible.
  bool MakeRoom(int64_t bytes);
  void EvictToBudget();
  bool EvictOne();                                // false if nothing can be evicted
  int64_t Drop(const std::vector<BlockId>& ids);  // returns their bytes
  void Drop(const BlockId& id);

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  BlockLedger ledger_;
  // A block never moves, since pins point at it.
  std::unordered_map<BlockId, BlockBuffer, BlockIdHash> blocks_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BUFFER_POOL_H_
