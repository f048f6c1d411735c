#include "storage/state_cache.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <exception>
#include <thread>
#include <utility>

#include "base/error.h"
#include "storage/kv_quantization.h"

namespace promptdb {

namespace {

// Smaller states go through the write-ahead log: that costs them a second write, but no file and no
// fsync of their own.
constexpr int64_t kBulkLoadFromBytes = int64_t{1} << 20;

// What one thread reads, checks and copies in a millisecond: less is not worth starting another.
constexpr int64_t kBytesPerReader = int64_t{4} << 20;
constexpr int64_t kMostReaders = 8;

constexpr size_t kDigestBytes = 16;

}  // namespace

std::string_view TierName(Tier tier) {
  switch (tier) {
    case Tier::kGpu:
      return "gpu";
    case Tier::kCpu:
      return "cpu";
    case Tier::kDisk:
      return "disk";
    case Tier::kMiss:
      return "miss";
  }
  return "miss";
}

// Keeps other threads from changing the same state on disk.
class StateCache::ChangeGuard {
 public:
  ChangeGuard(StateCache* cache, const Digest& key) : cache_(cache), key_(key) {
    std::unique_lock lock(cache_->mutex_);
    cache_->change_ended_.wait(lock, [&] { return !cache_->changing_.contains(key_); });
    cache_->changing_.insert(key_);
  }
  ~ChangeGuard() {
    {
      const std::scoped_lock lock(cache_->mutex_);
      cache_->changing_.erase(key_);
    }
    cache_->change_ended_.notify_all();
  }
  ChangeGuard(const ChangeGuard&) = delete;
  ChangeGuard& operator=(const ChangeGuard&) = delete;

 private:
  StateCache* cache_;
  Digest key_;
};

// Gives back what ReserveDisk() has set aside, once the state is in the index, or failed to be.
class StateCache::DiskReservation {
 public:
  DiskReservation(StateCache* cache, int64_t bytes, const Digest& owner)
      : cache_(cache), bytes_(bytes), owner_(owner) {}
  ~DiskReservation() {
    const std::scoped_lock lock(cache_->mutex_);
    cache_->reserved_disk_bytes_ -= bytes_;
    auto& owned = cache_->reserved_owned_bytes_;
    if ((owned[owner_] -= bytes_) == 0) owned.erase(owner_);
  }
  DiskReservation(const DiskReservation&) = delete;
  DiskReservation& operator=(const DiskReservation&) = delete;

