// What StateCache does with the device tier.
#include <atomic>
#include <utility>

#include "base/error.h"
#include "storage/state_cache.h"

namespace promptdb {

bool StateCache::HasDevice() const {
  return device_pool_ != nullptr && device_pool_->stats().budget_bytes > 0;
}

StateInfo StateCache::Probe(const Digest& key, Tier home) const {
  const std::optional<StateIndex::Outline> entry = Find(key);
  if (!entry) return {};
  StateInfo info;
  info.bytes = entry->bytes;
  info.cpu_bytes = pool_->StateBytes(key);
  if (device_pool_ != nullptr) info.gpu_bytes = device_pool_->StateBytes(key);
  info.memory_bytes = info.cpu_bytes + info.gpu_bytes;
  info.checked_bytes = stored_.CheckedBytes(key);
  if (info.cpu_bytes > 0 && info.gpu_bytes > 0) {
    // Some blocks may be in both.
    const BlockGrid grid(entry->shape, entry->tokens);
    for (int i = 0; i < grid.blocks(); ++i) {
      const BlockId id{key, i};
      if (pool_->Contains(id) && device_pool_->Contains(id)) {
        info.memory_bytes -= grid.Extent(i).payload_bytes + kBlockHeaderBytes;
      }
    }
  }
  if (home == Tier::kGpu && info.gpu_bytes > 0 && info.gpu_bytes == info.bytes) {
    info.tier = Tier::kGpu;
  } else if (info.cpu_bytes == info.bytes) {
    info.tier = Tier::kCpu;
  } else if (info.memory_bytes == info.bytes) {
    info.tier = home == Tier::kGpu ? Tier::kCpu : Tier::kGpu;
  } else {
    info.tier = Tier::kDisk;
  }
  return info;
}

std::optional<StateCache::Acquired> StateCache::AcquireOnDevice(const Digest& key,
                                                                const StateIndex::Outline& entry,
                                                                bool* no_room) {
  const BlockGrid grid(entry.shape, entry.tokens);
  const auto blocks = static_cast<size_t>(grid.blocks());
  std::vector<std::optional<DevicePin>> found(blocks);
  std::vector<std::optional<BlockPin>> sources(blocks);
  int64_t missing_bytes = 0, disk_bytes = 0;
  for (size_t i = 0; i < blocks; ++i) {
    const BlockId id{key, static_cast<int>(i)};
    found[i] = device_pool_->Pin(id);
    if (found[i]) continue;
    const int64_t bytes = grid.Extent(id.index).payload_bytes + kBlockHeaderBytes;
    missing_bytes += bytes;
    // Pinned now, so that what is read from disk does not push it out.
    sources[i] = pool_->Pin(id);
    if (!sources[i]) disk_bytes += bytes;
  }
  // Copying what then can't be kept would evict other states for nothing.
  if (missing_bytes > device_pool_->UnpinnedBudget()) {
    *no_room = true;
    return std::nullopt;
  }
  std::vector<DevicePin> pins;
  pins.reserve(blocks);
  try {
    const auto bring = [&](int index) {
      const auto i = static_cast<size_t>(index);
      if (found[i]) return true;
      const BlockId id{key, index};
      const double cost_ms = entry.CostOf(grid.Extent(index).payload_bytes + kBlockHeaderBytes);
      if (sources[i]) {
        found[i] = device_pool_->Insert(id, *std::exchange(sources[i], std::nullopt), cost_ms);
      } else {
        // By way of the CPU tier, if that has room.
        BlockBuffer block = stored_.Read(key, entry.shape, grid, index);
        std::optional<BlockPin> pin = pool_->Insert(id, std::move(block), cost_ms);
        found[i] = pin ? device_pool_->Insert(id, *std::move(pin), cost_ms)
                       : device_pool_->Insert(id, std::move(block), cost_ms);
      }
      return found[i].has_value();
    };
    // Copies are queued in the order of the layers.
    if (missing_bytes > 0) ReadBlocks(grid, disk_bytes, bring);
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    found.clear();
    sources.clear();
    DropCorrupt(key);
    return std::nullopt;
  }
  for (std::optional<DevicePin>& pin : found) {
    if (!pin) {
      *no_room = true;
      return std::nullopt;
    }
    pins.push_back(*std::move(pin));
  }
  Use(key, grid, Tier::kGpu);
  const std::scoped_lock lock(mutex_);
  const Tier tier = disk_bytes > 0 ? Tier::kDisk : missing_bytes > 0 ? Tier::kCpu : Tier::kGpu;
  ++(tier == Tier::kDisk  ? stats_.disk_hits
     : tier == Tier::kCpu ? stats_.cpu_hits
                          : stats_.gpu_hits);
  stats_.read_bytes += disk_bytes;
  return Acquired{KvSegment(entry.shape, entry.start_position, entry.tokens, std::move(pins)), tier,
                  disk_bytes};
}

std::optional<std::vector<DevicePin>> StateCache::Promote(const Digest& key, const BlockGrid& grid,
                                                          double cost_ms) {
  const int64_t total = grid.TotalBytes();
  if (total - device_pool_->StateBytes(key) > device_pool_->UnpinnedBudget()) return std::nullopt;
  std::vector<DevicePin> pins;
  for (int i = 0; i < grid.blocks(); ++i) {
    const BlockId id{key, i};
    std::optional<BlockPin> source = pool_->Pin(id);
    if (!source) return std::nullopt;
    const double share = static_cast<double>(source->block().size()) / static_cast<double>(total);
    auto pin = device_pool_->Insert(id, *std::move(source), cost_ms * share);
    if (!pin) return std::nullopt;
    pins.push_back(*std::move(pin));
  }
  return pins;
}

int64_t StateCache::EvictFromDevice(const Digest& key) {
  return device_pool_ == nullptr ? 0 : device_pool_->EvictState(key);
}

void StateCache::SetDeviceBudget(int64_t bytes) {
  {
    std::vector<Held> released;  // outlives the lock: unpinning may evict
    const std::scoped_lock lock(mutex_);
    int64_t held_bytes = 0;
    for (const auto& [key, held] : held_) held_bytes += held.tier == Tier::kGpu ? held.bytes : 0;
    for (auto it = held_.begin(); it != held_.end() && held_bytes > bytes;) {
      const auto held = it++;
      if (held->second.tier != Tier::kGpu) continue;
      held_bytes -= held->second.bytes;
      released.push_back(Release(held));
    }
  }
  device_pool_->SetBudget(bytes);
}

}  // namespace promptdb
