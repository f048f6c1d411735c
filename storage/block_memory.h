// Memory for KV blocks and weights, out of large regions that the kernel may back with huge pages.
// The first touch of a block then costs a few page faults instead of some hundred, which is most of
// the time of a first disk hit; and weights read row by row don't wait for the page table, which
// took a quarter of the memory's speed. It is the process's heap for both, as malloc is for the
// rest, and counts nothing.
//
// Freed memory is used again by later blocks; a region that is wholly free goes back to the kernel,
// except for one that is kept.
//
// A device copies faster from memory that stays where it is. Whoever opens one pins the regions, as
// a RegionObserver.
//
// Thread-safe: one mutex guards the regions.
#ifndef PROMPTDB_STORAGE_BLOCK_MEMORY_H_
#define PROMPTDB_STORAGE_BLOCK_MEMORY_H_

#include <cstddef>

namespace promptdb {

// Hears of the regions that blocks share: at once of those that are there, then of each that comes,
// before any of it is used, and of each that goes, after all of it is free. Calls must not use this
// memory. Blocks of 32 KiB to 16 MiB lie in such regions, others elsewhere.
class RegionObserver {
 public:
  virtual ~RegionObserver() = default;
  virtual void OnRegion(std::byte* begin, size_t bytes) noexcept = 0;
  virtual void OnRegionGone(std::byte* begin, size_t bytes) noexcept = 0;
};
// `observer` is borrowed, until it is removed, which tells it that all regions are gone.
void AddRegionObserver(RegionObserver* observer);
void RemoveRegionObserver(RegionObserver* observer);

// Uninitialised, aligned to kBlockAlignment. Throws std::bad_alloc.
std::byte* AllocateBlockMemory(size_t bytes);

// REQUIRES: `memory` came from AllocateBlockMemory(bytes).
void FreeBlockMemory(std::byte* memory, size_t bytes);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BLOCK_MEMORY_H_
