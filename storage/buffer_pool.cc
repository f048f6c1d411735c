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

BufferPool::BufferPool(int64_t budget_bytes, std::unique_ptr<EvictionPolicy> policy)
    : policy_(std::move(policy)) {
  stats_.budget_bytes = budget_bytes;
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
  return PinEntry(id, *entry);
}

bool BufferPool::Contains(const BlockId& id) const {
  const std::scoped_lock lock(mutex_);
  return Find(id) != nullptr;
}

std::optional<BlockPin> BufferPool::Insert(const BlockId& id, BlockBuffer&& block) {
  const std::scoped_lock lock(mutex_);
  if (Entry* entry = Find(id); entry != nullptr) {
    entry->erase_when_unpinned = false;
    block = BlockBuffer();
    return PinEntry(id, *entry);
  }
  if (!MakeRoom(block.size())) {
    ++stats_.rejected;
    return std::nullopt;
  }
  return PinEntry(id, AddEntry(id, std::move(block)));
}

std::optional<std::vector<BlockPin>> BufferPool::InsertState(const Digest& state,
                                                             std::vector<BlockBuffer>& blocks) {
  // Declared before the lock, so that pins given up on an exception take it after it is free.
  std::vector<BlockPin> pins;
  const std::scoped_lock lock(mutex_);
  int64_t to_pin = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
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
      pins.push_back(PinEntry(id, *entry));
    } else {
      pins.push_back(BlockPin(nullptr, id, nullptr));
    }
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].empty()) continue;
    const BlockId id{state, static_cast<int>(i)};
    Check(MakeRoom(blocks[i].size()), "room that was counted can be made");
    pins[i] = PinEntry(id, AddEntry(id, std::move(blocks[i])));
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
  const int64_t before = stats_.used_bytes;
  for (const BlockId& id : unpinned) EraseEntry(id);
  return before - stats_.used_bytes;
}

int64_t BufferPool::Clear() {
  const std::scoped_lock lock(mutex_);
  std::vector<BlockId> unpinned;
  for (const auto& [state, entries] : states_) {
    for (const auto& [index, entry] : entries.blocks) {
      if (entry->pins == 0) unpinned.push_back({state, index});
    }
  }
  const int64_t before = stats_.used_bytes;
  for (const BlockId& id : unpinned) EraseEntry(id);
  return before - stats_.used_bytes;
}

void BufferPool::SetBudget(int64_t budget_bytes) {
  const std::scoped_lock lock(mutex_);
  stats_.budget_bytes = budget_bytes;
  while (stats_.used_bytes > stats_.budget_bytes && EvictOne()) {
  }
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
  if (entry->erase_when_unpinned) EraseEntry(id);
  // The budget may have shrunk below what was pinned.
  while (stats_.used_bytes > stats_.budget_bytes && EvictOne()) {
  }
}

BufferPool::Entry* BufferPool::Find(const BlockId& id) const {
  const auto state = states_.find(id.state);
  if (state == states_.end()) return nullptr;
  const auto block = state->second.blocks.find(id.index);
  return block == state->second.blocks.end() ? nullptr : block->second.get();
}

BlockPin BufferPool::PinEntry(const BlockId& id, Entry& entry) {
  if (entry.pins++ == 0) stats_.pinned_bytes += entry.block.size();
  policy_->OnAccess(id);
  return BlockPin(this, id, &entry.block);
}

BufferPool::Entry& BufferPool::AddEntry(const BlockId& id, BlockBuffer&& block) {
  auto entry = std::make_unique<Entry>();
  entry->block = std::move(block);
  const int64_t bytes = entry->block.size();
  StateEntries& state = states_[id.state];
  Entry& added = *(state.blocks[id.index] = std::move(entry));
  state.bytes += bytes;
  stats_.used_bytes += bytes;
  ++stats_.blocks;
  policy_->OnInsert(id, bytes);
  return added;
}

bool BufferPool::MakeRoom(int64_t bytes) {
  if (bytes > stats_.budget_bytes - stats_.pinned_bytes) return false;
  while (stats_.used_bytes + bytes > stats_.budget_bytes) {
    Check(EvictOne(), "an unpinned block can be evicted");
  }
  return true;
}

bool BufferPool::EvictOne() {
  const std::optional<BlockId> victim =
      policy_->Victim([this](const BlockId& id) { return Find(id)->pins == 0; });
  if (!victim) return false;
  EraseEntry(*victim);
  ++stats_.evictions;
  return true;
}

void BufferPool::EraseEntry(const BlockId& id) {
  const auto state = states_.find(id.state);
  const auto block = state->second.blocks.find(id.index);
  const int64_t bytes = block->second->block.size();
  stats_.used_bytes -= bytes;
  --stats_.blocks;
  state->second.bytes -= bytes;
  state->second.blocks.erase(block);
  if (state->second.blocks.empty()) states_.erase(state);
  policy_->OnErase(id);
}

}  // namespace promptdb
