#include "tokenizer/bpe.h"

#include <bit>
#include <limits>
#include <queue>

namespace promptdb {
namespace {

constexpr uint64_t kEmptyKey = std::numeric_limits<uint64_t>::max();  // no pair: both ids are -1

// Up to this many symbols, looking at every pair each time beats a queue.
constexpr size_t kShortRun = 24;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// The finalizer of MurmurHash3: neighbouring ids land far apart.
uint64_t Scatter(uint64_t key) {
  key ^= key >> 33;
  key *= 0xff51afd7ed558ccdULL;
  key ^= key >> 33;
  key *= 0xc4ceb9fe1a85ec53ULL;
  return key ^ key >> 33;
}

void MergeShortRun(const MergeTable& table, std::vector<Symbol>& symbols) {
  // merges[i] joins symbols i and i + 1.
  const Merge* merges[kShortRun];
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = table.Find(symbols[i].id, symbols[i + 1].id);
  while (count > 1) {
    size_t best = count;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (merges[i] != nullptr && (best == count || merges[i]->rank < merges[best]->rank)) best = i;
    }
    if (best == count) break;
    symbols[best].id = merges[best]->merged;
    symbols[best].size += symbols[best + 1].size;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i - 1] = merges[i];
    }
    --count;
    if (best > 0) merges[best - 1] = table.Find(symbols[best - 1].id, symbols[best].id);
    if (best + 1 < count) merges[best] = table.Find(symbols[best].id, symbols[best + 1].id);
  }
  symbols.resize(count);
}

struct Candidate {
  uint32_t rank;
  uint32_t left;  // index of the left symbol
  int32_t left_id, right_id, merged;

  // A priority queue gives its largest element first.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

void MergeLongRun(const MergeTable& table, std::vector<Symbol>& symbols) {
  constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  const auto count = static_cast<uint32_t>(symbols.size());
  // The symbols that are left form a doubly linked list; a merged-away symbol has size 0.
  std::vector<uint32_t> previous(count), next(count);
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? kNone : i - 1;
    next[i] = i + 1 == count ? kNone : i + 1;
  }
  std::vector<Candidate> storage;
  storage.reserve(count);
  const auto candidate = [&](uint32_t left, uint32_t right, auto&& push) {
    const Merge* const merge = table.Find(symbols[left].id, symbols[right].id);
    if (merge == nullptr) return;
    push(Candidate{merge->rank, left, symbols[left].id, symbols[right].id, merge->merged});
  };
  for (uint32_t i = 0; i + 1 < count; ++i) {
    candidate(i, i + 1, [&](const Candidate& c) { storage.push_back(c); });
  }
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(storage));
  const auto push = [&](const Candidate& c) { queue.push(c); };
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbols[top.left];
    const uint32_t right_index = next[top.left];
    // A candidate is out of date when either side has merged since: ids only ever grow by merging,
    // so equal ids mean the same two symbols.
    if (left.size == 0 || left.id != top.left_id || right_index == kNone ||
        symbols[right_index].id != top.right_id) {
      continue;
    }
    left.id = top.merged;
    left.size += symbols[right_index].size;
    symbols[right_index].size = 0;
    next[top.left] = next[right_index];
    if (next[top.left] != kNone) previous[next[top.left]] = top.left;
    if (previous[top.left] != kNone) candidate(previous[top.left], top.left, push);
    if (next[top.left] != kNone) candidate(top.left, next[top.left], push);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != kNone; i = next[i]) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

}  // namespace

MergeTable::MergeTable(size_t expected)
    : slots_(std::bit_ceil(2 * expected + 16), Slot{kEmptyKey, {}}) {}

MergeTable::Slot& MergeTable::SlotFor(uint64_t key) {
  const size_t mask = slots_.size() - 1;
  size_t i = Scatter(key) & mask;
  while (slots_[i].key != key && slots_[i].key != kEmptyKey) i = (i + 1) & mask;
  return slots_[i];
}

void MergeTable::Grow() {
  std::vector<Slot> old(slots_.size() * 2, Slot{kEmptyKey, {}});
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.key != kEmptyKey) SlotFor(slot.key) = slot;
  }
}

void MergeTable::Insert(int32_t left, int32_t right, Merge merge, bool replace) {
  if (2 * (size_ + 1) > slots_.size()) Grow();
  const uint64_t key = PairKey(left, right);
  Slot& slot = SlotFor(key);
  if (slot.key == key) {
    if (replace) slot.merge = merge;
    return;
  }
  slot = {key, merge};
  ++size_;
}

const Merge* MergeTable::Find(int32_t left, int32_t right) const {
  if (left < 0 || right < 0) return nullptr;
  const uint64_t key = PairKey(left, right);
  const size_t mask = slots_.size() - 1;
  for (size_t i = Scatter(key) & mask;; i = (i + 1) & mask) {
    if (slots_[i].key == key) return &slots_[i].merge;
    if (slots_[i].key == kEmptyKey) return nullptr;
  }
}

void MergeSymbols(const MergeTable& table, std::vector<Symbol>& symbols) {
  if (symbols.size() <= kShortRun) {
    MergeShortRun(table, symbols);
  } else {
    MergeLongRun(table, symbols);
  }
}

}  // namespace promptdb
