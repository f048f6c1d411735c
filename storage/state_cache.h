// The cache of attention states over both tiers: memory (BufferPool) over disk (RocksDB).
//
// A state is the K and V of one prompt segment in all layers. It is named by a Digest over all that
// it depends on (see planner/state_key.h), so a changed model, text, setting or position is simply
// another name: never a wrong answer. A state is visible either whole or not at all.
//
// Thread-safe.
#ifndef PROMPTDB_STORAGE_STATE_CACHE_H_
#define PROMPTDB_STORAGE_STATE_CACHE_H_

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/buffer_pool.h"
#include "storage/kv_segment.h"
#include "storage/rocks.h"
#include "storage/state_manifest.h"

namespace promptdb {

enum class Tier { kCpu, kDisk, kMiss };

std::string_view TierName(Tier tier);  // "cpu", "disk", "miss"

// What is known of a state without touching its blocks.
struct StateInfo {
  Tier tier = Tier::kMiss;  // kCpu only if every block is in memory
  int64_t bytes = 0;        // of all blocks; 0 for a miss
  int64_t cpu_bytes = 0;    // of those in memory
};

struct StateCacheStats {
  int64_t states = 0;
  int64_t disk_bytes = 0;
  int64_t cpu_hits = 0;       // states served wholly from memory
  int64_t disk_hits = 0;      // states of which a block was read from disk
  int64_t misses = 0;         // states asked for and not there
  int64_t writes = 0;         // states published
  int64_t read_bytes = 0;     // from disk
  int64_t written_bytes = 0;  // to disk
  int64_t corrupt = 0;        // states dropped since a block failed its check
};

class StateCache {
 public:
  // Both borrowed. Removes blocks without a manifest, left by a crash in mid-write.
  StateCache(Rocks* rocks, BufferPool* pool);

  StateInfo Probe(const Digest& key) const;

  struct Acquired {
    KvSegment segment;
    Tier tier = Tier::kCpu;  // kDisk if any block had to be read
    int64_t disk_bytes = 0;  // read from disk
  };
  // The state, pinned in memory. nullopt when it is absent; when a block is corrupt (the state is
  // then dropped, counted, and so recomputed by the caller); or when it can't be pinned within the
  // pool's budget (`*no_room` says so).
  std::optional<Acquired> Acquire(const Digest& key, bool* no_room);

  // Stores a full segment on disk, then hands its blocks to the pool. Returns the segment, pinned;
  // or in memory of its own where the pool has no room. `segment` is consumed. Visible to others,
  // on disk, when this returns. Publishing a key that exists is no error.
  KvSegment Publish(const StateManifest& manifest, KvSegment segment);

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

  // Forgets a state in both tiers. Pinned blocks stay until they are unpinned.
  void Erase(const Digest& key);

  StateCacheStats stats() const;

 private:
  // What finding a state takes, of every state, in memory: a hit asks RocksDB nothing.
  struct IndexEntry {
    KvShape shape;
    int tokens = 0;
    int start_position = 0;
    int64_t bytes = 0;
    bool of_chat = false;
  };
  class ChangeGuard;

  void LoadIndex();
  void RemoveOrphanBlocks();
  std::optional<IndexEntry> Find(const Digest& key) const;
  // Reads the blocks whose pins are missing, large states in several threads. Those for which the
  // pool has no room stay missing. Throws as ReadBlock() does.
  void ReadBlocks(const Digest& key, const KvShape& shape, const BlockGrid& grid,
                  int64_t missing_bytes, std::vector<std::optional<BlockPin>>& pins);
  // Reads, checks and inserts one block; nullopt if the pool has no room. Throws Error(kCorrupt).
  std::optional<BlockPin> ReadBlock(const Digest& key, const KvShape& shape, const BlockGrid& grid,
                                    int index);
  void WriteState(const StateManifest& manifest, const BlockGrid& grid,
                  const std::vector<BlockBuffer>& blocks);
  void DropCorrupt(const Digest& key);
  bool EraseIfThere(const Digest& key);

  Rocks* rocks_;
  BufferPool* pool_;
  mutable std::mutex mutex_;
  std::condition_variable change_ended_;
  // Guarded by mutex_:
  std::map<Digest, IndexEntry> index_;
  std::set<Digest> changing_;  // published or erased right now; one thread at a time for each
  StateCacheStats stats_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STATE_CACHE_H_
