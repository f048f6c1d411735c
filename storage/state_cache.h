// The cache of attention states over all tiers: a device's memory (DevicePool) over the CPU's
// (BufferPool) over disk (RocksDB).
//
// A state is the K and V of one prompt segment in all layers. It is named by a Digest over all that
// it depends on (see planner/state_key.h), so a changed model, text, setting or position is simply
// another name: never a wrong answer. A state is visible either whole or not at all.
//
// States on disk have a budget in bytes as well, that of the blocks: when room is needed, the
// states of the lowest priority go, and of these the ones that are worth least
// (GreedyDual-Size-Frequency, Cherkasova, 1998: uses times the cost to compute, by bytes, aged by a
// clock that stands where the last victim did).
//
// Whoever reads a state says which tier is home: kGpu for a model that computes on the device, kCpu
// for any other.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_STATE_CACHE_H_
#define PROMPTDB_STORAGE_STATE_CACHE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/buffer_pool.h"
#include "storage/device_pool.h"
#include "storage/kv_segment.h"
#include "storage/rocks.h"
#include "storage/state_index.h"
#include "storage/state_manifest.h"
#include "storage/state_policy.h"
#include "storage/stored_blocks.h"

namespace promptdb {

enum class Tier { kGpu, kCpu, kDisk, kMiss };

std::string_view TierName(Tier tier);  // "gpu", "cpu", "disk", "miss"

// What is known of a state without touching its blocks.
struct StateInfo {
  // kGpu (kCpu) only if every block is in that tier; of a state whose blocks are spread over both,
  // the one that is not home; kDisk if any block is on disk alone.
  Tier tier = Tier::kMiss;
  int64_t bytes = 0;         // of all blocks; 0 for a miss
  int64_t gpu_bytes = 0;     // of those in the device's memory
  int64_t cpu_bytes = 0;     // of those in the CPU's
  int64_t memory_bytes = 0;  // of those in either
  // Of those that were read from disk and checked since the database was opened: read again, they
  // come sooner.
  int64_t checked_bytes = 0;
};

struct StateCacheStats {
  int64_t states = 0;
  int64_t disk_bytes = 0;
  int64_t gpu_hits = 0;       // states served wholly from the device's memory
  int64_t cpu_hits = 0;       // states served from memory otherwise
  int64_t disk_hits = 0;      // states of which a block was read from disk
  int64_t misses = 0;         // states asked for and not there
  int64_t writes = 0;         // states published
  int64_t read_bytes = 0;     // from disk
  int64_t written_bytes = 0;  // to disk
  int64_t corrupt = 0;        // states dropped since a block failed its check
  int64_t disk_budget = 0;    // bytes; 0: none
  int64_t pin_budget = 0;     // bytes
  int64_t held_bytes = 0;     // kept in memory by policy
  int64_t evicted = 0;        // states dropped from disk for others
  int64_t expired = 0;        // states dropped since their time was over
  int64_t rejected = 0;       // states not stored, since there was no room for them
};

class StateCache {
 public:
  // All borrowed. `device_pool`: nullptr where there is no device. Removes blocks without a
  // manifest, left by a crash in mid-write.
  StateCache(Rocks* rocks, BufferPool* pool, DevicePool* device_pool = nullptr);

  StateInfo Probe(const Digest& key, Tier home = Tier::kCpu) const;

  struct Acquired {
    KvSegment segment;
    Tier tier = Tier::kCpu;           // as StateInfo has it, of where the blocks were
    int64_t disk_bytes = 0;           // read from disk
    bool lacked_device_room = false;  // it is in the CPU tier, though the device is home
  };
  // The state, pinned in the tier that is home, or else in the CPU tier where the device has no
  // room. nullopt when it is absent; when a block is corrupt (the state is then dropped, counted,
  // and so recomputed by the caller); or when it can't be pinned within the CPU pool's budget
  // either
  // (`*no_room` says so).
  std::optional<Acquired> Acquire(const Digest& key, bool* no_room, Tier home = Tier::kCpu);
  // The state, read from disk into memory of its own that no pool knows of: for who needs more at
  // once than the pools have room for. nullopt when it is absent or corrupt, as above.
  std::optional<Acquired> Read(const Digest& key);
  // Bytes that Acquire() could pin in the CPU tier, or on the device, on top of what is pinned now.
  int64_t Room() const { return pool_->UnpinnedBudget(); }
  int64_t DeviceRoom() const { return HasDevice() ? device_pool_->UnpinnedBudget() : 0; }
  // Whether there is a device tier: a device with a budget.
  bool HasDevice() const;