 private:
  StateCache* cache_;
  int64_t bytes_;
  Digest owner_;
};

StateCache::StateCache(Rocks* rocks, BufferPool* pool, DevicePool* device_pool)
    : rocks_(rocks), stored_(rocks), pool_(pool), device_pool_(device_pool) {
  LoadIndex();
  RemoveOrphanBlocks();
}

void StateCache::LoadIndex() {
  std::vector<std::string> unreadable;
  const auto note = [&](std::string_view key, const std::string& cause) {
    unreadable.emplace_back(key);
    const std::string name =
        key.size() == kDigestBytes ? Digest::FromBytes(key).ToHex() : std::string("of an odd key");
    damage_at_opening_.push_back({name, cause});
  };
  rocks_->Scan(Family::kStates, "", [&](std::string_view key, std::string_view row) {
    try {
      index_.Add(DecodeManifestAt(key, row), std::time(nullptr));
    } catch (const Error& error) {
      note(key, error.message());
    }
    return true;
  });
  if (unreadable.empty()) return;
  Rocks::Batch batch;
  for (const std::string& key : unreadable) batch.Delete(Family::kStates, key);
  rocks_->Write(std::move(batch));
  stats_.corrupt += static_cast<int64_t>(unreadable.size());
}

void StateCache::RemoveOrphanBlocks() {
  std::string from;
  while (true) {
    std::optional<std::string> key;
    try {
      key = rocks_->FirstKeyFrom(Family::kBlocks, from);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
      // States can be computed again, so damage among them must not keep the database shut: the
      // search goes on behind the next state that is known.
      const std::optional<Digest> next = NextState(from);
      if (!next) break;
      from = EndOfBlocks(*next);
      continue;
    }
    if (!key) break;
    if (key->size() != kDigestBytes + sizeof(uint32_t)) {
      // No key that this release writes; EndOfBlocks can't be trusted to lie behind it.
      const std::string end = *key + '\0';
      rocks_->EraseRange(Family::kBlocks, *key, end);
      from = end;
      continue;
    }
    const Digest state = Digest::FromBytes(std::string_view(*key).substr(0, kDigestBytes));
    const std::string end = EndOfBlocks(state);
    if (!index_.Contains(state)) rocks_->EraseRange(Family::kBlocks, state.ToBytes(), end);
    from = end;
  }
}

std::optional<Digest> StateCache::NextState(const std::string& from) const {
  std::string start = from.substr(0, kDigestBytes);
  start.resize(kDigestBytes, '\0');
  // Longer than a state's key, it lies behind all blocks of that state.
  return index_.FirstFrom(Digest::FromBytes(start), /*or_equal=*/from.size() <= kDigestBytes);
}

std::optional<StateIndex::Outline> StateCache::Find(const Digest& key) const {
  const std::scoped_lock lock(mutex_);
  const StateIndex::Outline* found = index_.Find(key, std::time(nullptr));
  return found == nullptr ? std::nullopt : std::optional(*found);
}

std::optional<StateIndex::Outline> StateCache::FindOrMiss(const Digest& key) {
  std::optional<StateIndex::Outline> found = Find(key);
  if (found) return found;
  const std::scoped_lock lock(mutex_);
  ++stats_.misses;
  return std::nullopt;
}

bool StateCache::IsThere(const Digest& key) const {
  const std::scoped_lock lock(mutex_);
  return index_.Contains(key);
}

StateIndex::PrefixMatch StateCache::LongestPrefix(const Digest& model, const Digest& context,
                                                  int start_position,
                                                  std::span<const int32_t> tokens) const {
  const std::scoped_lock lock(mutex_);
  return index_.LongestPrefix(model, context, start_position, tokens, std::time(nullptr));
}

bool StateCache::IsBeyond(const Digest& owner, int64_t bytes) const {
  const auto budget = owner_budgets_.find(owner);
  if (budget == owner_budgets_.end()) return false;
  const auto reserved = reserved_owned_bytes_.find(owner);
  const int64_t set_aside = reserved == reserved_owned_bytes_.end() ? 0 : reserved->second;
  return index_.BytesOf(owner) + set_aside + bytes > budget->second;
}

bool StateCache::ReserveDisk(int64_t bytes, const Digest& owner) {
  for (;;) {
    std::optional<Digest> victim;
    {
      const std::scoped_lock lock(mutex_);
      const int64_t budget = stats_.disk_budget;
      const bool is_beyond_own = IsBeyond(owner, bytes);
      const bool fits = budget == 0 || index_.bytes() + reserved_disk_bytes_ + bytes <= budget;
      if (fits && !is_beyond_own) {
        reserved_disk_bytes_ += bytes;
        if (bytes > 0) reserved_owned_bytes_[owner] += bytes;
        return true;
      }
      // Nobody's states make room for those of a user who has used up the quota.
      const int64_t most = is_beyond_own ? owner_budgets_.at(owner) : budget;
      if (bytes <= most) {
        victim = index_.Victim([&](const Digest& key) {
          return !changing_.contains(key) && (!is_beyond_own || index_.OwnerOf(key) == owner);
        });
      }
      if (!victim) return false;
    }
    if (EraseIfThere(*victim)) {
      const std::scoped_lock lock(mutex_);
      ++stats_.evicted;
    }
  }
}

void StateCache::EraseExpired() {
  std::vector<Digest> expired;
  {
    const std::scoped_lock lock(mutex_);
    expired = index_.Expired(std::time(nullptr));
  }
  for (const Digest& key : expired) {
    if (!EraseIfThere(key)) continue;
    const std::scoped_lock lock(mutex_);
    ++stats_.expired;
  }
}

int64_t StateCache::EvictFromMemory(const Digest& key) { return pool_->EraseState(key); }

StateCache::Computing StateCache::BeginComputing(std::vector<Digest> keys,
                                                 const std::function<bool()>& is_canceled) {
  using namespace std::chrono_literals;
  std::unique_lock lock(mutex_);
  const auto is_free = [&] {
    return std::none_of(keys.begin(), keys.end(),
                        [&](const Digest& key) { return computing_.contains(key); });
  };
  while (!computing_ended_.wait_for(lock, 50ms, is_free)) {
    if (is_canceled()) throw Error(ErrorCode::kCanceled, "the computation was canceled");
  }
  computing_.insert(keys.begin(), keys.end());
  return {this, std::move(keys)};
}

StateCache::Computing::Computing(Computing&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), keys_(std::move(other.keys_)) {}

StateCache::Computing::~Computing() {
  if (cache_ == nullptr) return;
  {
    const std::scoped_lock lock(cache_->mutex_);
    for (const Digest& key : keys_) cache_->computing_.erase(key);
  }
  cache_->computing_ended_.notify_all();
}

std::optional<StateCache::Acquired> StateCache::Acquire(const Digest& key, bool* no_room,
                                                        Tier home) {
  *no_room = false;
  const std::optional<StateIndex::Outline> entry = FindOrMiss(key);
  if (!entry) return std::nullopt;
  const bool is_for_device = home == Tier::kGpu && HasDevice();
  if (is_for_device) {
    bool no_device_room = false;
    auto acquired = AcquireOnDevice(key, *entry, &no_device_room);
    if (acquired || !no_device_room) return acquired;
  }
  auto acquired = AcquireInCpu(key, *entry, no_room);
  if (acquired) acquired->lacked_device_room = is_for_device;
  return acquired;
}

std::optional<StateCache::Acquired> StateCache::AcquireInCpu(const Digest& key,
                                                             const StateIndex::Outline& entry,
                                                             bool* no_room) {
  const BlockGrid grid(entry.shape, entry.tokens);
  std::vector<std::optional<BlockPin>> found(static_cast<size_t>(grid.blocks()));
  int64_t missing_bytes = 0;
  for (int i = 0; i < grid.blocks(); ++i) {
    found[static_cast<size_t>(i)] = pool_->Pin({key, i});
    if (!found[static_cast<size_t>(i)]) {
      missing_bytes += grid.Extent(i).payload_bytes + kBlockHeaderBytes;
    }
  }
  // Reading what then can't be kept would evict other states for nothing.
  if (missing_bytes > pool_->UnpinnedBudget()) {
    *no_room = true;
    return std::nullopt;
  }
  std::vector<BlockPin> pins;
  pins.reserve(found.size());
  std::atomic<int64_t> disk_bytes = 0;
  try {
    if (missing_bytes > 0) {
      ReadBlocks(grid, missing_bytes, [&](int i) {
        std::optional<BlockPin>& pin = found[static_cast<size_t>(i)];
        if (pin) return true;
        std::optional<BlockBuffer> block;
        if (device_pool_ != nullptr) block = device_pool_->Read({key, i});
        if (!block) {
          block = stored_.Read(key, entry.shape, grid, i);
          disk_bytes += block->size();
        }
        const double cost_ms = entry.CostOf(block->size());
        pin = pool_->Insert({key, i}, *std::move(block), cost_ms);
        return pin.has_value();
      });
    }
    for (std::optional<BlockPin>& pin : found) {
      if (!pin) {
        *no_room = true;
        return std::nullopt;
      }
      pins.push_back(std::move(*pin));
    }
  } catch (const Error& error) {
    // A disk that can't be read is no better than one that returns something else.
    if (!IsDamage(error)) throw;
    pins.clear();
    found.clear();
    DropCorrupt(key);
    return std::nullopt;
  }
  Use(key, grid, Tier::kCpu);
  const std::scoped_lock lock(mutex_);
  ++(disk_bytes > 0 ? stats_.disk_hits : stats_.cpu_hits);
  stats_.read_bytes += disk_bytes;
  const Tier tier = disk_bytes > 0 ? Tier::kDisk : missing_bytes > 0 ? Tier::kGpu : Tier::kCpu;
  return Acquired{KvSegment(entry.shape, entry.start_position, entry.tokens, std::move(pins)), tier,
                  disk_bytes};
}

std::optional<StateCache::Acquired> StateCache::Read(const Digest& key) {
  const std::optional<StateIndex::Outline> entry = FindOrMiss(key);
  if (!entry) return std::nullopt;
  const BlockGrid grid(entry->shape, entry->tokens);
  std::vector<BlockBuffer> blocks(static_cast<size_t>(grid.blocks()));
  try {
    ReadBlocks(grid, entry->bytes, [&](int i) {
      blocks[static_cast<size_t>(i)] = stored_.Read(key, entry->shape, grid, i);
      return true;
    });
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    DropCorrupt(key);
    return std::nullopt;
  }
  const std::scoped_lock lock(mutex_);
  index_.Use(key, std::time(nullptr));
  ++stats_.disk_hits;
  stats_.read_bytes += entry->bytes;
  return Acquired{KvSegment(entry->shape, entry->start_position, entry->tokens, std::move(blocks)),
                  Tier::kDisk, entry->bytes};
}

void StateCache::ReadBlocks(const BlockGrid& grid, int64_t bytes,
                            const std::function<bool(int)>& read) {
  std::atomic<int> next = 0;
  std::atomic<bool> ends = false;  // an error, or no room: the rest is not worth reading
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    for (int i = next++; i < grid.blocks() && !ends; i = next++) {
      try {
        if (!read(i)) ends = true;
      } catch (...) {
        const std::scoped_lock lock(error_mutex);
        error = std::current_exception();
        ends = true;
      }
    }
  };
  const int64_t readers =
      std::min({bytes / kBytesPerReader, kMostReaders,
                static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()))});
  {
    std::vector<std::jthread> others;
    for (int64_t i = 1; i < readers; ++i) others.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
}

