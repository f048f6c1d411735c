// Memory for KV blocks and weights, out of large regions that the kernel may back with huge pages.
// The first touch of a block then costs a few page faults instead of some hundred, which is most of
// the time of a first disk hit; and weights read row by row don't wait for the page table, which
// took a quarter of the memory's speed. It is the process's heap for both, as malloc is for the
// rest, and counts nothing.
//
// Freed memory is used again by later blocks; a region that is wholly free goes back to the kernel,
// except for one that is kept.
//
// Thread-safe: one mutex guards the regions.
#ifndef PROMPTDB_STORAGE_BLOCK_MEMORY_H_
#define PROMPTDB_STORAGE_BLOCK_MEMORY_H_

#include <cstddef>

namespace promptdb {

// Uninitialised, aligned to kBlockAlignment. Throws std::bad_alloc.
std::byte* AllocateBlockMemory(size_t bytes);

// REQUIRES: `memory` came from AllocateBlockMemory(bytes).
void FreeBlockMemory(std::byte* memory, size_t bytes);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_BLOCK_MEMORY_H_
