// A grammar as a recursive transition network over bytes (Woods, 1970): each rule is a small
// automaton without empty moves, whose edges read a byte or call another rule.
//
// Thread-safe: immutable after construction.
#ifndef PROMPTDB_CONSTRAINT_TRANSITION_NETWORK_H_
#define PROMPTDB_CONSTRAINT_TRANSITION_NETWORK_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "constraint/grammar.h"

namespace promptdb {

class TransitionNetwork {
 public:
  // Reads one byte whose class is in [first, last].
  struct ByteEdge {
    uint8_t first;
    uint8_t last;
    int32_t target;
  };
  // Goes to the start of a rule; when the rule is done, on to `target`. kTail: the caller is done
  // then, too. So a list that is written as a rule with itself at its end keeps no stack.
  struct CallEdge {
    static constexpr int32_t kTail = -1;
    int32_t start;
    int32_t target;
  };

  // Throws what CheckGrammar() throws, and Error(kTooLong) for a grammar that needs too many states
  // (mostly by its repetition bounds).
  explicit TransitionNetwork(const Grammar& grammar);

  int start() const { return start_; }
  std::span<const ByteEdge> ByteEdges(int node) const {
    return Slice(byte_edges_, nodes_[static_cast<size_t>(node)].byte_edges);
  }
  std::span<const CallEdge> CallEdges(int node) const {
    return Slice(call_edges_, nodes_[static_cast<size_t>(node)].call_edges);
  }
  // Whether the rule may be done here.
  bool IsFinal(int node) const { return nodes_[static_cast<size_t>(node)].is_final; }

  // Bytes that no edge tells apart are of one class; classes ascend with the bytes.
  int classes() const { return classes_; }
  int ClassOf(uint8_t byte) const { return class_of_[byte]; }

  int nodes() const { return static_cast<int>(nodes_.size()); }

 private:
  friend class NetworkBuilder;

  struct EdgeRange {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  struct Node {
    EdgeRange byte_edges;
    EdgeRange call_edges;
    bool is_final = false;
  };

  template <typename Edge>
  static std::span<const Edge> Slice(const std::vector<Edge>& edges, EdgeRange range) {
    return std::span<const Edge>(edges).subspan(range.begin, range.end - range.begin);
  }

  int start_ = 0;
  std::vector<Node> nodes_;
  std::vector<ByteEdge> byte_edges_;
  std::vector<CallEdge> call_edges_;
  int classes_ = 0;
  std::array<uint8_t, 256> class_of_ = {};
};

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_TRANSITION_NETWORK_H_
