#include "storage/state_index.h"

#include <algorithm>
#include <cmath>

namespace promptdb {

double CostOf(const StateManifest& manifest) {
  return std::isfinite(manifest.encode_ms) ? std::max(manifest.encode_ms, 0.0) : 0;
}

void StateIndex::Add(const StateManifest& manifest, int64_t now) {
  const int64_t bytes = BlockGrid(manifest.shape, manifest.tokens).TotalBytes();
  Entry entry{.outline = {manifest.shape, manifest.tokens, manifest.start_position, bytes,
                          CostOf(manifest)},
              .of_chat = manifest.of_chat,
              .owner = manifest.owner,
              .model = manifest.model,
              .context = manifest.context,
              .token_ids = manifest.token_ids,
              .last_used = now};
  entry.worth = WorthOf(entry);
  if (!entry.token_ids.empty()) {
    children_.emplace(std::pair(entry.context, entry.token_ids.front()), manifest.key);
  }
  bytes_ += bytes;
  owned_bytes_[entry.owner] += bytes;
  entries_[manifest.key] = std::move(entry);
}

std::optional<int64_t> StateIndex::Remove(const Digest& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  if (!entry.token_ids.empty()) {
    const auto [begin, end] = children_.equal_range({entry.context, entry.token_ids.front()});
    children_.erase(
        std::find_if(begin, end, [&](const auto& child) { return child.second == key; }));
  }
  const int64_t bytes = entry.outline.bytes;
  bytes_ -= bytes;
  if ((owned_bytes_[entry.owner] -= bytes) == 0) owned_bytes_.erase(entry.owner);
  entries_.erase(found);
  return bytes;
}

const StateIndex::Outline* StateIndex::Find(const Digest& key, int64_t now) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || IsExpired(key, found->second, now)) return nullptr;
  return &found->second.outline;
}

std::vector<Digest> StateIndex::Keys() const {
  std::vector<Digest> keys;
  keys.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) keys.push_back(key);
  return keys;
}

std::optional<Digest> StateIndex::FirstFrom(const Digest& key, bool or_equal) const {
  const auto found = or_equal ? entries_.lower_bound(key) : entries_.upper_bound(key);
  return found == entries_.end() ? std::nullopt : std::optional(found->first);
}

std::vector<Digest> StateIndex::ChatStates() const {
  std::vector<Digest> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.of_chat) keys.push_back(key);
  }
  return keys;
}

std::vector<Digest> StateIndex::StatesOf(const Digest& owner) const {
  std::vector<Digest> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.owner == owner) keys.push_back(key);
  }
  return keys;
}

int64_t StateIndex::BytesOf(const Digest& owner) const {
  const auto found = owned_bytes_.find(owner);
  return found == owned_bytes_.end() ? 0 : found->second;
}

void StateIndex::SetPolicy(const Digest& key, const StatePolicy& policy) {
  if (policy == StatePolicy()) {
    policies_.erase(key);
  } else {
    policies_[key] = policy;
  }
}

StatePolicy StateIndex::PolicyOf(const Digest& key) const {
  const auto found = policies_.find(key);
  return found == policies_.end() ? StatePolicy() : found->second;
}

void StateIndex::Use(const Digest& key, int64_t now) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  ++entry.uses;
  entry.last_used = now;
  entry.worth = WorthOf(entry);
}

std::optional<Digest> StateIndex::Victim(const std::function<bool(const Digest&)>& may_go) {
  std::optional<Digest> victim;
  std::pair<int, double> least;
  for (const auto& [key, entry] : entries_) {
    const StatePolicy policy = PolicyOf(key);
    const std::pair<int, double> rank{policy.priority, entry.worth};
    if (policy.is_pinned || (victim && rank >= least) || !may_go(key)) continue;
    victim = key;
    least = rank;
  }
  if (victim) clock_ = std::max(clock_, least.second);
  return victim;
}

std::vector<Digest> StateIndex::Expired(int64_t now) const {
  std::vector<Digest> expired;
  for (const auto& [key, policy] : policies_) {
    const auto found = entries_.find(key);
    if (found != entries_.end() && IsExpired(key, found->second, now)) expired.push_back(key);
  }
  return expired;
}

StateIndex::PrefixMatch StateIndex::LongestPrefix(const Digest& model, const Digest& context,
                                                  int start_position,
                                                  std::span<const int32_t> tokens,
                                                  int64_t now) const {
  PrefixMatch best;
  if (tokens.empty()) return best;
  const auto [begin, end] = children_.equal_range({context, tokens.front()});
  for (auto child = begin; child != end; ++child) {
    const Entry& entry = entries_.at(child->second);
    if (entry.model != model || entry.outline.start_position != start_position ||
        IsExpired(child->second, entry, now)) {
      continue;
    }
    const auto common =
        std::mismatch(tokens.begin(), tokens.end(), entry.token_ids.begin(), entry.token_ids.end());
    const int count = static_cast<int>(common.first - tokens.begin());
    if (count > best.tokens) best = {child->second, count};
  }
  return best;
}

bool StateIndex::IsExpired(const Digest& key, const Entry& entry, int64_t now) const {
  const int64_t ttl = PolicyOf(key).ttl_seconds;
  return ttl > 0 && now - entry.last_used > ttl;
}

double StateIndex::WorthOf(const Entry& entry) const {
  // What took no time to compute is worth something too.
  const double cost = std::max(entry.outline.cost_ms, 1e-3);
  return clock_ + static_cast<double>(entry.uses + 1) * cost /
                      static_cast<double>(std::max<int64_t>(entry.outline.bytes, 1));
}

}  // namespace promptdb
