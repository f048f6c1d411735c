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

BufferPool::Room::Room(Room&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), bytes_(other.bytes_) {}

BufferPool::Room::~Room() {
  if (pool_ != nullptr) pool_->GiveBack(bytes_);
}

BufferPool::BufferPool(int64_t budget_bytes, EvictionPolicyFactory make_policy)
    : ledger_(budget_bytes, make_policy) {}

BufferPool::~BufferPool() {
  Check(ledger_.stats().pinned_bytes == 0, "no pins are left when the buffer pool goes");
}

std::optional<BlockPin> BufferPool::Pin(const BlockId& id) {
  const std::scoped_lock lock(mutex_);
  if (!ledger_.Look(id)) return std::nullopt;
  ledger_.Pin(id);
  ledger_.Touch(id);
  return BlockPin(this, id, &blocks_.at(id));
}

bool BufferPool::Contains(const BlockId& id) const {
  const std::scoped_lock lock(mutex_);
  return ledger_.Contains(id);
}

std::optional<BlockPin> BufferPool::Insert(const BlockId& id, BlockBuffer&& block, double cost_ms) {
  const std::scoped_lock lock(mutex_);
  if (ledger_.Contains(id)) {
    block = BlockBuffer();
    return PinAgain(id);
  }
  if (!MakeRoom(block.size())) {
    ledger_.CountRejected();
    return std::nullopt;
  }
  return Add(id, std::move(block), cost_ms);
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
    const BlockId id{state, static_cast<int>(i)};
    if (!ledger_.Contains(id) || ledger_.pins(id) == 0) to_pin += blocks[i].size();
  }
  if (to_pin > ledger_.UnpinnedBudget()) {
    ledger_.CountRejected();
    return std::nullopt;
  }
  pins.reserve(blocks.size());
  // Those in memory are pinned first, so that making room for the others does not evict them.
  for (size_t i = 0; i < blocks.size(); ++i) {
    const BlockId id{state, static_cast<int>(i)};
    if (ledger_.Contains(id)) {
      blocks[i] = BlockBuffer();
      pins.push_back(PinAgain(id));
    } else {
      pins.push_back(BlockPin(nullptr, id, nullptr));
    }
  }
  const double cost_of_byte = bytes > 0 ? cost_ms / static_cast<double>(bytes) : 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].empty()) continue;
    const int64_t size = blocks[i].size();
    Check(MakeRoom(size), "room that was counted can be made");
    pins[i] = Add({state, static_cast<int>(i)}, std::move(blocks[i]),
                  cost_of_byte * static_cast<double>(size));
  }
  return pins;
}

std::optional<BufferPool::Room> BufferPool::Reserve(int64_t bytes) {
  const std::scoped_lock lock(mutex_);
  if (!MakeRoom(bytes)) {
    ledger_.CountRejected();
    return std::nullopt;
  }
  ledger_.Reserve(bytes);
  return Room(this, bytes);
}

void BufferPool::Insert(Room room, const BlockId& id, BlockBuffer&& block, double cost_ms) {
  Check(room.bytes_ == block.size(), "a block goes into room of its own size");
  const std::scoped_lock lock(mutex_);
  room.pool_ = nullptr;
  ledger_.GiveBack(room.bytes_);
  if (!ledger_.Contains(id)) {
    ledger_.AddPinned(id, block.size(), cost_ms);
    blocks_.emplace(id, std::move(block));
    ledger_.Unpin(id);
  }
  // The budget may have shrunk below what was reserved.
  EvictToBudget();
}

int64_t BufferPool::UnpinnedBudget() const {
  const std::scoped_lock lock(mutex_);
  return ledger_.UnpinnedBudget();
}

int64_t BufferPool::EraseState(const Digest& state) {
  const std::scoped_lock lock(mutex_);
  return Drop(ledger_.UnpinnedOf(state, /*erases=*/true));
}

int64_t BufferPool::Clear() {
  const std::scoped_lock lock(mutex_);
  return Drop(ledger_.Unpinned());
}

void BufferPool::SetPriority(const Digest& state, int priority) {
  const std::scoped_lock lock(mutex_);
  ledger_.SetPriority(state, priority);
}

void BufferPool::SetPolicy(EvictionPolicyFactory make_policy) {
  const std::scoped_lock lock(mutex_);
  ledger_.SetPolicy(make_policy);
}

std::string_view BufferPool::policy_name() const {
  const std::scoped_lock lock(mutex_);
  return ledger_.policy_name();
}

void BufferPool::SetBudget(int64_t budget_bytes) {
  const std::scoped_lock lock(mutex_);
  ledger_.SetBudget(budget_bytes);
  EvictToBudget();
}

int64_t BufferPool::StateBytes(const Digest& state) const {
  const std::scoped_lock lock(mutex_);
  return ledger_.StateBytes(state);
}

PoolStats BufferPool::stats() const {
  const std::scoped_lock lock(mutex_);
  return ledger_.stats();
}

void BufferPool::Unpin(const BlockId& id) {
  const std::scoped_lock lock(mutex_);
  if (ledger_.Unpin(id)) Drop(id);
  // The budget may have shrunk below what was pinned.
  EvictToBudget();
}

void BufferPool::GiveBack(int64_t bytes) {
  const std::scoped_lock lock(mutex_);
  ledger_.GiveBack(bytes);
  EvictToBudget();
}

BlockPin BufferPool::PinAgain(const BlockId& id) {
  ledger_.SetErased(id, false);
  ledger_.Pin(id);
  ledger_.Touch(id);
  return BlockPin(this, id, &blocks_.at(id));
}

BlockPin BufferPool::Add(const BlockId& id, BlockBuffer&& block, double cost_ms) {
  ledger_.AddPinned(id, block.size(), cost_ms);
  return BlockPin(this, id, &blocks_.emplace(id, std::move(block)).first->second);
}

bool BufferPool::MakeRoom(int64_t bytes) {
  if (bytes > ledger_.UnpinnedBudget()) return false;
  while (!ledger_.Fits(bytes)) Check(EvictOne(), "an unpinned block can be evicted");
  return true;
}

void BufferPool::EvictToBudget() {
  while (ledger_.IsOverBudget() && EvictOne()) {
  }
}

bool BufferPool::EvictOne() {
  const std::optional<BlockId> victim = ledger_.TakeVictim();
  if (!victim) return false;
  ledger_.CountEviction();
  Drop(*victim);
  return true;
}

int64_t BufferPool::Drop(const std::vector<BlockId>& ids) {
  const int64_t before = ledger_.stats().used_bytes;
  for (const BlockId& id : ids) Drop(id);
  return before - ledger_.stats().used_bytes;
}

void BufferPool::Drop(const BlockId& id) {
  ledger_.Remove(id);
  blocks_.erase(id);
}

}  // namespace promptdb
