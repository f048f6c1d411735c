#include "parser/expectation.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

namespace promptdb {

namespace {

using antlr4::atn::ATN;
using antlr4::atn::ATNState;
using antlr4::atn::RuleStopState;
using antlr4::atn::RuleTransition;
using antlr4::atn::Transition;

// Where a rule goes on when it is done, and the rule around it. Frames are shared, so that equal
// positions are equal pointers.
struct Frame {
  const ATNState* follow = nullptr;
  const Frame* parent = nullptr;
};

using Position = std::pair<const ATNState*, const Frame*>;

class NetworkWalk {
 public:
  explicit NetworkWalk(const ATN& network) : network_(network) {}

  void StartAtRule(size_t rule) { positions_ = {{network_.ruleToStartState[rule], nullptr}}; }

  void StartAfter(size_t matched, antlr4::RuleContext* context) {
    positions_ = {{network_.states[matched]->transitions[0]->target, FrameOf(context)}};
  }

  void Advance(size_t token_type) {
    std::vector<Position> next;
    Visit({}, [&](const Transition& transition, const Frame* frame) {
      if (transition.matches(token_type, antlr4::Token::MIN_USER_TOKEN_TYPE,
                             network_.maxTokenType)) {
        next.emplace_back(transition.target, frame);
      }
    });
    positions_ = std::move(next);
  }

  // Everything that can come next; the rules in `stop` are listed and not entered.
  std::vector<Expectation::Item> Next(const std::set<size_t>& stop) {
    std::vector<Expectation::Item> items;
    const auto add = [&](Expectation::Item item) {
      if (std::find(items.begin(), items.end(), item) == items.end()) items.push_back(item);
    };
    Visit(
        stop,
        [&](const Transition& transition, const Frame*) {
          for (const ptrdiff_t type : transition.label().toList()) {
            add({false, static_cast<size_t>(type)});
          }
        },
        [&](size_t rule) {
          add({true, rule});
        });
    return items;
  }

 private:
  const Frame* NewFrame(const ATNState* follow, const Frame* parent) {
    const auto key = std::make_pair(follow, parent);
    const auto found = frame_of_.find(key);
    if (found != frame_of_.end()) return found->second;
    frames_.push_back({follow, parent});
    return frame_of_[key] = &frames_.back();
  }

  const Frame* FrameOf(antlr4::RuleContext* context) {
    std::vector<const ATNState*> follows;
    for (; context->parent != nullptr;
         context = static_cast<antlr4::RuleContext*>(context->parent)) {
      const Transition* call = network_.states[context->invokingState]->transitions[0];
      follows.push_back(static_cast<const RuleTransition*>(call)->followState);
    }
    const Frame* frame = nullptr;
    for (auto follow = follows.rbegin(); follow != follows.rend(); ++follow) {
      frame = NewFrame(*follow, frame);
    }
    return frame;
  }

  // Depth first over all epsilon transitions from the positions at hand, in the grammar's order.
  template <typename OnToken, typename OnRule>
  void Visit(const std::set<size_t>& stop, OnToken on_token, OnRule on_rule) {
    std::set<Position> seen;
    std::vector<Position> stack(positions_.rbegin(), positions_.rend());
    while (!stack.empty()) {
      const auto [state, frame] = stack.back();
      stack.pop_back();
      if (!seen.insert({state, frame}).second) continue;
      if (dynamic_cast<const RuleStopState*>(state) != nullptr) {
        if (frame != nullptr) stack.emplace_back(frame->follow, frame->parent);
        continue;
      }
      // Tokens are reported at once and epsilon targets later; to keep the order, a state's tokens
      // are its only transition, which ANTLR guarantees.
      for (auto it = state->transitions.rbegin(); it != state->transitions.rend(); ++it) {
        const Transition& transition = **it;
        if (transition.getSerializationType() == Transition::RULE) {
          const auto& call = static_cast<const RuleTransition&>(transition);
          if (stop.contains(call.ruleIndex)) {
            on_rule(call.ruleIndex);
          } else {
            stack.emplace_back(call.target, NewFrame(call.followState, frame));
          }
        } else if (transition.isEpsilon()) {
          stack.emplace_back(transition.target, frame);
        } else {
          on_token(transition, frame);
        }
      }
    }
  }

  template <typename OnToken>
  void Visit(const std::set<size_t>& stop, OnToken on_token) {
    Visit(stop, on_token, [](size_t) {});
  }

  const ATN& network_;
  std::deque<Frame> frames_;
  std::map<std::pair<const ATNState*, const Frame*>, const Frame*> frame_of_;
  std::vector<Position> positions_;
};

}  // namespace

Expectation FindExpectation(const ATN& network, size_t start_rule, size_t matched,
                            antlr4::RuleContext* context, std::span<const size_t> looked_at,
                            const ExpectationRules& rules) {
  NetworkWalk walk(network);
  if (context == nullptr) {
    walk.StartAtRule(start_rule);
  } else {
    walk.StartAfter(matched, context);
  }
  for (const size_t type : looked_at) walk.Advance(type);
  Expectation expectation;
  expectation.items = walk.Next(rules.named_rules);
  for (const Expectation::Item& item : walk.Next(rules.name_rules)) {
    if (!item.is_rule) expectation.keywords.push_back(item.index);
  }
  return expectation;
}

}  // namespace promptdb
