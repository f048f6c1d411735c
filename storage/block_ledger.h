// The books of one tier of the cache: which blocks it has, what they weigh, who has them pinned,
// and which of them goes next. The blocks themselves are the pool's that keeps the books.
//
// Pinned blocks don't go. Of the others those of the states with the least priority go first; which
// of those is decided by an EvictionPolicy, one for each priority.
//
// Not thread-safe: a pool calls it with its mutex held.
#ifndef PROMPTDB_STORAGE_BLOCK_LEDGER_H_
#define PROMPTDB_STORAGE_BLOCK_LEDGER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "storage/block_id.h"
#include "storage/eviction_policy.h"

namespace promptdb {

struct PoolStats {
  int64_t budget_bytes = 0;
  int64_t used_bytes = 0;    // of blocks, of those on their way, and of room that is reserved
  int64_t pinned_bytes = 0;  // those of them that can't be evicted
  int64_t blocks = 0;
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t evictions = 0;
  int64_t rejected = 0;  // blocks that did not fit because too much was pinned
};

class BlockLedger {
 public:
  BlockLedger(int64_t budget_bytes, EvictionPolicyFactory make_policy);

  const PoolStats& stats() const { return stats_; }
  std::string_view policy_name() const { return policies_.at(0)->name(); }
  bool Contains(const BlockId& id) const { return Find(id) != nullptr; }
  int64_t StateBytes(const Digest& state) const;
  // REQUIRES for these two, and for all that follows with an id: the block is there.
  int pins(const BlockId& id) const { return At(id).pins; }
  double cost_ms(const BlockId& id) const { return At(id).cost_ms; }

  // ---- Room ----

  // Bytes that could be pinned on top of what is pinned now. Negative where the budget has shrunk
  // below that.
  int64_t UnpinnedBudget() const { return stats_.budget_bytes - stats_.pinned_bytes; }
  // Whether `bytes` more are within the budget as things are.
  bool Fits(int64_t bytes) const { return stats_.used_bytes + bytes <= stats_.budget_bytes; }
  bool IsOverBudget() const { return !Fits(0); }
  void SetBudget(int64_t budget_bytes) { stats_.budget_bytes = budget_bytes; }
  void CountRejected() { ++stats_.rejected; }

  // Room that is taken without a block.
  void Reserve(int64_t bytes);
  void GiveBack(int64_t bytes);

  // ---- Pins ----

  // Whether the block is there: counts a hit or a miss.
  bool Look(const BlockId& id);
  void Pin(const BlockId& id);
  // Tells the policy that the block was used once more.
  void Touch(const BlockId& id);
  // True if the block is to go now: it was erased while it was pinned. It stays in the books until
  // Remove().
  bool Unpin(const BlockId& id);

  // ---- Blocks come and go ----

  // A block that is not there yet, pinned once.
  void AddPinned(const BlockId& id, int64_t bytes, double cost_ms);
  void Remove(const BlockId& id);
  // The same once nobody has it pinned any more; until then, whether it is to.
  void SetErased(const BlockId& id, bool is_erased) { At(id).is_erased = is_erased; }
  bool is_erased(const BlockId& id) const { return At(id).is_erased; }

  // The unpinned blocks of a state, or of all; the pinned ones are set erased if `erases`. Blocks
  // that are leaving count as pinned.
  std::vector<BlockId> UnpinnedOf(const Digest& state, bool erases);
  std::vector<BlockId> Unpinned() const;

  // The block to evict next, which is leaving then: it stays in the books, can be pinned, and can't
  // be chosen again, until Remove() or Stay(). nullopt if nothing can be evicted.
  std::optional<BlockId> TakeVictim();
  // The same for a block of the caller's choice. REQUIRES: it is unpinned and not leaving.
  void BeginLeaving(const BlockId& id);
  void Stay(const BlockId& id);
  void CountEviction() { ++stats_.evictions; }

  // ---- Policy ----

  // Blocks of a state of a lower priority are evicted before any of a higher one. 0 where nothing
  // was set. Meant for a few different priorities. It may be called before the state has blocks
  // here, and holds until it is called again, whatever is erased meanwhile.
  void SetPriority(const Digest& state, int priority);
  // From now on another policy names the victims. What the old one had learned is lost.
  void SetPolicy(EvictionPolicyFactory make_policy);

 private:
  struct StateEntries;
  struct Entry {
    int64_t bytes = 0;
    double cost_ms = 0;
    int pins = 0;
    bool is_erased = false;     // goes when it is unpinned
    bool is_leaving = false;    // the policy has let it go
    bool is_evictable = false;  // as the policy knows it
    StateEntries* state = nullptr;
  };
  struct StateEntries {
    std::map<int, Entry> blocks;
    int64_t bytes = 0;
    EvictionPolicy* policy = nullptr;  // of the state's priority
  };

  const Entry* Find(const BlockId& id) const;  // nullptr if absent
  Entry& At(const BlockId& id);
  const Entry& At(const BlockId& id) const;
  // Tells the policy after a change of pins.
  void UpdateEvictable(const BlockId& id, Entry& entry);
  int PriorityOf(const Digest& state) const;
  EvictionPolicy* PolicyOf(int priority);  // made if there is none yet
  // Hands a block, or all of a state, to a policy; the one that has them now is not told.
  void Hand(const BlockId& id, Entry& entry);
  void HandAll(const Digest& state, StateEntries& entries, EvictionPolicy* policy);

  EvictionPolicyFactory make_policy_;
  std::map<int, std::unique_ptr<EvictionPolicy>> policies_;  // by priority; 0 is always there
  std::unordered_map<Digest, StateEntries, DigestHash> states_;
  std::unordered_map<Digest, int, DigestHash> priorities_;  // but for those of 0
  PoolStats stats_;  // budget_bytes, used_bytes and pinned_bytes are the books themselves
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BLOCK_LEDGER_H_
