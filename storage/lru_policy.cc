#include <list>
#include <unordered_map>

#include "storage/buffer_pool.h"

namespace promptdb {

namespace {

class LruPolicy final : public EvictionPolicy {
 public:
  void OnInsert(const BlockId& id, int64_t) override {
    order_.push_back(id);
    places_[id] = std::prev(order_.end());
  }

  void OnAccess(const BlockId& id) override { order_.splice(order_.end(), order_, places_.at(id)); }

  void OnErase(const BlockId& id) override {
    const auto found = places_.find(id);
    order_.erase(found->second);
    places_.erase(found);
  }

  std::optional<BlockId> Victim(const std::function<bool(const BlockId&)>& evictable) override {
    for (const BlockId& id : order_) {
      if (evictable(id)) return id;
    }
    return std::nullopt;
  }

  std::string_view name() const override { return "lru"; }

 private:
  std::list<BlockId> order_;  // least recently used first
  std::unordered_map<BlockId, std::list<BlockId>::iterator, BlockIdHash> places_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLruPolicy() { return std::make_unique<LruPolicy>(); }

}  // namespace promptdb
