#include "storage/buffer_pool.h"

#include <utility>

#include "base/error.h"

namespace promptdb {

BlockPin::BlockPin(BufferPool* pool, BlockId id, const BlockBuffer* block)
    : pool_(pool), id_(id), block_(block) {}

BlockPin::BlockPin(BlockPin&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_), block_(other.block_) {}

BlockPin& BlockPin::operator=(BlockPin&& other) noexcept {
  if (this != &other) {
    if (pool_ != nullptr) pool_->Unpin(id_);
    pool_ = std::exchange(other.pool_, nullptr);
    id_ = other.id_;
    block_ = other.block_;
  }
  return *this;
}

BlockPin::~BlockPin() {
  if (pool_ != nullptr) pool_->Unpin(id_);
}

BufferPool::BufferPool(int64_t budget_bytes, EvictionPolicyFactory make_policy)
    : make_policy_(make_policy) {
  stats_.budget_bytes = budget_bytes;
  PolicyOf(0);
}

BufferPool::~BufferPool() {
  Check(stats_.pinned_bytes == 0, "no pins are left when the buffer pool goes");
}

std::optional<BlockPin> BufferPool::Pin(const BlockId& id) {
  const std::scoped_lock lock(mutex_);
  Entry* entry = Find(id);
  if (entry == nullptr) {
    ++stats_.misses;
    return std::nullopt;
  }
  ++stats_.hits;
  return PinAgain(id, *entry);
}

bool BufferPool::Contains(const BlockId& id) const {
  const std::scoped_lock lock(mutex_);
  return Find(id) != nullptr;
}

std::optional<BlockPin> BufferPool::Insert(const BlockId& id, BlockBuffer&& block, double cost_ms) {
  const std::scoped_lock lock(mutex_);
  if (Entry* entry = Find(id); entry != nullptr) {
    entry->erase_when_unpinned = false;
    block = BlockBuffer();
    return PinAgain(id, *entry);
  }
  if (!MakeRoom(block.size())) {
    ++stats_.rejected;
    return std::nullopt;
  }
  return PinEntry(id, AddEntry(id, std::move(block), cost_ms));
}

std::optional<std::vector<BlockPin>> BufferPool::InsertState(const Digest& state,
                                                             std::vector<BlockBuffer>& blocks,
                                                             double cost_ms) {
  // Declared before the lock, so that pins given up on an exception take it after it is free.
  std::vector<BlockPin> pins;
  const std::scoped_lock lock(mutex_);
  int64_t bytes = 0, to_pin = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    bytes += blocks[i].size();
    const Entry* entry = Find({state, static_cast<int>(i)});
    if (entry == nullptr || entry->pins == 0) to_pin += blocks[i].size();
  }
  if (to_pin > stats_.budget_bytes - stats_.pinned_bytes) {
    ++stats_.rejected;
    return std::nullopt;
  }
  pins.reserve(blocks.size());
  // Those in memory are pinned first, so that making room for the others does not evict them.
  for (size_t i = 0; i < blocks.size(); ++i) {
    const BlockId id{state, static_cast<int>(i)};
    if (Entry* entry = Find(id); entry != nullptr) {
      entry->erase_when_unpinned = false;
      blocks[i] = BlockBuffer();
      pins.push_back(PinAgain(id, *entry));
    } else {
      pins.push_back(BlockPin(nullptr, id, nullptr));
    }
  }
  const double cost_of_byte = bytes > 0 ? cost_ms / static_cast<double>(bytes) : 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].empty()) continue;
    const BlockId id{state, static_cast<int>(i)};
    const int64_t size = blocks[i].size();
    Check(MakeRoom(size), "room that was counted can be made");
    pins[i] =
        PinEntry(id, AddEntry(id, std::move(blocks[i]), cost_of_byte * static_cast<double>(size)));
  }
  return pins;
}

int64_t BufferPool::UnpinnedBudget() const {
  const std::scoped_lock lock(mutex_);
  return stats_.budget_bytes - stats_.pinned_bytes;
}

int64_t BufferPool::EraseState(const Digest& state) {
  const std::scoped_lock lock(mutex_);
  const auto found = states_.find(state);
  if (found == states_.end()) return 0;
  std::vector<BlockId> unpinned;
  for (const auto& [index, entry] : found->second.blocks) {
    if (entry->pins == 0) {
      unpinned.push_back({state, index});
    } else {
      entry->erase_when_unpinned = true;
    }
  }
  return EraseEntries(unpinned);
}

int64_t BufferPool::Clear() {
  const std::scoped_lock lock(mutex_);
  std::vector<BlockId> unpinned;
  for (const auto& [state, entries] : states_) {
    for (const auto& [index, entry] : entries.blocks) {
      if (entry->pins == 0) unpinned.push_back({state, index});
    }
  }
  return EraseEntries(unpinned);
}

void BufferPool::SetPriority(const Digest& state, int priority) {
  const std::scoped_lock lock(mutex_);
  if (PriorityOf(state) == priority) return;
  if (priority == 0) {
    priorities_.erase(state);
  } else {
    priorities_[state] = priority;
  }
  const auto found = states_.find(state);
  if (found == states_.end()) return;
  StateEntries& entries = found->second;
  for (const auto& [index, entry] : entries.blocks) entries.policy->OnErase({state, index});
  MoveToPolicy(state, entries, PolicyOf(priority));
}

