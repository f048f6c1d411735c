// What StateCache keeps, and for how much: policies of states, and the budgets for what they hold.
#include <ctime>
#include <utility>

#include "storage/state_cache.h"

namespace promptdb {

void StateCache::Use(const Digest& key, const BlockGrid& grid, Tier tier) {
  {
    const std::scoped_lock lock(mutex_);
    index_.Use(key, std::time(nullptr));
    if (!MayHold(key, grid.TotalBytes(), tier)) return;
  }
  // Whoever uses the state has it pinned, so that all of it is there.
  Held held{tier, grid.TotalBytes(), {}, {}};
  for (int i = 0; i < grid.blocks(); ++i) {
    if (tier == Tier::kGpu) {
      std::optional<DevicePin> pin = device_pool_->Pin({key, i});
      if (!pin) return;
      held.device_pins.push_back(*std::move(pin));
    } else {
      std::optional<BlockPin> pin = pool_->Pin({key, i});
      if (!pin) return;
      held.pins.push_back(*std::move(pin));
    }
  }
  std::optional<Held> released;  // outlives the lock: unpinning may evict
  const std::scoped_lock lock(mutex_);
  if (!MayHold(key, held.bytes, tier)) return;
  if (const auto found = held_.find(key); found != held_.end()) released = Release(found);
  stats_.held_bytes += held.bytes;
  held_.emplace(key, std::move(held));
}

bool StateCache::MayHold(const Digest& key, int64_t bytes, Tier tier) const {
  if (!index_.PolicyOf(key).is_pinned || !index_.Contains(key)) return false;
  if (const auto found = held_.find(key); found != held_.end()) {
    return found->second.tier == Tier::kCpu && tier == Tier::kGpu;
  }
  return stats_.held_bytes + bytes <= stats_.pin_budget;
}

void StateCache::SetPolicy(const Digest& key, const StatePolicy& policy) {
  bool was_pinned = false;
  std::optional<Held> released;  // outlives the lock: unpinning may evict
  {
    const std::scoped_lock lock(mutex_);
    was_pinned = index_.PolicyOf(key).is_pinned;
    index_.SetPolicy(key, policy);
    pool_->SetPriority(key, policy.priority);
    if (device_pool_ != nullptr) device_pool_->SetPriority(key, policy.priority);
    if (policy.is_pinned) return;
    if (const auto found = held_.find(key); found != held_.end()) released = Release(found);
  }
  // What is pinned may lie on disk beyond a budget that was lowered.
  if (was_pinned) KeepDiskBudget();
}

StatePolicy StateCache::PolicyOf(const Digest& key) const {
  const std::scoped_lock lock(mutex_);
  return index_.PolicyOf(key);
}

void StateCache::SetDiskBudget(int64_t bytes) {
  {
    const std::scoped_lock lock(mutex_);
    stats_.disk_budget = bytes;
  }
  KeepDiskBudget();
}

void StateCache::SetOwnerBudget(const Digest& owner, int64_t bytes) {
  {
    const std::scoped_lock lock(mutex_);
    if (bytes == 0) {
      owner_budgets_.erase(owner);
    } else {
      owner_budgets_[owner] = bytes;
    }
  }
  ReserveDisk(0, owner);
}

int64_t StateCache::BytesOf(const Digest& owner) const {
  const std::scoped_lock lock(mutex_);
  return index_.BytesOf(owner);
}

void StateCache::EraseOwned(const Digest& owner) {
  std::vector<Digest> keys;
  {
    const std::scoped_lock lock(mutex_);
    keys = index_.StatesOf(owner);
  }
  for (const Digest& key : keys) Erase(key);
}

void StateCache::KeepDiskBudget() {
  // Nothing is reserved, but what is there must fit.
  ReserveDisk(0, Digest());
}

void StateCache::SetPinBudget(int64_t bytes) {
  std::vector<Held> released;  // outlives the lock: unpinning may evict
  const std::scoped_lock lock(mutex_);
  stats_.pin_budget = bytes;
  while (stats_.held_bytes > bytes) released.push_back(Release(held_.begin()));
}

StateCache::Held StateCache::Release(std::map<Digest, Held>::iterator held) {
  Held released = std::move(held->second);
  stats_.held_bytes -= released.bytes;
  held_.erase(held);
  return released;
}

bool StateCache::IsHeld(const Digest& key) const {
  const std::scoped_lock lock(mutex_);
  return held_.contains(key);
}

}  // namespace promptdb
