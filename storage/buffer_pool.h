// The CPU tier of the KV cache: blocks in memory under a budget in bytes that is never exceeded.
//
// A block is reachable only through a BlockPin; a pinned block is neither evicted nor moved, so the
// attention kernel reads it in place. Which unpinned block goes when room is needed is decided by
// an EvictionPolicy.
//
// Thread-safe: one mutex guards the tables; block payloads are immutable once inserted.
#ifndef PROMPTDB_STORAGE_BUFFER_POOL_H_
#define PROMPTDB_STORAGE_BUFFER_POOL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "storage/kv_format.h"

namespace promptdb {

struct BlockId {
  Digest state;
  int index = 0;  // in the state's BlockGrid

  bool operator==(const BlockId&) const = default;
};

struct BlockIdHash {
  size_t operator()(const BlockId& id) const {
    return DigestHash()(id.state) * 31 + static_cast<size_t>(id.index);
  }
};

// Chooses victims. Told of every block in the pool; called with the pool's mutex held.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  virtual void OnInsert(const BlockId& id, int64_t bytes) = 0;
  virtual void OnAccess(const BlockId& id) = 0;
  virtual void OnErase(const BlockId& id) = 0;
  // The block to evict next among those that `evictable` admits, or nullopt if there is none.
  virtual std::optional<BlockId> Victim(const std::function<bool(const BlockId&)>& evictable) = 0;
  virtual std::string_view name() const = 0;
};

// Least recently used first.
std::unique_ptr<EvictionPolicy> MakeLruPolicy();

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
  BufferPool(int64_t budget_bytes, std::unique_ptr<EvictionPolicy> policy);
  ~BufferPool();  // REQUIRES: no pins

  // The block, if it is in memory. Counts a hit or a miss.
  std::optional<BlockPin> Pin(const BlockId& id);

  // Whether the block is in memory. Counts nothing.
  bool Contains(const BlockId& id) const;

  // Takes the block over and pins it, evicting what the policy names until it fits. If it can't
  // fit, since everything left is pinned, returns nullopt and leaves `block` as it was. If the id
  // is there already, pins that one and drops `block`.
  std::optional<BlockPin> Insert(const BlockId& id, BlockBuffer&& block);

  // The same for all blocks of a state at once, in index order: either all are pinned, or nothing
  // has changed.
  std::optional<std::vector<BlockPin>> InsertState(const Digest& state,
                                                   std::vector<BlockBuffer>& blocks);

  // Bytes that could be pinned on top of what is pinned now.
  int64_t UnpinnedBudget() const;

  // Drops the blocks of a state; returns the bytes freed. Pinned ones go when they are unpinned.
  int64_t EraseState(const Digest& state);
  // Drops every unpinned block; returns the bytes freed.
  int64_t Clear();

  // Evicts down to the new budget as far as pins allow; what they hold back goes when it is
  // unpinned.
  void SetBudget(int64_t budget_bytes);

  // Bytes of a state's blocks that are in memory.
  int64_t StateBytes(const Digest& state) const;
  BufferPoolStats stats() const;

 private:
  friend class BlockPin;
  struct Entry {
    BlockBuffer block;
    int pins = 0;
    bool erase_when_unpinned = false;
  };
  struct StateEntries {
    // Entries never move, since pins point at their blocks.
    std::map<int, std::unique_ptr<Entry>> blocks;
    int64_t bytes = 0;
  };

  void Unpin(const BlockId& id);
  // All that follow: REQUIRES: mutex_ held.
  Entry* Find(const BlockId& id) const;  // nullptr if absent
  BlockPin PinEntry(const BlockId& id, Entry& entry);
  Entry& AddEntry(const BlockId& id, BlockBuffer&& block);
  // Evicts until `bytes` more fit. False, with nothing evicted, if what is pinned makes that
  // impossible.
  bool MakeRoom(int64_t bytes);
  bool EvictOne();  // false if nothing can be evicted
  void EraseEntry(const BlockId& id);

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::unique_ptr<EvictionPolicy> policy_;
  std::unordered_map<Digest, StateEntries, DigestHash> states_;
  BufferPoolStats stats_;  // budget_bytes, used_bytes and pinned_bytes are the books themselves
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BUFFER_POOL_H_
