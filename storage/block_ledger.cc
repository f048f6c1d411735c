#include "storage/block_ledger.h"

#include <utility>

#include "base/error.h"

namespace promptdb {

BlockLedger::BlockLedger(int64_t budget_bytes, EvictionPolicyFactory make_policy)
    : make_policy_(make_policy) {
  stats_.budget_bytes = budget_bytes;
  PolicyOf(0);
}

int64_t BlockLedger::StateBytes(const Digest& state) const {
  const auto found = states_.find(state);
  return found == states_.end() ? 0 : found->second.bytes;
}

void BlockLedger::Reserve(int64_t bytes) {
  stats_.used_bytes += bytes;
  stats_.pinned_bytes += bytes;
}

void BlockLedger::GiveBack(int64_t bytes) {
  stats_.used_bytes -= bytes;
  stats_.pinned_bytes -= bytes;
}

bool BlockLedger::Look(const BlockId& id) {
  const bool is_there = Contains(id);
  ++(is_there ? stats_.hits : stats_.misses);
  return is_there;
}

void BlockLedger::Touch(const BlockId& id) {
  const Entry& entry = At(id);
  if (!entry.is_leaving) entry.state->policy->OnAccess(id);
}

void BlockLedger::Pin(const BlockId& id) {
  Entry& entry = At(id);
  if (entry.pins++ == 0) stats_.pinned_bytes += entry.bytes;
  UpdateEvictable(id, entry);
}

bool BlockLedger::Unpin(const BlockId& id) {
  Entry& entry = At(id);
  Check(entry.pins > 0, "a block that is unpinned was pinned");
  if (--entry.pins > 0) return false;
  stats_.pinned_bytes -= entry.bytes;
  UpdateEvictable(id, entry);
  // Whoever takes a block away sees to it that it goes.
  return entry.is_erased && !entry.is_leaving;
}

void BlockLedger::AddPinned(const BlockId& id, int64_t bytes, double cost_ms) {
  StateEntries& state = states_[id.state];
  if (state.policy == nullptr) state.policy = PolicyOf(PriorityOf(id.state));
  Entry& entry = state.blocks[id.index];
  Check(entry.bytes == 0, "a block comes into a tier once");
  entry.bytes = bytes;
  entry.cost_ms = cost_ms;
  entry.pins = 1;
  entry.state = &state;
  state.bytes += bytes;
  stats_.used_bytes += bytes;
  stats_.pinned_bytes += bytes;
  ++stats_.blocks;
  Hand(id, entry);
}

void BlockLedger::Remove(const BlockId& id) {
  const auto state = states_.find(id.state);
  const auto block = state->second.blocks.find(id.index);
  const Entry& entry = block->second;
  Check(entry.pins == 0, "a pinned block stays");
  if (!entry.is_leaving) state->second.policy->OnErase(id);
  stats_.used_bytes -= entry.bytes;
  --stats_.blocks;
  state->second.bytes -= entry.bytes;
  state->second.blocks.erase(block);
  if (state->second.blocks.empty()) states_.erase(state);
}

std::vector<BlockId> BlockLedger::UnpinnedOf(const Digest& state, bool erases) {
  std::vector<BlockId> unpinned;
  const auto found = states_.find(state);
  if (found == states_.end()) return unpinned;
  for (auto& [index, entry] : found->second.blocks) {
    if (entry.pins == 0 && !entry.is_leaving) {
      unpinned.push_back({state, index});
    } else if (erases) {
      entry.is_erased = true;
    }
  }
  return unpinned;
}

std::vector<BlockId> BlockLedger::Unpinned() const {
  std::vector<BlockId> unpinned;
  for (const auto& [state, entries] : states_) {
    for (const auto& [index, entry] : entries.blocks) {
      if (entry.pins == 0 && !entry.is_leaving) unpinned.push_back({state, index});
    }
  }
  return unpinned;
}

std::optional<BlockId> BlockLedger::TakeVictim() {
  for (const auto& [priority, policy] : policies_) {
    const std::optional<BlockId> victim = policy->TakeVictim();
    if (!victim) continue;
    At(*victim).is_leaving = true;
    return victim;
  }
  return std::nullopt;
}

void BlockLedger::BeginLeaving(const BlockId& id) {
  Entry& entry = At(id);
  Check(entry.pins == 0 && !entry.is_leaving, "an unpinned block leaves once");
  entry.state->policy->OnErase(id);
  entry.is_leaving = true;
}

void BlockLedger::Stay(const BlockId& id) {
  Entry& entry = At(id);
  entry.is_leaving = false;
  Hand(id, entry);
}

void BlockLedger::SetPriority(const Digest& state, int priority) {
  if (PriorityOf(state) == priority) return;
  if (priority == 0) {
    priorities_.erase(state);
  } else {
    priorities_[state] = priority;
  }
  const auto found = states_.find(state);
  if (found == states_.end()) return;
  StateEntries& entries = found->second;
  for (const auto& [index, entry] : entries.blocks) {
    if (!entry.is_leaving) entries.policy->OnErase({state, index});
  }
  HandAll(state, entries, PolicyOf(priority));
}

void BlockLedger::SetPolicy(EvictionPolicyFactory make_policy) {
  make_policy_ = make_policy;
  policies_.clear();
  PolicyOf(0);
  for (auto& [state, entries] : states_) HandAll(state, entries, PolicyOf(PriorityOf(state)));
}

const BlockLedger::Entry* BlockLedger::Find(const BlockId& id) const {
  const auto state = states_.find(id.state);
  if (state == states_.end()) return nullptr;
  const auto block = state->second.blocks.find(id.index);
  return block == state->second.blocks.end() ? nullptr : &block->second;
}

const BlockLedger::Entry& BlockLedger::At(const BlockId& id) const {
  const Entry* entry = Find(id);
  Check(entry != nullptr, "a block that is in use is in the books");
  return *entry;
}

BlockLedger::Entry& BlockLedger::At(const BlockId& id) {
  return const_cast<Entry&>(std::as_const(*this).At(id));
}

void BlockLedger::UpdateEvictable(const BlockId& id, Entry& entry) {
  const bool is_evictable = entry.pins == 0;
  if (entry.is_leaving || is_evictable == entry.is_evictable) return;
  entry.is_evictable = is_evictable;
  entry.state->policy->SetEvictable(id, is_evictable);
}

int BlockLedger::PriorityOf(const Digest& state) const {
  const auto found = priorities_.find(state);
  return found == priorities_.end() ? 0 : found->second;
}

EvictionPolicy* BlockLedger::PolicyOf(int priority) {
  std::unique_ptr<EvictionPolicy>& policy = policies_[priority];
  if (policy == nullptr) policy = make_policy_();
  return policy.get();
}

void BlockLedger::Hand(const BlockId& id, Entry& entry) {
  entry.state->policy->OnInsert(id, entry.bytes, entry.cost_ms);
  entry.is_evictable = false;
  UpdateEvictable(id, entry);
}

void BlockLedger::HandAll(const Digest& state, StateEntries& entries, EvictionPolicy* policy) {
  entries.policy = policy;
  for (auto& [index, entry] : entries.blocks) {
    if (!entry.is_leaving) Hand({state, index}, entry);
  }
}

}  // namespace promptdb
