// The value of `pattern` in a JSON schema: a regular expression as ECMA-262 has them.
//
// Taken: literals, `.`, classes with ranges, \d \w \s and their opposites, escapes, groups, |, and
// the quantifiers * + ? {n} {n,} {n,m}, lazy or not; ^ and $ at the ends of the pattern or of its
// outermost alternatives. Without them the pattern may match anywhere in the string. Refused, since
// no automaton of ours can tell: look-around, back-references, \b, \p{…}, anchors elsewhere.
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_CONSTRAINT_JSON_PATTERN_H_
#define PROMPTDB_CONSTRAINT_JSON_PATTERN_H_

#include <string_view>

#include "constraint/grammar.h"

namespace promptdb {

// The strings that match, as they are written inside the quotes of JSON. Throws
// Error(kInvalidArgument or kUnsupported) that quotes the pattern.
Expression ParseJsonPattern(std::string_view pattern);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_JSON_PATTERN_H_
