#include "constraint/transition_network.h"

#include <algorithm>
#include <bitset>
#include <map>
#include <utility>

#include "base/error.h"

namespace promptdb {

namespace {

// About a hundred bytes each while the network is made.
constexpr size_t kMostNodes = 1 << 18;
constexpr size_t kMostEdges = 1 << 21;

[[noreturn]] void FailTooLarge() {
  throw Error(ErrorCode::kTooLong,
              "the constraint needs more than " + std::to_string(kMostNodes) + " states",
              "Use smaller repetition bounds or lengths.");
}

}  // namespace

class NetworkBuilder {
 public:
  NetworkBuilder(const Grammar& grammar, TransitionNetwork& network) : network_(network) {
    for (const Grammar::Rule& rule : grammar.rules) rules_.push_back(&rule.expression);
    // Rules are appended while they are built: see AddRepeat.
    for (size_t rule = 0; rule < rules_.size(); ++rule) AddRule(*rules_[rule]);
    for (TransitionNetwork::CallEdge& edge : network_.call_edges_) {
      edge.start = starts_[static_cast<size_t>(edge.start)];
      const TransitionNetwork::Node& target = network_.nodes_[static_cast<size_t>(edge.target)];
      const bool goes_on = target.byte_edges.begin != target.byte_edges.end ||
                           target.call_edges.begin != target.call_edges.end;
      if (target.is_final && !goes_on) edge.target = TransitionNetwork::CallEdge::kTail;
    }
    network_.start_ = starts_[static_cast<size_t>(grammar.root)];
    ClassifyBytes();
  }

 private:
  // A point between two parts of the rule that is being built.
  struct Point {
    std::vector<TransitionNetwork::ByteEdge> byte_edges;  // whole bytes until ClassifyBytes
    std::vector<TransitionNetwork::CallEdge> call_edges;  // `start` is the rule's number so far
    std::vector<int> empty_moves;
  };

  int AddPoint() {
    if (network_.nodes_.size() + points_.size() >= kMostNodes) FailTooLarge();
    points_.emplace_back();
    return static_cast<int>(points_.size()) - 1;
  }

  Point& At(int point) { return points_[static_cast<size_t>(point)]; }
  void AddEmptyMove(int from, int to) { At(from).empty_moves.push_back(to); }

  // Each returns the point after the part.
  int Add(const Expression& expression, int from) {
    switch (expression.kind) {
      case Expression::Kind::kText:
        for (const char c : expression.text) {
          const int to = AddPoint();
          const auto byte = static_cast<uint8_t>(c);
          At(from).byte_edges.push_back({byte, byte, to});
          from = to;
        }
        return from;
      case Expression::Kind::kCharacter:
        return AddCharacter(expression.set, from);
      case Expression::Kind::kSequence:
        for (const Expression& part : expression.parts) from = Add(part, from);
        return from;
      case Expression::Kind::kAlternatives: {
        const int end = AddPoint();
        for (const Expression& part : expression.parts) {
          const int begin = AddPoint();
          AddEmptyMove(from, begin);
          AddEmptyMove(Add(part, begin), end);
        }
        return end;
      }
      case Expression::Kind::kRepeat:
        return AddRepeat(expression, from);
      case Expression::Kind::kRule: {
        const int to = AddPoint();
        At(from).call_edges.push_back({expression.rule, to});
        return to;
      }
    }
    return from;
  }

  // Spellings that end alike share their ends.
  int AddCharacter(const CharacterSet& set, int from) {
    const int end = AddPoint();
    std::map<std::vector<std::pair<uint8_t, uint8_t>>, int> points_before;
    for (const std::vector<ByteRange>& sequence : Utf8Sequences(set)) {
      int target = end;
      std::vector<std::pair<uint8_t, uint8_t>> rest;
      for (size_t i = sequence.size() - 1; i > 0; --i) {
        rest.insert(rest.begin(), {sequence[i].first, sequence[i].last});
        const auto [place, is_new] = points_before.emplace(rest, -1);
        if (is_new) {
          place->second = AddPoint();
          At(place->second).byte_edges.push_back({sequence[i].first, sequence[i].last, target});
        }
        target = place->second;
      }
      At(from).byte_edges.push_back({sequence[0].first, sequence[0].last, target});
    }
    return end;
  }