  // Stores a full segment on disk, then hands its blocks to the CPU pool, and to the device if that
  // is home. Returns the segment, pinned, or in memory of its own where there is no room; at the
  // manifest's position, if it was moved from there. Quantizes it first where the manifest's shape
  // is. `segment` is consumed. Visible to others, on disk, when this returns. Publishing a key that
  // exists is no error.
  KvSegment Publish(const StateManifest& manifest, KvSegment segment, Tier home = Tier::kCpu);

  // See StateIndex.
  StateIndex::PrefixMatch LongestPrefix(const Digest& model, const Digest& context,
                                        int start_position, std::span<const int32_t> tokens) const;

  std::optional<StateManifest> Manifest(const Digest& key) const;
  // Every state, in key order.
  std::vector<StateManifest> List() const;
  // The manifest that was last published under a label, whether or not its state still exists.
  std::optional<StateManifest> LastUnderLabel(const std::string& label) const;

  // Gives every state whose label begins with `old_prefix` a label that begins with `new_prefix`
  // instead. Not atomic: a crash in between leaves some as they were.
  void Relabel(const std::string& old_prefix, const std::string& new_prefix);
  // Keys of the states whose manifests say of_chat.
  std::vector<Digest> ChatStates() const;
  // Forgets what was last published under a label, but no state.
  void ForgetLabel(const std::string& label);

  // Forgets a state in all tiers. Pinned blocks stay until they are unpinned.
  void Erase(const Digest& key);
  // Forgets it in the CPU tier only; returns the bytes freed.
  int64_t EvictFromMemory(const Digest& key);
  // Sends it from the device to the CPU tier; returns the bytes freed on the device.
  int64_t EvictFromDevice(const Digest& key);

  // Has the next read from disk check a state's bytes, as the first one does.
  void ForgetChecks(const Digest& key) { stored_.Forget(key); }

  // What is done with a state from now on, whether or not it is there already. A pinned one stays
  // in memory from its next use on, as far as the pin budget goes: in the tier that is home to who
  // used it, the device where that was so once.
  void SetPolicy(const Digest& key, const StatePolicy& policy);
  StatePolicy PolicyOf(const Digest& key) const;
  bool IsHeld(const Digest& key) const;  // in memory, by policy

  // Bytes of blocks on disk; what is there beyond them goes at once. 0: no limit.
  void SetDiskBudget(int64_t bytes);
  // Most bytes on disk of the states that are the user's, of which the least worthy make room for
  // new ones; what is there beyond them goes at once. 0: no limit.
  void SetOwnerBudget(const Digest& owner, int64_t bytes);
  int64_t BytesOf(const Digest& owner) const;
  void EraseOwned(const Digest& owner);
  // Bytes that policies may keep in memory.
  void SetPinBudget(int64_t bytes);
  // Bytes of blocks on the device, those that policies keep there included. REQUIRES: a device.
  void SetDeviceBudget(int64_t bytes);

  // Only one caller at a time computes a state; others wait for it here, and find it afterwards.
  // Move-only; ends when destroyed.
  class Computing {
   public:
    Computing(Computing&& other) noexcept;
    Computing& operator=(Computing&&) = delete;
    ~Computing();

   private:
    friend class StateCache;
    Computing(StateCache* cache, std::vector<Digest> keys)
        : cache_(cache), keys_(std::move(keys)) {}

    StateCache* cache_;
    std::vector<Digest> keys_;
  };
  // Waits until nobody else computes any of `keys`; holds none while it waits. Throws
  // Error(kCanceled) once `is_canceled` says so.
  Computing BeginComputing(std::vector<Digest> keys, const std::function<bool()>& is_canceled);

  StateCacheStats stats() const;

  // ---- Maintenance: state_check.cc ----

  // Every state, in key order.
  std::vector<Digest> Keys() const;

