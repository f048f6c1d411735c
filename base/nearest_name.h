// "Did you mean …?": the candidate nearest to a name that was not found.
#ifndef PROMPTDB_BASE_NEAREST_NAME_H_
#define PROMPTDB_BASE_NEAREST_NAME_H_

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace promptdb {

// The candidate with the least edit distance to `name` (adjacent swaps count one, case is ignored),
// or "" when none is near enough to be what the user meant (more than a third of its length,
// rounded).
std::string NearestName(std::string_view name, std::span<const std::string> candidates);

// `Did you mean "x"?`, or "" when NearestName finds nothing.
std::string DidYouMean(std::string_view name, std::span<const std::string> candidates);

// That there is no `kind` ("model") of that name, which stands at `place`. The hint is the nearest
// of `known`, or else `otherwise`.
Error UnknownName(std::string_view kind, std::string_view name, SourceRange place,
                  std::span<const std::string> known, std::string_view otherwise = "");

}  // namespace promptdb

#endif  // PROMPTDB_BASE_NEAREST_NAME_H_