void StateCache::DropCorrupt(const Digest& key) {
  // Where another thread erased the state meanwhile, that is why blocks were missing.
  const bool was_there = EraseIfThere(key);
  const std::scoped_lock lock(mutex_);
  ++stats_.misses;
  if (was_there) ++stats_.corrupt;
}

KvSegment StateCache::Publish(const StateManifest& manifest, KvSegment segment, Tier home) {
  if (IsQuantized(manifest.shape.dtype) && !IsQuantized(segment.shape().dtype)) {
    segment = Quantize(segment, manifest.shape.dtype);
  }
  Check(segment.shape() == manifest.shape && segment.tokens() == manifest.tokens &&
            segment.start_position() - segment.moved_by() == manifest.start_position,
        "a manifest describes the segment that is published");
  const BlockGrid grid(manifest.shape, manifest.tokens);
  std::vector<BlockBuffer> blocks = segment.TakeBlocks();
  for (int i = 0; i < grid.blocks(); ++i) {
    SealBlock(manifest.key, manifest.shape, grid.Extent(i), blocks[static_cast<size_t>(i)]);
  }
  EraseExpired();
  const int64_t bytes = IsThere(manifest.key) ? 0 : grid.TotalBytes();
  if (!ReserveDisk(bytes, manifest.owner)) {
    const std::scoped_lock lock(mutex_);
    ++stats_.rejected;
    return KvSegment(manifest.shape, manifest.start_position, manifest.tokens, std::move(blocks));
  }
  {
    const DiskReservation reserved(this, bytes, manifest.owner);
    const ChangeGuard guard(this, manifest.key);
    WriteState(manifest, grid, blocks);
  }
  if (auto pins = pool_->InsertState(manifest.key, blocks, CostOf(manifest))) {
    if (home == Tier::kGpu && HasDevice()) {
      if (auto device_pins = Promote(manifest.key, grid, CostOf(manifest))) {
        Use(manifest.key, grid, Tier::kGpu);
        return KvSegment(manifest.shape, manifest.start_position, manifest.tokens,
                         *std::move(device_pins));
      }
    }
    Use(manifest.key, grid, Tier::kCpu);
    return KvSegment(manifest.shape, manifest.start_position, manifest.tokens, std::move(*pins));
  }
  return KvSegment(manifest.shape, manifest.start_position, manifest.tokens, std::move(blocks));
}

