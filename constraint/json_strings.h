// Strings of JSON as they are written: quotes, escapes, and what stands between.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_CONSTRAINT_JSON_STRINGS_H_
#define PROMPTDB_CONSTRAINT_JSON_STRINGS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "constraint/grammar.h"

namespace promptdb {

// Exactly this string, quotes and escapes included.
Expression JsonText(std::string_view text);

// One character of a string's value, which is in the set: by itself where JSON allows that, as the
// shortest escape where it doesn't.
Expression JsonCharacter(const CharacterSet& set);
// Any character of a string's value, by itself or in any escape that makes one.
Expression AnyJsonCharacter();

Expression InQuotes(Expression content);

// A string without escapes that is not empty and none of `texts`.
Expression JsonTextOtherThan(const std::vector<std::string>& texts);

// A string of the format "date", "time", "date-time" (RFC 3339) or "uuid" (RFC 4122); nullopt for
// others.
std::optional<Expression> JsonTextOfFormat(std::string_view format);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_JSON_STRINGS_H_
