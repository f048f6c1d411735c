#include <unordered_map>

#include "storage/eviction_order.h"
#include "storage/eviction_policy.h"

namespace promptdb {

namespace {

class LruPolicy final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t, double) override {
    places_[id] = order_.Add(++uses_, id);
  }

  void OnAccess(const BlockId& id) override { order_.Move(places_.at(id), ++uses_); }

  void SetEvictable(const BlockId& id, bool evictable) noexcept override {
    order_.SetEvictable(places_.at(id), evictable);
  }

  void OnErase(const BlockId& id) override {
    const auto found = places_.find(id);
    order_.Erase(found->second);
    places_.erase(found);
  }

  std::optional<BlockId> TakeVictim() override {
    const std::optional<BlockId> victim = order_.First();
    if (victim) OnErase(*victim);
    return victim;
  }

  std::string_view name() const override { return "lru"; }

 private:
  using Order = EvictionOrder<uint64_t>;  // by the number of the last use

  Order order_;
  std::unordered_map<BlockId, Order::Place, BlockIdHash> places_;
  uint64_t uses_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLruPolicy() { return std::make_unique<LruPolicy>(); }

}  // namespace promptdb