void StateCache::WriteState(const StateManifest& manifest, const BlockGrid& grid,
                            const std::vector<BlockBuffer>& blocks) {
  const bool exists = IsThere(manifest.key);
  const std::string row = EncodeManifest(manifest);
  Rocks::Batch batch;
  batch.Put(Family::kLabels, manifest.label, row);
  if (!exists) {
    std::vector<Rocks::KeyValue> rows;
    rows.reserve(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i) {
      rows.emplace_back(BlockKey(manifest.key, static_cast<int>(i)),
                        std::string_view(reinterpret_cast<const char*>(blocks[i].data()),
                                         static_cast<size_t>(blocks[i].size())));
    }
    // The state exists once its manifest does, so the blocks must be durable before that.
    if (grid.TotalBytes() >= kBulkLoadFromBytes) {
      rocks_->BulkLoad(Family::kBlocks, rows);
    } else {
      for (const auto& [key, value] : rows) batch.Put(Family::kBlocks, key, value);
    }
    batch.Put(Family::kStates, manifest.key.ToBytes(), row);
  }
  rocks_->Write(std::move(batch));
  if (exists) return;
  const std::scoped_lock lock(mutex_);
  index_.Add(manifest, std::time(nullptr));
  stats_.written_bytes += grid.TotalBytes();
  ++stats_.writes;
}