void BufferPool::SetBudget(int64_t budget_bytes) {
  const std::scoped_lock lock(mutex_);
  stats_.budget_bytes = budget_bytes;
  EvictToBudget();
}

void BufferPool::SetPolicy(EvictionPolicyFactory make_policy) {
  const std::scoped_lock lock(mutex_);
  make_policy_ = make_policy;
  policies_.clear();
  PolicyOf(0);
  for (auto& [state, entries] : states_) {
    MoveToPolicy(state, entries, PolicyOf(PriorityOf(state)));
  }
}

std::string_view BufferPool::policy_name() const {
  const std::scoped_lock lock(mutex_);
  return policies_.at(0)->name();
}

int64_t BufferPool::StateBytes(const Digest& state) const {
  const std::scoped_lock lock(mutex_);
  const auto found = states_.find(state);
  return found == states_.end() ? 0 : found->second.bytes;
}

BufferPoolStats BufferPool::stats() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

void BufferPool::Unpin(const BlockId& id) {
  const std::scoped_lock lock(mutex_);
  Entry* entry = Find(id);
  Check(entry != nullptr && entry->pins > 0, "a pinned block is in the pool");
  if (--entry->pins > 0) return;
  stats_.pinned_bytes -= entry->block.size();
  UpdateEvictable(id, *entry);
  if (entry->erase_when_unpinned) EraseEntry(id);
  // The budget may have shrunk below what was pinned.
  EvictToBudget();
}

BufferPool::Entry* BufferPool::Find(const BlockId& id) const {
  const auto state = states_.find(id.state);
  if (state == states_.end()) return nullptr;
  const auto block = state->second.blocks.find(id.index);
  return block == state->second.blocks.end() ? nullptr : block->second.get();
}

BlockPin BufferPool::PinEntry(const BlockId& id, Entry& entry) {
  if (entry.pins++ == 0) stats_.pinned_bytes += entry.block.size();
  UpdateEvictable(id, entry);
  return BlockPin(this, id, &entry.block);
}

BlockPin BufferPool::PinAgain(const BlockId& id, Entry& entry) {
  BlockPin pin = PinEntry(id, entry);
  entry.state->policy->OnAccess(id);
  return pin;
}

BufferPool::Entry& BufferPool::AddEntry(const BlockId& id, BlockBuffer&& block, double cost_ms) {
  const int64_t bytes = block.size();
  StateEntries& state = states_[id.state];
  if (state.policy == nullptr) state.policy = PolicyOf(PriorityOf(id.state));
  auto entry = std::make_unique<Entry>();
  entry->block = std::move(block);
  entry->cost_ms = cost_ms;
  entry->state = &state;
  Entry& added = *(state.blocks[id.index] = std::move(entry));
  state.bytes += bytes;
  stats_.used_bytes += bytes;
  ++stats_.blocks;
  state.policy->OnInsert(id, bytes, cost_ms);
  return added;
}

void BufferPool::UpdateEvictable(const BlockId& id, Entry& entry) {
  const bool is_evictable = entry.pins == 0;
  if (is_evictable == entry.is_evictable) return;
  entry.is_evictable = is_evictable;
  entry.state->policy->SetEvictable(id, is_evictable);
}

bool BufferPool::MakeRoom(int64_t bytes) {
  if (bytes > stats_.budget_bytes - stats_.pinned_bytes) return false;
  while (stats_.used_bytes + bytes > stats_.budget_bytes) {
    Check(EvictOne(), "an unpinned block can be evicted");
  }
  return true;
}

void BufferPool::EvictToBudget() {
  while (stats_.used_bytes > stats_.budget_bytes && EvictOne()) {
  }
}

bool BufferPool::EvictOne() {
  for (const auto& [priority, policy] : policies_) {
    const std::optional<BlockId> victim = policy->TakeVictim();
    if (!victim) continue;
    DropEntry(*victim);
    ++stats_.evictions;
    return true;
  }
  return false;
}

int64_t BufferPool::EraseEntries(const std::vector<BlockId>& ids) {
  const int64_t before = stats_.used_bytes;
  for (const BlockId& id : ids) EraseEntry(id);
  return before - stats_.used_bytes;
}

void BufferPool::EraseEntry(const BlockId& id) {
  states_.at(id.state).policy->OnErase(id);
  DropEntry(id);
}

void BufferPool::DropEntry(const BlockId& id) {
  const auto state = states_.find(id.state);
  const auto block = state->second.blocks.find(id.index);
  const int64_t bytes = block->second->block.size();
  stats_.used_bytes -= bytes;
  --stats_.blocks;
  state->second.bytes -= bytes;
  state->second.blocks.erase(block);
  if (state->second.blocks.empty()) states_.erase(state);
}

int BufferPool::PriorityOf(const Digest& state) const {
  const auto found = priorities_.find(state);
  return found == priorities_.end() ? 0 : found->second;
}

EvictionPolicy* BufferPool::PolicyOf(int priority) {
  std::unique_ptr<EvictionPolicy>& policy = policies_[priority];
  if (policy == nullptr) policy = make_policy_();
  return policy.get();
}

void BufferPool::MoveToPolicy(const Digest& state, StateEntries& entries, EvictionPolicy* policy) {
  entries.policy = policy;
  for (const auto& [index, entry] : entries.blocks) {
    const BlockId id{state, index};
    policy->OnInsert(id, entry->block.size(), entry->cost_ms);
    policy->SetEvictable(id, entry->is_evictable);
  }
}

}  // namespace promptdb
