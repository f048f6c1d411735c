#include "constraint/automaton.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace promptdb {

namespace {

// Frames that one step may meet, and how deep stacks may be that are merged.
constexpr size_t kMostMet = 1 << 16;
constexpr int kDeepestMerge = 5000;
// What makes an automaton full: some tens of megabytes.
constexpr size_t kMostSets = 1 << 17;
constexpr size_t kMostSteps = 1 << 22;
constexpr size_t kMostMaskBytes = 32 << 20;

uint64_t PairKey(int32_t a, int32_t b) {
  return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b);
}

[[noreturn]] void FailAmbiguous() {
  throw Error(ErrorCode::kResource,
              "the constraint is too ambiguous: the text so far can be read in too many ways",
              "Let the alternatives of its rules begin differently.");
}

}  // namespace

Automaton::Automaton(std::shared_ptr<const TransitionNetwork> network,
                     std::shared_ptr<const VocabularyTrie> vocabulary)
    : network_(std::move(network)), vocabulary_(std::move(vocabulary)) {
  pending_.push_back(FrameOf(network_->start(), SetOf({}, true)));
  start_ = Close();
}

size_t Automaton::FramesHash::operator()(const std::vector<int32_t>& frames) const {
  uint64_t hash = frames.size();
  for (const int32_t frame : frames) {
    hash = (hash ^ static_cast<uint32_t>(frame)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  return hash;
}

int32_t Automaton::FrameOf(int32_t node, int32_t below) {
  const auto [place, is_new] =
      frame_ids_.emplace(PairKey(node, below), static_cast<int32_t>(frames_.size()));
  if (is_new) {
    frames_.push_back({node, below});
    seen_.push_back(0);
  }
  return place->second;
}

int32_t Automaton::SetOf(std::vector<int32_t> frames, bool has_empty) {
  const auto [place, is_new] =
      set_ids_[has_empty].emplace(std::move(frames), static_cast<int32_t>(sets_.size()));
  if (is_new) sets_.push_back({place->first, has_empty, -1});
  return place->second;
}

int32_t Automaton::MergedSet(std::vector<int32_t> frames, bool has_empty, int depth) {
  const auto node_of = [&](int32_t frame) { return frames_[static_cast<size_t>(frame)].node; };
  std::sort(frames.begin(), frames.end(), [&](int32_t a, int32_t b) {
    return node_of(a) != node_of(b) ? node_of(a) < node_of(b) : a < b;
  });
  size_t kept = 0;
  for (const int32_t frame : frames) {
    if (kept == 0 || node_of(frames[kept - 1]) != node_of(frame)) {
      frames[kept++] = frame;
      continue;
    }
    int32_t& same = frames[kept - 1];
    const int32_t below = Union(frames_[static_cast<size_t>(same)].below,
                                frames_[static_cast<size_t>(frame)].below, depth + 1);
    same = FrameOf(node_of(frame), below);
  }
  frames.resize(kept);
  return SetOf(std::move(frames), has_empty);
}

int32_t Automaton::Union(int32_t a, int32_t b, int depth) {
  if (a == b) return a;
  if (depth > kDeepestMerge) FailAmbiguous();
  const uint64_t key = PairKey(std::min(a, b), std::max(a, b));
  if (const auto known = unions_.find(key); known != unions_.end()) return known->second;
  const StackSet& first = sets_[static_cast<size_t>(a)];
  const StackSet& second = sets_[static_cast<size_t>(b)];
  std::vector<int32_t> frames = first.frames;
  frames.insert(frames.end(), second.frames.begin(), second.frames.end());
  const bool has_empty = first.has_empty || second.has_empty;
  const int32_t both = MergedSet(std::move(frames), has_empty, depth);
  unions_.emplace(key, both);
  return both;
}

int32_t Automaton::Close() {
  ++closes_;
  size_t met = 0;
  std::vector<int32_t> reading;
  bool may_end = false;
  while (!pending_.empty()) {
    const int32_t frame = pending_.back();
    pending_.pop_back();
    if (std::exchange(seen_[static_cast<size_t>(frame)], closes_) == closes_) continue;
    if (++met > kMostMet) {
      pending_.clear();
      FailAmbiguous();
    }
    const auto [node, below] = frames_[static_cast<size_t>(frame)];
    if (!network_->ByteEdges(node).empty()) reading.push_back(frame);
    for (const TransitionNetwork::CallEdge& edge : network_->CallEdges(node)) {
      const bool is_tail = edge.target == TransitionNetwork::CallEdge::kTail;
      pending_.push_back(
          FrameOf(edge.start, is_tail ? below : SetOf({FrameOf(edge.target, below)}, false)));
    }
    if (network_->IsFinal(node)) {
      const StackSet& rest = sets_[static_cast<size_t>(below)];
      may_end = may_end || rest.has_empty;
      pending_.insert(pending_.end(), rest.frames.begin(), rest.frames.end());
    }
  }
  if (reading.empty() && !may_end) return kDead;
  return MergedSet(std::move(reading), may_end, 0);
}

int32_t Automaton::Step(int32_t state, int byte_class) {
  const auto classes = static_cast<size_t>(network_->classes());
  int32_t& row = sets_[static_cast<size_t>(state)].row;
  if (row < 0) {
    row = static_cast<int32_t>(steps_.size() / classes);
    steps_.resize(steps_.size() + classes, kUnknown);
  }
  const size_t index = static_cast<size_t>(row) * classes + static_cast<size_t>(byte_class);
  if (steps_[index] != kUnknown) return steps_[index];
  for (const int32_t frame : sets_[static_cast<size_t>(state)].frames) {
    const auto [node, below] = frames_[static_cast<size_t>(frame)];
    for (const TransitionNetwork::ByteEdge& edge : network_->ByteEdges(node)) {
      if (edge.first <= byte_class && byte_class <= edge.last) {
        pending_.push_back(FrameOf(edge.target, below));
      }
    }
  }
  const int32_t next = Close();
  steps_[index] = next;
  return next;
}

int Automaton::start() {
  const std::lock_guard lock(mutex_);
  return start_;
}

int Automaton::Advance(int state, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  for (const char c : bytes) {
    if (state == kDead) break;
    state = Step(state, network_->ClassOf(static_cast<uint8_t>(c)));
  }
  return state;
}

bool Automaton::MayEnd(int state) {
  const std::lock_guard lock(mutex_);
  return sets_[static_cast<size_t>(state)].has_empty;
}

bool Automaton::MustEnd(int state) {
  const std::lock_guard lock(mutex_);
  return sets_[static_cast<size_t>(state)].frames.empty();
}

std::shared_ptr<const TokenMask> Automaton::Mask(int state, bool first) {
  const std::lock_guard lock(mutex_);
  const auto found = masks_.find({state, first});
  if (found != masks_.end()) return found->second;
  const auto mask_bytes = static_cast<size_t>(vocabulary_->vocab_size()) / 8 + 1;
  if (masks_.size() * mask_bytes > kMostMaskBytes) masks_.clear();
  return masks_[{state, first}] = MakeMask(state, first);
}

std::shared_ptr<const TokenMask> Automaton::MakeMask(int state, bool first) {
  auto mask = std::make_shared<TokenMask>(vocabulary_->vocab_size());
  const std::vector<VocabularyTrie::Node>& nodes = vocabulary_->nodes(first);
  std::vector<int> state_at(static_cast<size_t>(vocabulary_->max_depth()) + 1, kDead);
  state_at[0] = state;
  for (size_t i = 0; i < nodes.size();) {
    const VocabularyTrie::Node& node = nodes[i];
    const int next = Step(state_at[node.depth - 1u], network_->ClassOf(node.byte));
    if (next == kDead) {
      i = node.skip;
      continue;
    }
    state_at[node.depth] = next;
    for (TokenId token = node.token; token >= 0; token = vocabulary_->NextAlike(token, first)) {
      mask->Allow(token);
    }
    ++i;
  }
  return mask;
}

bool Automaton::is_full() {
  const std::lock_guard lock(mutex_);
  return sets_.size() > kMostSets || steps_.size() > kMostSteps;
}

Automaton::Snapshot Automaton::Export(int state) {
  const std::lock_guard lock(mutex_);
  // A set's number is above those of the sets that it is made of.
  std::map<int32_t, int> index_of = {{state, 0}};
  std::vector<int32_t> to_visit = {state};
  while (!to_visit.empty()) {
    const int32_t set = to_visit.back();
    to_visit.pop_back();
    for (const int32_t frame : sets_[static_cast<size_t>(set)].frames) {
      const int32_t below = frames_[static_cast<size_t>(frame)].below;
      if (index_of.emplace(below, 0).second) to_visit.push_back(below);
    }
  }
  Snapshot snapshot;
  for (auto& [set, index] : index_of) {
    index = static_cast<int>(snapshot.sets.size());
    Snapshot::Set& copy = snapshot.sets.emplace_back();
    copy.has_empty = sets_[static_cast<size_t>(set)].has_empty;
    for (const int32_t id : sets_[static_cast<size_t>(set)].frames) {
      const Frame& frame = frames_[static_cast<size_t>(id)];
      copy.places.emplace_back(frame.node, index_of.at(frame.below));
    }
  }
  return snapshot;
}

int Automaton::Import(const Snapshot& snapshot) {
  const std::lock_guard lock(mutex_);
  std::vector<int32_t> sets;
  for (const Snapshot::Set& copy : snapshot.sets) {
    std::vector<int32_t> frames;
    for (const auto& [node, below] : copy.places) {
      frames.push_back(FrameOf(node, sets[static_cast<size_t>(below)]));
    }
    sets.push_back(SetOf(std::move(frames), copy.has_empty));
  }
  return sets.back();
}

}  // namespace promptdb
