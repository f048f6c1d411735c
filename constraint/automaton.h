// A transition network run as an automaton whose states are made when they are first reached.
//
// A state is the set of all stacks of places in rules where the text so far can stand. Stacks of a
// set that have the same place on top are kept as that place over the set of what lies below it
// (Tomita's graph-structured stack, 1985); equal sets are one. So an ambiguous grammar costs
// little, and steps and token masks are worked out once for each state.
//
// Thread-safe: every function locks.
#ifndef PROMPTDB_CONSTRAINT_AUTOMATON_H_
#define PROMPTDB_CONSTRAINT_AUTOMATON_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "constraint/transition_network.h"
#include "constraint/vocabulary_trie.h"

namespace promptdb {

// The tokens that may come next, the ones that end a generation aside.
class TokenMask {
 public:
  explicit TokenMask(int vocab_size) : words_((static_cast<size_t>(vocab_size) + 63) / 64) {}

  bool Allows(TokenId token) const {
    const auto id = static_cast<size_t>(token);
    return token >= 0 && id / 64 < words_.size() && (words_[id / 64] >> id % 64 & 1) != 0;
  }
  bool empty() const { return empty_; }
  void Allow(TokenId token) {
    words_[static_cast<size_t>(token) / 64] |= uint64_t{1} << static_cast<size_t>(token) % 64;
    empty_ = false;
  }

 private:
  std::vector<uint64_t> words_;
  bool empty_ = true;
};

class Automaton {
 public:
  static constexpr int kDead = -1;

  // A state, free of its automaton: sets of stacks, each after those that it is made of; the last
  // one is the state.
  struct Snapshot {
    struct Set {
      std::vector<std::pair<int32_t, int>> places;  // the node on top, the index of the set below
      bool has_empty = false;
    };
    std::vector<Set> sets;
  };

  Automaton(std::shared_ptr<const TransitionNetwork> network,
            std::shared_ptr<const VocabularyTrie> vocabulary);

  int start();
  // The state after more text, or kDead. This and Mask() throw Error(kResource) when the grammar is
  // too ambiguous even so.
  int Advance(int state, std::string_view bytes);
  // Whether the text may end here; whether nothing can follow.
  bool MayEnd(int state);
  bool MustEnd(int state);
  // `first`: before the first token, see VocabularyTrie.
  std::shared_ptr<const TokenMask> Mask(int state, bool first);

  // States are never forgotten. From a full automaton one moves to a new one, by a snapshot.
  bool is_full();
  Snapshot Export(int state);
  int Import(const Snapshot& snapshot);

  const VocabularyTrie& vocabulary() const { return *vocabulary_; }

 private:
  static constexpr int32_t kUnknown = -2;

  // A node on top of any stack of a set.
  struct Frame {
    int32_t node;
    int32_t below;  // set
  };
  // Every state is such a set; of its frames each then reads a byte, and an empty stack means that
  // the text may end.
  struct StackSet {
    std::vector<int32_t> frames;  // by node, each another one
    bool has_empty = false;
    int32_t row = -1;  // in steps_, once it has been a state that steps
  };
  struct FramesHash {
    size_t operator()(const std::vector<int32_t>& frames) const;
  };

  // All of these: REQUIRES: mutex_ is held.
  int32_t FrameOf(int32_t node, int32_t below);
  int32_t SetOf(std::vector<int32_t> frames, bool has_empty);
  // Of frames in any order, among which nodes may repeat.
  int32_t MergedSet(std::vector<int32_t> frames, bool has_empty, int depth);
  int32_t Union(int32_t a, int32_t b, int depth);
  // The state of all frames that those in pending_ lead to without reading; leaves pending_ empty.
  int32_t Close();
  int32_t Step(int32_t state, int byte_class);
  std::shared_ptr<const TokenMask> MakeMask(int32_t state, bool first);

  const std::shared_ptr<const TransitionNetwork> network_;  // shared with other automata
  const std::shared_ptr<const VocabularyTrie> vocabulary_;  // the model's

  std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<Frame> frames_;
  std::unordered_map<uint64_t, int32_t> frame_ids_;
  std::vector<StackSet> sets_;
  std::unordered_map<std::vector<int32_t>, int32_t, FramesHash> set_ids_[2];  // by has_empty
  std::unordered_map<uint64_t, int32_t> unions_;
  std::vector<int32_t> steps_;  // [rows, classes]: a state, kDead or kUnknown
  std::map<std::pair<int32_t, bool>, std::shared_ptr<const TokenMask>> masks_;
  int32_t start_ = kDead;
  std::vector<int32_t> pending_;  // frames
  std::vector<uint32_t> seen_;    // by frame: the last Close() that met it
  uint32_t closes_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_AUTOMATON_H_
