// Expected lines that leave out what differs from run to run.
//
//   <ms>  a decimal number, such as a time: 3, 0.25, 17.031
//   <n>   a whole number
//   <*>   anything, to the next part of the line that matches
//
// All else must match byte for byte. Pure functions; thread-safe.
#ifndef PROMPTDB_TESTS_SUPPORT_MASKED_LINES_H_
#define PROMPTDB_TESTS_SUPPORT_MASKED_LINES_H_

#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

bool MatchesMask(std::string_view expected, std::string_view actual);

bool MatchMasked(const std::vector<std::string>& expected, const std::vector<std::string>& actual);

// The two side by side for people: "  same", "- expected, absent", "+ actual, not expected".
std::string DiffMasked(const std::vector<std::string>& expected,
                       const std::vector<std::string>& actual);

// Fresh expected lines for `actual`: a line that an old one matches keeps its masks; in the others
// every time (a number before " ms", or after "ms=") becomes <ms>.
std::vector<std::string> UpdateMasked(const std::vector<std::string>& old_expected,
                                      const std::vector<std::string>& actual);

// `text` cut at line breaks; a break at its end makes no empty line.
std::vector<std::string> SplitLines(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_MASKED_LINES_H_
