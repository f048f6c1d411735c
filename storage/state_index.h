// What is known of every stored state without reading it: where it lies, what it was made of, what
// it is worth, and the tree that states form by their contexts. A hit asks RocksDB nothing.
//
// Not thread-safe: StateCache guards it.
#ifndef PROMPTDB_STORAGE_STATE_INDEX_H_
#define PROMPTDB_STORAGE_STATE_INDEX_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "storage/kv_format.h"
#include "storage/state_manifest.h"
#include "storage/state_policy.h"

namespace promptdb {

// What computing the state took, in milliseconds. A manifest's time may be missing, and comes from
// a file.
double CostOf(const StateManifest& manifest);

class StateIndex {
 public:
  // What reading a state takes.
  struct Outline {
    KvShape shape;
    int tokens = 0;
    int start_position = 0;
    int64_t bytes = 0;   // of all blocks
    double cost_ms = 0;  // of computing it again

    // The share of so many bytes in that.
    double CostOf(int64_t part) const {
      return cost_ms * static_cast<double>(part) / static_cast<double>(bytes);
    }
  };

  // REQUIRES: the state is not there. `now`: seconds since 1970, as everywhere here; it counts as
  // the last use, since uses of earlier processes are not known.
  void Add(const StateManifest& manifest, int64_t now);
  // The bytes of the state; nullopt if it is not there.
  std::optional<int64_t> Remove(const Digest& key);

  bool Contains(const Digest& key) const { return entries_.contains(key); }
  // nullptr for states that are not there, and for those whose time is over.
  const Outline* Find(const Digest& key, int64_t now) const;
  std::vector<Digest> Keys() const;  // in order
  // The first state behind `key`, or that one itself if `or_equal`.
  std::optional<Digest> FirstFrom(const Digest& key, bool or_equal) const;
  std::vector<Digest> ChatStates() const;
  int64_t states() const { return static_cast<int64_t>(entries_.size()); }
  int64_t bytes() const { return bytes_; }
  std::vector<Digest> StatesOf(const Digest& owner) const;
  // Of the states that are a user's. REQUIRES: the state is there, for OwnerOf().
  int64_t BytesOf(const Digest& owner) const;
  const Digest& OwnerOf(const Digest& key) const { return entries_.at(key).owner; }

  // What is done with a state, whether or not it is there.
  void SetPolicy(const Digest& key, const StatePolicy& policy);
  StatePolicy PolicyOf(const Digest& key) const;

  void Use(const Digest& key, int64_t now);
  // The state that goes first when room is needed, of those that `may_go`: of the lowest priority,
  // and of these the one that is worth least (GreedyDual-Size-Frequency, Cherkasova, 1998: uses
  // times the cost to compute, by bytes, on a clock that stands where the last victim did).
  std::optional<Digest> Victim(const std::function<bool(const Digest&)>& may_go);
  // States whose time is over.
  std::vector<Digest> Expired(int64_t now) const;

  // Of the states with this context, at this position, the one with the most first tokens in common
  // with `tokens`.
  struct PrefixMatch {
    Digest key;
    int tokens = 0;  // in common; 0: there is none
  };
  PrefixMatch LongestPrefix(const Digest& model, const Digest& context, int start_position,
                            std::span<const int32_t> tokens, int64_t now) const;

 private:
  struct Entry {
    Outline outline;
    bool of_chat = false;
    Digest owner;
    Digest model;
    Digest context;
    std::vector<int32_t> token_ids;
    int64_t uses = 0;
    int64_t last_used = 0;
    double worth = 0;
  };

  bool IsExpired(const Digest& key, const Entry& entry, int64_t now) const;
  double WorthOf(const Entry& entry) const;

  std::map<Digest, Entry> entries_;
  // By context and first token: the children of a node of the tree.
  std::multimap<std::pair<Digest, int32_t>, Digest> children_;
  std::map<Digest, StatePolicy> policies_;  // but for the default ones
  int64_t bytes_ = 0;
  std::map<Digest, int64_t> owned_bytes_;  // by owner; never 0
  double clock_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STATE_INDEX_H_
