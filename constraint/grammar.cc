#include "constraint/grammar.h"

#include <algorithm>

#include "base/error.h"

namespace promptdb {

Expression Expression::Text(std::string_view text) {
  Expression expression;
  expression.kind = Kind::kText;
  expression.text = text;
  return expression;
}

Expression Expression::Character(CharacterSet set) {
  Check(!set.empty(), "a set of characters to match is not empty");
  Expression expression;
  expression.kind = Kind::kCharacter;
  expression.set = std::move(set);
  return expression;
}

Expression Expression::Sequence(std::vector<Expression> parts) {
  if (parts.size() == 1) return std::move(parts[0]);
  Expression expression;
  expression.kind = Kind::kSequence;
  expression.parts = std::move(parts);
  return expression;
}

Expression Expression::Alternatives(std::vector<Expression> parts) {
  Check(!parts.empty(), "there is an alternative");
  if (parts.size() == 1) return std::move(parts[0]);
  Expression expression;
  expression.kind = Kind::kAlternatives;
  expression.parts = std::move(parts);
  return expression;
}

Expression Expression::Repeat(Expression part, int least, int most) {
  Check(least >= 0 && (most == kUnbounded || most >= least), "repetition bounds are in order");
  Expression expression;
  expression.kind = Kind::kRepeat;
  expression.parts.push_back(std::move(part));
  expression.least = least;
  expression.most = most;
  return expression;
}

Expression Expression::Rule(int rule) {
  Expression expression;
  expression.kind = Kind::kRule;
  expression.rule = rule;
  return expression;
}

int Grammar::AddRule(std::string name, Expression expression) {
  rules.push_back({std::move(name), std::move(expression)});
  return static_cast<int>(rules.size()) - 1;
}

namespace {

// Finds by fixed point which rules have a property that grows from their parts. To and fro, since
// rules lean on their neighbours in long rows, in either direction.
template <typename Holds>
std::vector<bool> RulesWith(const Grammar& grammar, const Holds& holds) {
  std::vector<bool> found(grammar.rules.size(), false);
  bool changed = true;
  const auto look_at = [&](size_t i) {
    if (found[i] || !holds(grammar.rules[i].expression, found)) return;
    found[i] = true;
    changed = true;
  };
  while (changed) {
    changed = false;
    for (size_t i = 0; i < found.size(); ++i) look_at(i);
    for (size_t i = found.size(); i-- > 0;) look_at(i);
  }
  return found;
}

// Whether the expression has a text all of whose leaves are as `leaf_is` wants them, where those
// rules have one that `rules` tells of.
template <typename LeafIs>
bool HasText(const Expression& expression, const std::vector<bool>& rules, const LeafIs& leaf_is) {
  const auto part_has = [&](const Expression& part) { return HasText(part, rules, leaf_is); };
  const std::vector<Expression>& parts = expression.parts;
  switch (expression.kind) {
    case Expression::Kind::kText:
    case Expression::Kind::kCharacter:
      return leaf_is(expression);
    case Expression::Kind::kSequence:
      return std::all_of(parts.begin(), parts.end(), part_has);
    case Expression::Kind::kAlternatives:
      return std::any_of(parts.begin(), parts.end(), part_has);
    case Expression::Kind::kRepeat:
      return expression.least == 0 || part_has(parts[0]);
    case Expression::Kind::kRule:
      return rules[static_cast<size_t>(expression.rule)];
  }
  return false;
}

bool CanBeEmpty(const Expression& expression, const std::vector<bool>& rules) {
  return HasText(expression, rules, [](const Expression& leaf) {
    return leaf.kind == Expression::Kind::kText && leaf.text.empty();
  });
}

bool CanEnd(const Expression& expression, const std::vector<bool>& rules) {
  return HasText(expression, rules, [](const Expression&) { return true; });
}

// Adds the rules that can stand at the very beginning of the expression.
void AddFirstRules(const Expression& expression, const std::vector<bool>& empty_rules,
                   std::vector<int>& first) {
  switch (expression.kind) {
    case Expression::Kind::kText:
    case Expression::Kind::kCharacter:
      break;
    case Expression::Kind::kSequence:
      for (const Expression& part : expression.parts) {
        AddFirstRules(part, empty_rules, first);
        if (!CanBeEmpty(part, empty_rules)) break;
      }
      break;
    case Expression::Kind::kAlternatives:
      for (const Expression& part : expression.parts) AddFirstRules(part, empty_rules, first);
      break;
    case Expression::Kind::kRepeat:
      if (expression.most != 0) AddFirstRules(expression.parts[0], empty_rules, first);
      break;
    case Expression::Kind::kRule:
      first.push_back(expression.rule);
      break;
  }
}

// Depth-first search for a cycle among the rules that begin other rules. Iterative: a grammar may
// have a hundred thousand rules in a row.
void CheckLeftRecursion(const Grammar& grammar) {
  const std::vector<bool> empty_rules = RulesWith(grammar, CanBeEmpty);
  std::vector<std::vector<int>> first(grammar.rules.size());
  for (size_t i = 0; i < first.size(); ++i) {
    AddFirstRules(grammar.rules[i].expression, empty_rules, first[i]);
  }
  enum class Mark { kNew, kOnPath, kDone };
  std::vector<Mark> marks(grammar.rules.size(), Mark::kNew);
  struct Step {
    int rule;
    size_t next;  // index in first[rule]
  };
  for (size_t start = 0; start < marks.size(); ++start) {
    if (marks[start] != Mark::kNew) continue;
    std::vector<Step> path = {{static_cast<int>(start), 0}};
    marks[start] = Mark::kOnPath;
    while (!path.empty()) {
      Step& step = path.back();
      const std::vector<int>& after = first[static_cast<size_t>(step.rule)];
      if (step.next == after.size()) {
        marks[static_cast<size_t>(step.rule)] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const int rule = after[step.next++];
      Mark& mark = marks[static_cast<size_t>(rule)];
      if (mark == Mark::kOnPath) {
        auto at = std::find_if(path.begin(), path.end(),
                               [&](const Step& other) { return other.rule == rule; });
        std::string cycle;
        for (; at != path.end(); ++at) {
          cycle += grammar.rules[static_cast<size_t>(at->rule)].name + " -> ";
        }
        throw Error(ErrorCode::kInvalidArgument,
                    "the grammar is left-recursive: " + cycle +
                        grammar.rules[static_cast<size_t>(rule)].name,
                    "Let the rule begin with something else, or write a repetition: item*.");
      }
      if (mark == Mark::kNew) {
        mark = Mark::kOnPath;
        path.push_back({rule, 0});
      }
    }
  }
}

}  // namespace

void CheckGrammar(const Grammar& grammar) {
  CheckLeftRecursion(grammar);
  const std::vector<bool> ends = RulesWith(grammar, CanEnd);
  for (size_t i = 0; i < ends.size(); ++i) {
    if (!ends[i]) {
      throw Error(ErrorCode::kInvalidArgument,
                  "no text can match the rule \"" + grammar.rules[i].name +
                      "\": it always needs itself again",
                  "Give it an alternative that ends.");
    }
  }
}

}  // namespace promptdb