  // A part that is more than a byte becomes a rule of its own before it is repeated many times:
  // each repetition then is one point.
  int AddRepeat(const Expression& expression, int from) {
    const Expression& part = expression.parts[0];
    const bool is_unbounded = expression.most == Expression::kUnbounded;
    const int copies = is_unbounded ? expression.least + 1 : expression.most;
    const bool is_small =
        part.kind == Expression::Kind::kRule ||
        (part.kind == Expression::Kind::kText && part.text.size() <= 2) ||
        (part.kind == Expression::Kind::kCharacter && part.set.ranges().back().last < 0x80);
    Expression call = Expression::Rule(static_cast<int>(rules_.size()));
    const Expression* repeated = &part;
    if (copies > 3 && !is_small) {
      rules_.push_back(&part);
      repeated = &call;
    }
    for (int i = 0; i < expression.least; ++i) from = Add(*repeated, from);
    if (is_unbounded) {
      const int loop = AddPoint();
      AddEmptyMove(from, loop);
      AddEmptyMove(Add(*repeated, loop), loop);
      return loop;
    }
    const int end = AddPoint();
    for (int i = expression.least; i < expression.most; ++i) {
      AddEmptyMove(from, end);
      from = Add(*repeated, from);
    }
    AddEmptyMove(from, end);
    return end;
  }

  // Builds the rule with empty moves, then keeps only the points that a byte or a call leads to,
  // each with the edges of all that it reaches by empty moves.
  void AddRule(const Expression& expression) {
    points_.clear();
    const int begin = AddPoint();
    const int end = Add(expression, begin);
    const auto first = static_cast<int>(network_.nodes_.size());
    std::vector<int> node_of(points_.size(), -1);
    std::vector<int> kept;
    const auto keep = [&](int point) {
      int& node = node_of[static_cast<size_t>(point)];
      if (node < 0) {
        node = first + static_cast<int>(kept.size());
        kept.push_back(point);
      }
      return node;
    };
    keep(begin);
    std::vector<int> seen(points_.size(), -1);
    std::vector<int> to_visit;
    for (size_t i = 0; i < kept.size(); ++i) {
      TransitionNetwork::Node node;
      node.byte_edges.begin = static_cast<uint32_t>(network_.byte_edges_.size());
      node.call_edges.begin = static_cast<uint32_t>(network_.call_edges_.size());
      to_visit.assign(1, kept[i]);
      while (!to_visit.empty()) {
        const int at = to_visit.back();
        to_visit.pop_back();
        if (std::exchange(seen[static_cast<size_t>(at)], static_cast<int>(i)) ==
            static_cast<int>(i)) {
          continue;
        }
        if (at == end) node.is_final = true;
        const Point& point = At(at);
        for (const auto& edge : point.byte_edges) {
          network_.byte_edges_.push_back({edge.first, edge.last, keep(edge.target)});
        }
        for (const auto& edge : point.call_edges) {
          network_.call_edges_.push_back({edge.start, keep(edge.target)});
        }
        to_visit.insert(to_visit.end(), point.empty_moves.begin(), point.empty_moves.end());
      }
      node.byte_edges.end = static_cast<uint32_t>(network_.byte_edges_.size());
      node.call_edges.end = static_cast<uint32_t>(network_.call_edges_.size());
      if (node.byte_edges.end + node.call_edges.end > kMostEdges) FailTooLarge();
      network_.nodes_.push_back(node);
    }
    starts_.push_back(first);
  }

  void ClassifyBytes() {
    std::bitset<257> begins_class;
    begins_class[0] = true;
    for (const TransitionNetwork::ByteEdge& edge : network_.byte_edges_) {
      begins_class[edge.first] = true;
      begins_class[static_cast<size_t>(edge.last) + 1] = true;
    }
    int current = -1;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (begins_class[byte]) ++current;
      network_.class_of_[byte] = static_cast<uint8_t>(current);
    }
    network_.classes_ = current + 1;
    for (TransitionNetwork::ByteEdge& edge : network_.byte_edges_) {
      edge.first = network_.class_of_[edge.first];
      edge.last = network_.class_of_[edge.last];
    }
  }

  TransitionNetwork& network_;
  std::vector<const Expression*> rules_;  // the grammar's, then those of repeated parts
  std::vector<int> starts_;               // by rule
  std::vector<Point> points_;             // of the rule that is being built
};

TransitionNetwork::TransitionNetwork(const Grammar& grammar) {
  CheckGrammar(grammar);
  NetworkBuilder(grammar, *this);
}

}  // namespace promptdb
