// "Did you mean …?": the candidate nearest to a name that was not found.
#ifndef PROMPTDB_BASE_NEAREST_NAME_H_
#define PROMPTDB_BASE_NEAREST_NAME_H_

#include <span>
#include <string>
#include <string_view>

namespace promptdb {

// The candidate with the least edit distance to `name` (adjacent swaps count one, case is ignored),
// or "" when none is near enough to be what the user meant (more than a third of its length,
// rounded).
std::string NearestName(std::string_view name, std::span<const std::string> candidates);

// `Did you mean "x"?`, or "" when NearestName finds nothing.
std::string DidYouMean(std::string_view name, std::span<const std::string> candidates);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_NEAREST_NAME_H_
