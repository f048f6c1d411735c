// Who hears of the regions that blocks share.
#include "storage/block_memory.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace promptdb {
namespace {

class Regions : public RegionObserver {
 public:
  Regions() { AddRegionObserver(this); }
  ~Regions() override { Remove(); }

  void Remove() {
    if (std::exchange(is_removed_, true)) return;
    RemoveRegionObserver(this);
  }
  void OnRegion(std::byte* begin, size_t bytes) noexcept override { regions[begin] = bytes; }
  void OnRegionGone(std::byte* begin, size_t bytes) noexcept override {
    if (regions.contains(begin) && regions[begin] == bytes) regions.erase(begin);
  }

  bool Have(const std::byte* begin, size_t bytes) const {
    const auto after = regions.upper_bound(begin);
    if (after == regions.begin()) return false;
    const auto& [region, region_bytes] = *std::prev(after);
    return begin + bytes <= region + region_bytes;
  }

  std::map<const std::byte*, size_t> regions;

 private:
  bool is_removed_ = false;
};

// The address sanitizer has blocks of malloc's.
#ifndef __SANITIZE_ADDRESS__
TEST(BlockMemory, ObserversKnowWhereBlocksLie) {
  std::byte* const before = AllocateBlockMemory(1 << 20);
  Regions regions;
  EXPECT_TRUE(regions.Have(before, 1 << 20)) << "that was there already";
  std::mt19937 random(61);
  std::vector<std::pair<std::byte*, size_t>> blocks;
  for (int i = 0; i < 400; ++i) {
    const size_t bytes = (size_t{256} << 10) + random() % (2 << 20);
    blocks.emplace_back(AllocateBlockMemory(bytes), bytes);
    EXPECT_TRUE(regions.Have(blocks.back().first, bytes));
  }
  const size_t most = regions.regions.size();
  EXPECT_GT(most, 4u);
  std::byte* const large = AllocateBlockMemory(size_t{20} << 20);
  EXPECT_FALSE(regions.Have(large, 1)) << "it has a region of its own";
  FreeBlockMemory(large, size_t{20} << 20);
  for (const auto& [block, bytes] : blocks) FreeBlockMemory(block, bytes);
  FreeBlockMemory(before, 1 << 20);
  EXPECT_EQ(regions.regions.size(), 1u) << "one is kept";
  regions.Remove();
  EXPECT_TRUE(regions.regions.empty());
}
#endif

}  // namespace
}  // namespace promptdb
