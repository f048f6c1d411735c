#include <algorithm>
#include <unordered_map>
#include <utility>

#include "storage/eviction_order.h"
#include "storage/eviction_policy.h"

namespace promptdb {

namespace {

// More uses than that count no more. Without a limit, what was used ten thousand times would
// outlive its last use by as many turnovers of the whole cache.
constexpr int kMostUses = 32;

class GdsfPolicy final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t bytes, double cost_ms) override {
    Block block;
    block.worth = cost_ms / static_cast<double>(bytes);
    block.uses = 1;
    block.place = order_.Add(KeyOf(block), id);
    blocks_[id] = std::move(block);
  }

  void OnAccess(const BlockId& id) override {
    Block& block = blocks_.at(id);
    block.uses = std::min(block.uses + 1, kMostUses);
    order_.Move(block.place, KeyOf(block));
  }

  void SetEvictable(const BlockId& id, bool evictable) noexcept override {
    order_.SetEvictable(blocks_.at(id).place, evictable);
  }

  void OnErase(const BlockId& id) override {
    const auto found = blocks_.find(id);
    order_.Erase(found->second.place);
    blocks_.erase(found);
  }

  std::optional<BlockId> TakeVictim() override {
    const std::optional<BlockId> victim = order_.First();
    if (!victim) return std::nullopt;
    // A block that was held back while the clock went on does not turn it back.
    clock_ = std::max(clock_, blocks_.at(*victim).priority);
    OnErase(*victim);
    return victim;
  }

  std::string_view name() const override { return "gdsf"; }

 private:
  // The priority, then the number of the last use.
  using Order = EvictionOrder<std::pair<double, uint64_t>>;

  struct Block {
    double worth = 0;  // ms a byte
    int uses = 0;
    double priority = 0;
    Order::Place place;
  };

  // Sets the priority for a use now.
  std::pair<double, uint64_t> KeyOf(Block& block) {
    block.priority = clock_ + block.uses * block.worth;
    return {block.priority, ++uses_};
  }

  Order order_;
  std::unordered_map<BlockId, Block, BlockIdHash> blocks_;
  double clock_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeGdsfPolicy() { return std::make_unique<GdsfPolicy>(); }

}  // namespace promptdb
