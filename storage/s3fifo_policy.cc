#include <algorithm>
#include <list>
#include <unordered_map>
#include <utility>

#include "storage/eviction_order.h"
#include "storage/eviction_policy.h"

namespace promptdb {

namespace {

// Of all bytes, those that the small queue may have before victims are taken from it.
constexpr int64_t kSmallPart = 10;
// What a block's uses can count for, which is also how often it can go round unused.
constexpr double kMostCredit = 3;
// A use counts for at least this, and for at most its inverse: measured times are not exact, and
// what is cheap has to have a chance too.
constexpr double kLeastWeight = 0.25;

class S3FifoPolicy final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t bytes, double cost_ms) override {
    Block block;
    block.bytes = bytes;
    block.cost_ms = cost_ms;
    block.is_main = Forget(id);
    block.place = QueueOf(block).Add(++arrivals_, id);
    (block.is_main ? main_bytes_ : small_bytes_) += bytes;
    cost_ms_ += cost_ms;
    blocks_[id] = std::move(block);
  }

  void OnAccess(const BlockId& id) override {
    Block& block = blocks_.at(id);
    block.credit = std::min(block.credit + WeightOf(block), kMostCredit);
  }

  void SetEvictable(const BlockId& id, bool evictable) noexcept override {
    Block& block = blocks_.at(id);
    QueueOf(block).SetEvictable(block.place, evictable);
  }

  void OnErase(const BlockId& id) override {
    const auto found = blocks_.find(id);
    Block& block = found->second;
    QueueOf(block).Erase(block.place);
    (block.is_main ? main_bytes_ : small_bytes_) -= block.bytes;
    cost_ms_ -= block.cost_ms;
    blocks_.erase(found);
    // Sums of fractions don't end at zero by themselves.
    if (blocks_.empty()) cost_ms_ = 0;
  }

  // Ends, since every pass takes a block out of the small queue or a credit away.
  std::optional<BlockId> TakeVictim() override {
    while (true) {
      const std::optional<BlockId> small = small_.First(), main = main_.First();
      if (!small && !main) return std::nullopt;
      const bool from_small =
          small && (!main || small_bytes_ * kSmallPart > small_bytes_ + main_bytes_);
      const BlockId id = from_small ? *small : *main;
      Block& block = blocks_.at(id);
      if (block.credit < kPass) {
        const int64_t bytes = block.bytes;
        OnErase(id);
        if (from_small) Remember(id, bytes);
        return id;
      }
      if (from_small) {
        Promote(id, block);
      } else {
        block.credit -= kPass;
        main_.Move(block.place, ++arrivals_);
      }
    }
  }

  std::string_view name() const override { return "s3fifo"; }

 private:
  using Queue = EvictionOrder<uint64_t>;  // by the number of the arrival

  static constexpr double kPass = 1;

  struct Block {
    int64_t bytes = 0;
    double cost_ms = 0;
    double credit = 0;
    bool is_main = false;
    Queue::Place place;
  };

  Queue& QueueOf(const Block& block) { return block.is_main ? main_ : small_; }

  // How much a use of the block is worth, where the average is 1.
  double WeightOf(const Block& block) const {
    const double average = cost_ms_ / static_cast<double>(small_bytes_ + main_bytes_);
    if (!(average > 0)) return 1;
    const double weight = block.cost_ms / static_cast<double>(block.bytes) / average;
    return std::clamp(weight, kLeastWeight, 1 / kLeastWeight);
  }

  // REQUIRES: the block is evictable, and in the small queue.
  void Promote(const BlockId& id, Block& block) {
    small_.Erase(block.place);
    block.place = main_.Add(++arrivals_, id);
    main_.SetEvictable(block.place, true);
    block.is_main = true;
    block.credit = 0;
    small_bytes_ -= block.bytes;
    main_bytes_ += block.bytes;
  }

  void Remember(const BlockId& id, int64_t bytes) {
    ghosts_.emplace_back(id, bytes);
    ghost_places_[id] = std::prev(ghosts_.end());
    ghost_bytes_ += bytes;
    while (ghost_bytes_ > small_bytes_ + main_bytes_) Forget(BlockId(ghosts_.front().first));
  }

  // Whether the block was remembered.
  bool Forget(const BlockId& id) {
    const auto found = ghost_places_.find(id);
    if (found == ghost_places_.end()) return false;
    ghost_bytes_ -= found->second->second;
    ghosts_.erase(found->second);
    ghost_places_.erase(found);
    return true;
  }

  Queue small_, main_;
  std::unordered_map<BlockId, Block, BlockIdHash> blocks_;
  uint64_t arrivals_ = 0;
  int64_t small_bytes_ = 0;
  int64_t main_bytes_ = 0;
  double cost_ms_ = 0;  // of all blocks

  // Blocks that went from the small queue, and their bytes; the longest gone first. No more bytes
  // than the blocks that are there have.
  std::list<std::pair<BlockId, int64_t>> ghosts_;
  std::unordered_map<BlockId, std::list<std::pair<BlockId, int64_t>>::iterator, BlockIdHash>
      ghost_places_;
  int64_t ghost_bytes_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeS3FifoPolicy() { return std::make_unique<S3FifoPolicy>(); }

}  // namespace promptdb