  // What reading all of a state from disk, past what memory holds of it, has shown.
  struct StateCheck {
    std::string label;  // "" where the manifest can't be read
    int64_t manifest_bytes = 0;
    int64_t blocks = 0;
    int64_t block_bytes = 0;
    int64_t damaged_blocks = 0;
    std::string damage;  // the first that was found, or ""
  };
  // Checks a state and drops it, counted, where it is damaged. `on_block` is called after each
  // block with its bytes; what it throws ends the check. nullopt for a state that is not there.
  std::optional<StateCheck> CheckState(const Digest& key,
                                       const std::function<void(int64_t bytes)>& on_block);

  // What was wrong with the manifests that were dropped when the database was opened. Told once.
  struct DroppedState {
    std::string key;  // for people: hexadecimal digits
    std::string cause;
  };
  std::vector<DroppedState> TakeDamageAtOpening();

  struct LabelRow {
    std::string label;
    int64_t bytes = 0;
    std::string damage;  // what is wrong with the row, or ""
  };
  std::vector<LabelRow> Labels() const;
  // As ForgetLabel(), all in one write.
  void ForgetLabels(const std::vector<std::string>& labels);

 private:
  class ChangeGuard;
  class DiskReservation;

  void LoadIndex();
  void RemoveOrphanBlocks();
  // The first state of the index whose blocks can lie at or after `from`.
  std::optional<Digest> NextState(const std::string& from) const;
  // nullopt for states that are not there, and for those whose time is over.
  std::optional<StateIndex::Outline> Find(const Digest& key) const;
  std::optional<StateIndex::Outline> FindOrMiss(const Digest& key);  // counts a miss
  bool IsThere(const Digest& key) const;  // whether or not its time is over
  // Counts a use, and keeps the state in memory, in a tier that has all of it, if its policy says
  // so.
  void Use(const Digest& key, const BlockGrid& grid, Tier tier);
  std::optional<Acquired> AcquireInCpu(const Digest& key, const StateIndex::Outline& entry,
                                       bool* no_room);
  // nullopt also where the device has no room (`*no_room` says so).
  std::optional<Acquired> AcquireOnDevice(const Digest& key, const StateIndex::Outline& entry,
                                          bool* no_room);
  // A state whose blocks are in the CPU tier, pinned on the device; nullopt where that has no room.
  std::optional<std::vector<DevicePin>> Promote(const Digest& key, const BlockGrid& grid,
                                                double cost_ms);
  // Sets `bytes` of the disk budget, and of the owner's, aside for a state that is to be written,
  // dropping others as far as needed. False, if there is no room to be made.
  bool ReserveDisk(int64_t bytes, const Digest& owner);
  // REQUIRES: mutex_ held. Whether so many more would be too many; 0 is no budget.
  bool IsBeyond(const Digest& owner, int64_t bytes) const;
  // Drops what lies beyond the disk budget, but for states that a policy pins.
  void KeepDiskBudget();
  void EraseExpired();
  // Calls read(block index) for every block of `grid`, in several threads where `bytes` to be read
  // are many, until one is false. Throws what that throws.
  void ReadBlocks(const BlockGrid& grid, int64_t bytes, const std::function<bool(int)>& read);
  void WriteState(const StateManifest& manifest, const BlockGrid& grid,
                  const std::vector<BlockBuffer>& blocks);
  void DropCorrupt(const Digest& key);
  bool EraseIfThere(const Digest& key);

  // A state that a policy keeps in memory.
  struct Held {
    Tier tier = Tier::kCpu;
    int64_t bytes = 0;
    std::vector<BlockPin> pins;  // of one of the tiers
    std::vector<DevicePin> device_pins;
  };
  // REQUIRES: mutex_ held, for both.
  bool MayHold(const Digest& key, int64_t bytes, Tier tier) const;
  Held Release(std::map<Digest, Held>::iterator held);

  Rocks* rocks_;
  StoredBlocks stored_;
  BufferPool* pool_;
  DevicePool* device_pool_;
  mutable std::mutex mutex_;
  std::condition_variable change_ended_;
  // Guarded by mutex_:
  StateIndex index_;
  std::set<Digest> changing_;  // published or erased right now; one thread at a time for each
  std::condition_variable computing_ended_;
  std::set<Digest> computing_;
  std::map<Digest, Held> held_;
  int64_t reserved_disk_bytes_ = 0;
  std::map<Digest, int64_t> reserved_owned_bytes_;  // by owner
  std::map<Digest, int64_t> owner_budgets_;         // of those that have one
  StateCacheStats stats_;
  std::vector<DroppedState> damage_at_opening_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STATE_CACHE_H_
