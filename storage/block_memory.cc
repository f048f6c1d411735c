#include "storage/block_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "storage/kv_format.h"

namespace promptdb {

namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
constexpr size_t kRegionBytes = size_t{64} << 20;
// Smaller blocks are malloc's; larger ones, which would leave too much of a region unused, get
// regions of their own size.
constexpr size_t kLeastBytes = size_t{32} << 10;
constexpr size_t kMostBytes = size_t{16} << 20;

size_t RoundUp(size_t bytes) {
  constexpr size_t kAlignment = kBlockAlignment;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// `bytes` of address space, that begin at a huge page; memory comes page by page when it is
// touched. nullptr if the kernel has none.
std::byte* MapRegion(size_t bytes) {
  void* mapped = mmap(nullptr, bytes + kHugePageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  const size_t before = (kHugePageBytes - address % kHugePageBytes) % kHugePageBytes;
  auto* begin = static_cast<std::byte*>(mapped) + before;
  if (before > 0) munmap(mapped, before);
  munmap(begin + bytes, kHugePageBytes - before);
  // Where the kernel has no huge pages, small ones do as well.
  madvise(begin, bytes, MADV_HUGEPAGE);
  return begin;
}

class RegionHeap {
 public:
  std::byte* Allocate(size_t bytes) {
    const std::scoped_lock lock(mutex_);
    for (auto& [begin, region] : regions_) {
      if (std::byte* memory = TakeFrom(begin, region, bytes)) return memory;
    }
    std::byte* begin = MapRegion(kRegionBytes);
    if (begin == nullptr) throw std::bad_alloc();
    Region& region = regions_[begin];
    region.holes[0] = region.most = kRegionBytes;
    for (RegionObserver* observer : observers_) observer->OnRegion(begin, kRegionBytes);
    return TakeFrom(begin, region, bytes);
  }

  void Free(std::byte* memory, size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto region = std::prev(regions_.upper_bound(memory));
    Holes& holes = region->second.holes;
    auto hole = holes.emplace(static_cast<size_t>(memory - region->first), bytes).first;
    if (const auto next = std::next(hole);
        next != holes.end() && hole->first + hole->second == next->first) {
      hole->second += next->second;
      holes.erase(next);
    }
    if (hole != holes.begin()) {
      const auto previous = std::prev(hole);
      if (previous->first + previous->second == hole->first) {
        previous->second += hole->second;
        holes.erase(hole);
        hole = previous;
      }
    }
    region->second.most = std::max(region->second.most, hole->second);
    if (hole->second < kRegionBytes) return;
    for (auto other = regions_.begin(); other != regions_.end(); ++other) {
      if (other == region || !IsFree(other->second.holes)) continue;
      for (RegionObserver* observer : observers_) {
        observer->OnRegionGone(region->first, kRegionBytes);
      }
      munmap(region->first, kRegionBytes);
      regions_.erase(region);
      return;
    }
  }

  void Add(RegionObserver* observer) {
    const std::scoped_lock lock(mutex_);
    observers_.push_back(observer);
    for (const auto& [begin, region] : regions_) observer->OnRegion(begin, kRegionBytes);
  }

  void Remove(RegionObserver* observer) {
    const std::scoped_lock lock(mutex_);
    std::erase(observers_, observer);
    for (const auto& [begin, region] : regions_) observer->OnRegionGone(begin, kRegionBytes);
  }

 private:
  using Holes = std::map<size_t, size_t>;  // offset in the region -> bytes; never adjacent
  struct Region {
    Holes holes;
    size_t most = 0;  // no hole is larger; what has thousands of small ones is not searched
  };

  static bool IsFree(const Holes& holes) {
    return !holes.empty() && holes.begin()->second == kRegionBytes;
  }

  // First fit: it keeps the later regions free, so that they can go.
  static std::byte* TakeFrom(std::byte* begin, Region& region, size_t bytes) {
    if (region.most < bytes) return nullptr;
    size_t most = 0;
    for (auto hole = region.holes.begin(); hole != region.holes.end(); ++hole) {
      most = std::max(most, hole->second);
      if (hole->second < bytes) continue;
      const auto [offset, size] = *hole;
      const auto next = region.holes.erase(hole);
      if (size > bytes) region.holes.emplace_hint(next, offset + bytes, size - bytes);
      return begin + offset;
    }
    region.most = most;
    return nullptr;
  }

  std::mutex mutex_;
  std::map<std::byte*, Region> regions_;
  std::vector<RegionObserver*> observers_;
};

// Never destroyed, since blocks may outlive any static object.
RegionHeap& Heap() {
  static RegionHeap& heap = *new RegionHeap;
  return heap;
}

enum class Home { kMalloc, kSharedRegion, kOwnRegion };

Home HomeOf(size_t rounded) {
#ifdef __SANITIZE_ADDRESS__
  // The sanitizer knows the bounds of what malloc gave, not of what lies in a region.
  return rounded > 0 ? Home::kMalloc : Home::kSharedRegion;
#else
  if (rounded < kLeastBytes) return Home::kMalloc;
  return rounded <= kMostBytes ? Home::kSharedRegion : Home::kOwnRegion;
#endif
}

// munmap takes whole pages, and the region must end at one.
size_t OwnRegionBytes(size_t rounded) {
  constexpr size_t kPageBytes = 4096;
  return (rounded + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

void AddRegionObserver(RegionObserver* observer) { Heap().Add(observer); }
void RemoveRegionObserver(RegionObserver* observer) { Heap().Remove(observer); }

std::byte* AllocateBlockMemory(size_t bytes) {
  const size_t rounded = RoundUp(bytes);
  std::byte* memory = nullptr;
  switch (HomeOf(rounded)) {
    case Home::kSharedRegion:
      return Heap().Allocate(rounded);
    case Home::kOwnRegion:
      memory = MapRegion(OwnRegionBytes(rounded));
      break;
    case Home::kMalloc:
      memory = static_cast<std::byte*>(std::aligned_alloc(kBlockAlignment, rounded));
      break;
  }
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void FreeBlockMemory(std::byte* memory, size_t bytes) {
  const size_t rounded = RoundUp(bytes);
  switch (HomeOf(rounded)) {
    case Home::kSharedRegion:
      return Heap().Free(memory, rounded);
    case Home::kOwnRegion:
      munmap(memory, OwnRegionBytes(rounded));
      return;
    case Home::kMalloc:
      return std::free(memory);
  }
}

}  // namespace promptdb
