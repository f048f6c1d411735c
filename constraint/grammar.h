// The form that every kind of constraint is brought into: rules over characters.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_CONSTRAINT_GRAMMAR_H_
#define PROMPTDB_CONSTRAINT_GRAMMAR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "constraint/character_set.h"

namespace promptdb {

struct Expression {
  enum class Kind {
    kText,          // these bytes; the empty text too
    kCharacter,     // one character of the set
    kSequence,      // one part after the other
    kAlternatives,  // one of the parts
    kRepeat,        // the one part, `least` to `most` times
    kRule,          // what the rule `rule` says
  };
  static constexpr int kUnbounded = -1;

  Kind kind = Kind::kText;
  std::string text;
  CharacterSet set;  // never empty
  std::vector<Expression> parts;
  int least = 0;
  int most = kUnbounded;
  int rule = 0;

  static Expression Text(std::string_view text);
  static Expression Character(CharacterSet set);
  static Expression Sequence(std::vector<Expression> parts);
  static Expression Alternatives(std::vector<Expression> parts);
  static Expression Repeat(Expression part, int least, int most);
  static Expression Optional(Expression part) { return Repeat(std::move(part), 0, 1); }
  static Expression Rule(int rule);
};

struct Grammar {
  struct Rule {
    std::string name;
    Expression expression;
  };
  std::vector<Rule> rules;
  int root = 0;

  // Returns the new rule's index.
  int AddRule(std::string name, Expression expression);
};

// What a byte-by-byte matcher can't follow, and what could never be finished. Throws
// Error(kInvalidArgument):
//  - left recursion: a rule that can come back to itself without a character in between; the
//    message names the cycle;
//  - a rule whose every way leads back to itself, so that no text matches it.
void CheckGrammar(const Grammar& grammar);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_GRAMMAR_H_