std::optional<StateManifest> StateCache::Manifest(const Digest& key) const {
  if (!Find(key)) return std::nullopt;
  const auto row = rocks_->Get(Family::kStates, key.ToBytes());
  if (!row) return std::nullopt;
  return DecodeManifestAt(key.ToBytes(), *row);
}

std::vector<StateManifest> StateCache::List() const {
  std::vector<StateManifest> manifests;
  rocks_->Scan(Family::kStates, "", [&](std::string_view key, std::string_view row) {
    manifests.push_back(DecodeManifestAt(key, row));
    return true;
  });
  return manifests;
}

std::optional<StateManifest> StateCache::LastUnderLabel(const std::string& label) const {
  const auto row = rocks_->Get(Family::kLabels, label);
  if (!row) return std::nullopt;
  try {
    return DecodeManifest(*row);
  } catch (const Error&) {
    // It only explains misses to people; without it they get a plainer explanation.
    return std::nullopt;
  }
}

void StateCache::Relabel(const std::string& old_prefix, const std::string& new_prefix) {
  const auto renamed = [&](std::string_view label) {
    return new_prefix + std::string(label.substr(old_prefix.size()));
  };
  for (StateManifest& manifest : List()) {
    if (!manifest.label.starts_with(old_prefix)) continue;
    const ChangeGuard guard(this, manifest.key);
    if (!Find(manifest.key)) continue;  // erased meanwhile
    manifest.label = renamed(manifest.label);
    Rocks::Batch batch;
    batch.Put(Family::kStates, manifest.key.ToBytes(), EncodeManifest(manifest));
    rocks_->Write(std::move(batch));
  }
  Rocks::Batch batch;
  rocks_->Scan(Family::kLabels, old_prefix, [&](std::string_view label, std::string_view row) {
    batch.Put(Family::kLabels, renamed(label), row);
    batch.Delete(Family::kLabels, label);
    return true;
  });
  rocks_->Write(std::move(batch));
}

std::vector<Digest> StateCache::ChatStates() const {
  const std::scoped_lock lock(mutex_);
  return index_.ChatStates();
}

void StateCache::ForgetLabel(const std::string& label) {
  Rocks::Batch batch;
  batch.Delete(Family::kLabels, label);
  rocks_->Write(std::move(batch));
}

void StateCache::Erase(const Digest& key) { EraseIfThere(key); }

bool StateCache::EraseIfThere(const Digest& key) {
  std::optional<Held> released;
  const ChangeGuard guard(this, key);
  {
    const std::scoped_lock lock(mutex_);
    if (!index_.Remove(key)) return false;
    if (const auto held = held_.find(key); held != held_.end()) released = Release(held);
  }
  // Whoever stops in between leaves blocks without a manifest, which the next opening removes.
  Rocks::Batch batch;
  batch.Delete(Family::kStates, key.ToBytes());
  rocks_->Write(std::move(batch));
  rocks_->EraseRange(Family::kBlocks, key.ToBytes(), EndOfBlocks(key));
  stored_.Forget(key);
  pool_->EraseState(key);
  if (device_pool_ != nullptr) device_pool_->EraseState(key);
  return true;
}

StateCacheStats StateCache::stats() const {
  const std::scoped_lock lock(mutex_);
  StateCacheStats stats = stats_;
  stats.states = index_.states();
  stats.disk_bytes = index_.bytes();
  return stats;
}

}  // namespace promptdb
