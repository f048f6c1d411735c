// What eviction policies are made of: blocks in the order of a key, the evictable ones among which
// are in a tree. A block that can't be evicted keeps its key and its node of the tree.
//
// Not thread-safe.
#ifndef PROMPTDB_STORAGE_EVICTION_ORDER_H_
#define PROMPTDB_STORAGE_EVICTION_ORDER_H_

#include <map>
#include <optional>
#include <utility>

#include "storage/block_id.h"

namespace promptdb {

// Key: any ordered value. REQUIRES: no two blocks have equal keys.
template <typename Key>
class EvictionOrder {
 public:
  // A block's place. Move-only.
  class Place {
   private:
    friend class EvictionOrder;
    Key key{};
    typename std::map<Key, BlockId>::node_type held;  // empty while the tree has the node
  };

  // A place that is not evictable yet.
  Place Add(const Key& key, const BlockId& id) {
    Place place;
    place.key = key;
    place.held = evictable_.extract(evictable_.emplace(key, id).first);
    return place;
  }

  void SetEvictable(Place& place, bool evictable) noexcept {
    if (evictable == place.held.empty()) return;
    if (evictable) {
      evictable_.insert(std::move(place.held));
    } else {
      place.held = evictable_.extract(place.key);
    }
  }

  void Move(Place& place, const Key& key) {
    const bool evictable = place.held.empty();
    SetEvictable(place, false);
    place.key = key;
    place.held.key() = key;
    SetEvictable(place, evictable);
  }

  // `place` is of no use afterwards.
  void Erase(Place& place) {
    SetEvictable(place, false);
    place.held = {};
  }

  // Of the evictable blocks the one with the least key.
  std::optional<BlockId> First() const {
    if (evictable_.empty()) return std::nullopt;
    return evictable_.begin()->second;
  }

 private:
  std::map<Key, BlockId> evictable_;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_EVICTION_ORDER_H_
