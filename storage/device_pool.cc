#include "storage/device_pool.h"

#include <exception>
#include <utility>

#include "base/error.h"

namespace promptdb {

namespace {

const BlockBuffer& BlockOf(const HostBlock& block) {
  const auto* pin = std::get_if<BlockPin>(&block);
  return pin != nullptr ? pin->block() : std::get<BlockBuffer>(block);
}

}  // namespace

struct DevicePin::Resident {
  enum class Phase {
    kStarting,  // the copy is about to be queued
    kOnItsWay,
    kThere,
    kFailed,
  };
  int64_t bytes = 0;
  // Set before the phase, and final from kThere and kFailed on:
  std::atomic<Phase> phase = Phase::kStarting;
  DeviceAddress address = DeviceAddress::kNone;
  std::optional<HostBlock> source;   // until the block is there
  std::shared_ptr<CopyEvent> event;  // of kOnItsWay; guarded by the pool's mutex
};

DevicePin::DevicePin(DevicePin&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_), resident_(other.resident_) {}

DevicePin& DevicePin::operator=(DevicePin&& other) noexcept {
  if (this != &other) {
    if (pool_ != nullptr) pool_->Unpin(id_, *resident_);
    pool_ = std::exchange(other.pool_, nullptr);
    id_ = other.id_;
    resident_ = other.resident_;
  }
  return *this;
}

DevicePin::~DevicePin() {
  if (pool_ != nullptr) pool_->Unpin(id_, *resident_);
}

bool DevicePin::Arrive() const { return pool_->Arrive(id_, *resident_); }

DeviceAddress DevicePin::address() const { return resident_->address; }

const std::byte* DevicePin::data() const {
  if (!Arrive()) return BlockOf(*resident_->source).data();
  const std::byte* readable = pool_->device_->ReadableOnHost(resident_->address);
  Check(readable != nullptr, "the host reads a device's memory only where it can");
  return readable;
}

int64_t DevicePin::size() const { return resident_->bytes; }

DevicePool::DevicePool(DeviceMemory* device, BufferPool* below, int64_t budget_bytes,
                       EvictionPolicyFactory make_policy)
    : device_(device), below_(below), ledger_(budget_bytes, make_policy) {}

DevicePool::~DevicePool() {
  Check(ledger_.stats().pinned_bytes == 0, "no pins are left when the device pool goes");
  Clear();
}

std::optional<DevicePin> DevicePool::Pin(const BlockId& id) {
  const std::scoped_lock lock(mutex_);
  if (!ledger_.Look(id)) return std::nullopt;
  ledger_.Pin(id);
  ledger_.Touch(id);
  return DevicePin(this, id, residents_.at(id).get());
}

bool DevicePool::Contains(const BlockId& id) const {
  const std::scoped_lock lock(mutex_);
  return ledger_.Contains(id);
}

std::optional<DevicePin> DevicePool::Insert(const BlockId& id, HostBlock&& source, double cost_ms) {
  const int64_t bytes = BlockOf(source).size();
  std::optional<HostBlock> not_needed;  // outlives the lock: unpinning takes another
  Lock lock(mutex_);
  if (!ledger_.Contains(id) && !MakeRoom(lock, bytes)) {
    ledger_.CountRejected();
    return std::nullopt;
  }
  // Another thread may have brought it while others made room.
  if (ledger_.Contains(id)) {
    not_needed = std::move(source);
    return PinAgain(id);
  }
  ledger_.AddPinned(id, bytes, cost_ms);
  auto& resident = residents_[id] = std::make_unique<Resident>();
  resident->bytes = bytes;
  resident->source = std::move(source);
  Resident& added = *resident;
  lock.unlock();
  BeginCopy(id, added);
  return DevicePin(this, id, &added);
}

std::optional<BlockBuffer> DevicePool::Read(const BlockId& id) {
  std::optional<DevicePin> pin;  // outlives the lock
  {
    const std::scoped_lock lock(mutex_);
    if (!ledger_.Contains(id)) return std::nullopt;
    ledger_.Pin(id);
    pin = DevicePin(this, id, residents_.at(id).get());
  }
  if (!pin->Arrive()) return std::nullopt;
  BlockBuffer block(pin->size() - kBlockHeaderBytes);
  bool is_copied = true;
  try {
    device_->CopyOut(block.data(), pin->address(), block.size())->Wait();
  } catch (const Error&) {
    is_copied = false;
  }
  const std::scoped_lock lock(mutex_);
  ++(is_copied ? copied_out_ : failed_copies_);
  if (!is_copied) return std::nullopt;
  return block;
}

int64_t DevicePool::UnpinnedBudget() const {
  const std::scoped_lock lock(mutex_);
  return ledger_.UnpinnedBudget();
}

int64_t DevicePool::EraseState(const Digest& state) {
  const std::scoped_lock lock(mutex_);
  const int64_t before = ledger_.StateBytes(state);
  for (const BlockId& id : ledger_.UnpinnedOf(state, /*erases=*/true)) Drop(id);
  return before - ledger_.StateBytes(state);
}

int64_t DevicePool::EvictState(const Digest& state) {
  Lock lock(mutex_);
  const int64_t before = ledger_.StateBytes(state);
  for (;;) {
    const std::vector<BlockId> unpinned = ledger_.UnpinnedOf(state, /*erases=*/false);
    if (unpinned.empty()) break;
    ledger_.BeginLeaving(unpinned.front());
    if (!Leave(lock, unpinned.front())) break;
  }
  return before - ledger_.StateBytes(state);
}

int64_t DevicePool::Clear() {
  const std::scoped_lock lock(mutex_);
  const int64_t before = ledger_.stats().used_bytes;
  for (const BlockId& id : ledger_.Unpinned()) Drop(id);
  return before - ledger_.stats().used_bytes;
}

bool DevicePool::MoveTo(DeviceMemory* device) {
  const std::scoped_lock lock(mutex_);
  for (const BlockId& id : ledger_.Unpinned()) Drop(id);
  if (!residents_.empty()) return false;
  device_ = device;
  return true;
}

void DevicePool::SetPriority(const Digest& state, int priority) {
  const std::scoped_lock lock(mutex_);
  ledger_.SetPriority(state, priority);
}

void DevicePool::SetPolicy(EvictionPolicyFactory make_policy) {
  const std::scoped_lock lock(mutex_);
  ledger_.SetPolicy(make_policy);
}

void DevicePool::SetBudget(int64_t budget_bytes) {
  Lock lock(mutex_);
  ledger_.SetBudget(budget_bytes);
  while (ledger_.IsOverBudget()) {
    if (const std::optional<BlockId> victim = ledger_.TakeVictim()) {
      // What can't be copied out is lost to memory: the budget is what was asked for.
      if (!Leave(lock, *victim)) break;
    } else if (leaving_ > 0) {
      block_left_.wait(lock);
    } else {
      return;
    }
  }
  DropToBudget();
}

int64_t DevicePool::StateBytes(const Digest& state) const {
  const std::scoped_lock lock(mutex_);
  return ledger_.StateBytes(state);
}

DevicePoolStats DevicePool::stats() const {
  const std::scoped_lock lock(mutex_);
  return {ledger_.stats(), copied_in_, copied_out_, failed_copies_};
}

bool DevicePool::Arrive(const BlockId& id, Resident& resident) {
  using Phase = Resident::Phase;
  const Phase seen = resident.phase.load(std::memory_order_acquire);
  if (seen == Phase::kThere || seen == Phase::kFailed) return seen == Phase::kThere;
  std::optional<HostBlock> source;  // outlives the lock: unpinning takes another
  Lock lock(mutex_);
  copy_began_.wait(lock, [&] { return resident.phase != Phase::kStarting; });
  const std::shared_ptr<CopyEvent> event = resident.event;
  if (event == nullptr) return resident.phase == Phase::kThere;
  lock.unlock();
  bool is_there = true;
  try {
    event->Wait();
  } catch (const Error&) {
    is_there = false;
  }
  lock.lock();
  if (resident.phase != Phase::kOnItsWay) return is_there;  // another thread was told as well
  resident.event.reset();
  if (is_there) {
    source.swap(resident.source);
    ++copied_in_;
    resident.phase.store(Phase::kThere, std::memory_order_release);
  } else {
    SetFailed(id, resident);
  }
  return is_there;
}

void DevicePool::Unpin(const BlockId& id, Resident& resident) {
  // The copy reads and writes memory that goes with the block. This also means that a block which
  // nobody has pinned has arrived.
  Arrive(id, resident);
  const std::scoped_lock lock(mutex_);
  if (ledger_.Unpin(id)) Drop(id);
  // The budget may have shrunk below what was pinned.
  DropToBudget();
}

void DevicePool::BeginCopy(const BlockId& id, Resident& resident) {
  std::shared_ptr<CopyEvent> event;
  const DeviceAddress address = device_->Allocate(resident.bytes);
  if (address != DeviceAddress::kNone) {
    try {
      event = device_->CopyIn(address, BlockOf(*resident.source).data(), resident.bytes);
    } catch (const std::exception&) {
      // The block stays on the host.
    }
  }
  {
    const std::scoped_lock lock(mutex_);
    resident.address = address;
    if (event == nullptr) {
      SetFailed(id, resident);
    } else {
      resident.event = std::move(event);
      resident.phase.store(Resident::Phase::kOnItsWay, std::memory_order_release);
    }
  }
  copy_began_.notify_all();
}

DevicePin DevicePool::PinAgain(const BlockId& id) {
  Resident& resident = *residents_.at(id);
  ledger_.SetErased(id, resident.phase == Resident::Phase::kFailed);
  ledger_.Pin(id);
  ledger_.Touch(id);
  return DevicePin(this, id, &resident);
}

void DevicePool::SetFailed(const BlockId& id, Resident& resident) {
  ++failed_copies_;
  ledger_.SetErased(id, true);
  resident.phase.store(Resident::Phase::kFailed, std::memory_order_release);
}

bool DevicePool::MakeRoom(Lock& lock, int64_t bytes) {
  for (;;) {
    if (bytes > ledger_.UnpinnedBudget()) return false;
    if (ledger_.Fits(bytes)) return true;
    if (const std::optional<BlockId> victim = ledger_.TakeVictim()) {
      if (!Leave(lock, *victim)) return false;
    } else {
      // What could leave is leaving, at the hands of other threads.
      Check(leaving_ > 0, "an unpinned block can leave");
      block_left_.wait(lock);
    }
  }
}

bool DevicePool::Leave(Lock& lock, const BlockId& id) {
  const Resident& resident = *residents_.at(id);
  const double cost_ms = ledger_.cost_ms(id);
  ++leaving_;
  lock.unlock();
  std::optional<BufferPool::Room> room =
      below_->Contains(id) ? std::optional<BufferPool::Room>() : below_->Reserve(resident.bytes);
  std::optional<BlockBuffer> block;
  bool has_failed = false;
  if (room) {
    try {
      block.emplace(resident.bytes - kBlockHeaderBytes);
      device_->CopyOut(block->data(), resident.address, resident.bytes)->Wait();
    } catch (const std::exception&) {
      has_failed = true;
    }
  }
  lock.lock();
  --leaving_;
  // Whoever erased the state meanwhile wants it nowhere.
  const bool is_erased = ledger_.is_erased(id);
  if (has_failed) {
    ++failed_copies_;
  } else if (room && !is_erased) {
    ++copied_out_;
    below_->Insert(*std::move(room), id, *std::move(block), cost_ms);
  }
  room.reset();
  if (ledger_.pins(id) > 0 || (has_failed && !is_erased)) {
    ledger_.Stay(id);  // pinned meanwhile, or not to be had elsewhere
  } else {
    ledger_.CountEviction();
    Drop(id);
  }
  block_left_.notify_all();
  return !has_failed;
}

void DevicePool::DropToBudget() {
  while (ledger_.IsOverBudget()) {
    const std::optional<BlockId> victim = ledger_.TakeVictim();
    if (!victim) return;
    ledger_.CountEviction();
    Drop(*victim);
  }
}

void DevicePool::Drop(const BlockId& id) {
  const auto found = residents_.find(id);
  const Resident& resident = *found->second;
  if (resident.address != DeviceAddress::kNone) device_->Free(resident.address, resident.bytes);
  ledger_.Remove(id);
  residents_.erase(found);
}

}  // namespace promptdb
