// The device tier of the KV cache: blocks in a device's memory under a budget in bytes that is
// never exceeded, what is on its way there and back included.
//
// Blocks come by Insert(), which queues a copy from the host and does not wait for it: whoever
// reads a block waits for that block alone, so that a layer is computed while the next ones arrive.
// Where room is needed, blocks go back to the CPU tier; those that it has already, and those that
// it has no room for, are just dropped, since they are on disk too. A copy that fails loses
// nothing: a block that did not arrive is read on the host, one that can't leave stays.
//
// Thread-safe. One mutex guards the tables; it is not held while something is copied.
#ifndef PROMPTDB_STORAGE_DEVICE_POOL_H_
#define PROMPTDB_STORAGE_DEVICE_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "storage/block_ledger.h"
#include "storage/buffer_pool.h"
#include "storage/device_memory.h"

namespace promptdb {

class DevicePool;

// A block on the host, which stays there until it has been copied.
using HostBlock = std::variant<BlockPin, BlockBuffer>;

// Keeps one block on the device. Move-only; unpins when destroyed, and waits for the block's
// arrival before that. The pool must outlive it.
class DevicePin {
 public:
  DevicePin(DevicePin&& other) noexcept;
  DevicePin& operator=(DevicePin&& other) noexcept;
  ~DevicePin();

  // Waits until the block has arrived. False if it could not: it is on the host then, for as long
  // as this pin lives.
  bool Arrive() const;
  // On the device, header first. REQUIRES: Arrive() has returned true.
  DeviceAddress address() const;
  // Where the host's processor reads the block, header first. Waits until it has arrived.
  // REQUIRES: the device's memory can be read there.
  const std::byte* data() const;
  const std::byte* payload() const { return data() + kBlockHeaderBytes; }
  int64_t size() const;  // header included
  // The same of all pins of one block, without waiting for anything.
  const void* identity() const { return resident_; }

 private:
  friend class DevicePool;
  struct Resident;
  DevicePin(DevicePool* pool, BlockId id, Resident* resident)
      : pool_(pool), id_(id), resident_(resident) {}

  DevicePool* pool_;
  BlockId id_;
  Resident* resident_;
};

struct DevicePoolStats : PoolStats {
  int64_t copied_in = 0;      // blocks that arrived
  int64_t copied_out = 0;     // blocks that went to the CPU tier, or were read from there
  int64_t failed_copies = 0;  // either way
};

class DevicePool {
 public:
  // Both borrowed. `below`: the CPU tier.
  DevicePool(DeviceMemory* device, BufferPool* below, int64_t budget_bytes,
             EvictionPolicyFactory make_policy);
  ~DevicePool();  // REQUIRES: no pins

  const DeviceMemory& device() const { return *device_; }

  // Drops all blocks, and goes on with another device. False, and nothing but unpinned blocks is
  // dropped, while others are pinned. `device` is borrowed.
  bool MoveTo(DeviceMemory* device);

  // The block, if it is on the device or on its way there. Counts a hit or a miss.
  std::optional<DevicePin> Pin(const BlockId& id);
  // Whether it is. Counts nothing.
  bool Contains(const BlockId& id) const;

  // Pins the block, whose copy to the device begins if it is not there yet, after others have left
  // until it fits. nullopt, and `source` is left as it was, if there is no room to be made: the
  // rest is pinned, or can't be copied out. `cost_ms` is what computing the block again would take.
  std::optional<DevicePin> Insert(const BlockId& id, HostBlock&& source, double cost_ms);

  // A copy of the block for the host; nullopt if it is not there, or can't be copied.
  std::optional<BlockBuffer> Read(const BlockId& id);

  int64_t UnpinnedBudget() const;  // see BlockLedger

  // Drops the blocks of a state; returns the bytes freed. Pinned ones go when they are unpinned.
  int64_t EraseState(const Digest& state);
  // Sends the unpinned blocks of a state to the CPU tier; returns the bytes freed here.
  int64_t EvictState(const Digest& state);
  // Drops every unpinned block; returns the bytes freed.
  int64_t Clear();

  // See BlockLedger, for both.
  void SetPriority(const Digest& state, int priority);
  void SetPolicy(EvictionPolicyFactory make_policy);

  // Blocks leave until the rest is within the new budget, as far as pinned ones allow; those that
  // can't be copied out are dropped. What is held back is dropped when it is unpinned.
  void SetBudget(int64_t budget_bytes);

  // Bytes of a state's blocks that are on the device or on their way there.
  int64_t StateBytes(const Digest& state) const;
  DevicePoolStats stats() const;

 private:
  friend class DevicePin;
  using Resident = DevicePin::Resident;
  using Lock = std::unique_lock<std::mutex>;

  bool Arrive(const BlockId& id, Resident& resident);
  void Unpin(const BlockId& id, Resident& resident);
  void BeginCopy(const BlockId& id, Resident& resident);
  // All that follow: REQUIRES: the mutex is held; those with a Lock let it go meanwhile.
  DevicePin PinAgain(const BlockId& id);  // stays after all, if it was to go
  void SetFailed(const BlockId& id, Resident& resident);
  // Whether `bytes` more fit now.
  bool MakeRoom(Lock& lock, int64_t bytes);
  // Sends a block that is leaving to the CPU tier, or drops it. False if that failed: it stays.
  bool Leave(Lock& lock, const BlockId& id);
  void DropToBudget();
  void Drop(const BlockId& id);

  // Changes only while there are no blocks, so whoever has one reads it without the mutex.
  DeviceMemory* device_;
  BufferPool* const below_;
  mutable std::mutex mutex_;
  std::condition_variable copy_began_;
  std::condition_variable block_left_;
  // Guarded by mutex_:
  BlockLedger ledger_;
  // A resident never moves, since pins point at it.
  std::unordered_map<BlockId, std::unique_ptr<Resident>, BlockIdHash> residents_;
  int leaving_ = 0;  // blocks
  int64_t copied_in_ = 0;
  int64_t copied_out_ = 0;
  int64_t failed_copies_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_DEVICE_POOL_H_
