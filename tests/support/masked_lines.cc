#include "tests/support/masked_lines.h"

#include <algorithm>
#include <regex>

namespace promptdb {

namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Lengths that a number at the beginning of `text` may have.
std::vector<size_t> NumberLengths(std::string_view text, bool is_decimal) {
  std::vector<size_t> lengths;
  size_t at = text.starts_with('-') ? 1 : 0;
  while (at < text.size() && IsDigit(text[at])) lengths.push_back(++at);
  if (!is_decimal || lengths.empty() || at >= text.size() || text[at] != '.') return lengths;
  ++at;
  while (at < text.size() && IsDigit(text[at])) lengths.push_back(++at);
  return lengths;
}

}  // namespace

bool MatchesMask(std::string_view expected, std::string_view actual) {
  while (true) {
    const size_t mask = expected.find('<');
    if (mask == expected.npos) return expected == actual;
    if (actual.substr(0, mask) != expected.substr(0, mask)) return false;
    expected.remove_prefix(mask);
    actual.remove_prefix(mask);
    if (expected.starts_with("<*>")) {
      for (size_t length = 0; length <= actual.size(); ++length) {
        if (MatchesMask(expected.substr(3), actual.substr(length))) return true;
      }
      return false;
    }
    const bool is_decimal = expected.starts_with("<ms>");
    if (is_decimal || expected.starts_with("<n>")) {
      for (const size_t length : NumberLengths(actual, is_decimal)) {
        if (MatchesMask(expected.substr(is_decimal ? 4 : 3), actual.substr(length))) return true;
      }
      return false;
    }
    if (!actual.starts_with('<')) return false;
    expected.remove_prefix(1);
    actual.remove_prefix(1);
  }
}

bool MatchMasked(const std::vector<std::string>& expected, const std::vector<std::string>& actual) {
  return std::equal(
      expected.begin(), expected.end(), actual.begin(), actual.end(),
      [](const std::string& mask, const std::string& line) { return MatchesMask(mask, line); });
}

std::string DiffMasked(const std::vector<std::string>& expected,
                       const std::vector<std::string>& actual) {
  // Longest common subsequence: the blocks are short.
  const size_t rows = expected.size(), columns = actual.size();
  std::vector<std::vector<size_t>> common(rows + 1, std::vector<size_t>(columns + 1, 0));
  for (size_t i = rows; i-- > 0;) {
    for (size_t j = columns; j-- > 0;) {
      common[i][j] = MatchesMask(expected[i], actual[j])
                         ? common[i + 1][j + 1] + 1
                         : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string diff;
  size_t i = 0, j = 0;
  while (i < rows || j < columns) {
    if (i < rows && j < columns && MatchesMask(expected[i], actual[j])) {
      diff += "  " + actual[j] + "\n";
      ++i, ++j;
    } else if (i < rows && (j == columns || common[i + 1][j] >= common[i][j + 1])) {
      diff += "- " + expected[i++] + "\n";
    } else {
      diff += "+ " + actual[j++] + "\n";
    }
  }
  return diff;
}

std::vector<std::string> UpdateMasked(const std::vector<std::string>& old_expected,
                                      const std::vector<std::string>& actual) {
  static const std::regex kBeforeUnit("[0-9]+(\\.[0-9]+)?( ms\\b)");
  static const std::regex kAfterName("(ms=)[0-9]+(\\.[0-9]+)?");
  std::vector<std::string> fresh;
  size_t from = 0;
  for (const std::string& line : actual) {
    const auto found =
        std::find_if(old_expected.begin() + static_cast<std::ptrdiff_t>(from), old_expected.end(),
                     [&](const std::string& mask) { return MatchesMask(mask, line); });
    if (found != old_expected.end()) {
      fresh.push_back(*found);
      from = static_cast<size_t>(found - old_expected.begin()) + 1;
    } else {
      const std::string masked = std::regex_replace(line, kBeforeUnit, "<ms>$2");
      fresh.push_back(std::regex_replace(masked, kAfterName, "$1<ms>"));
    }
  }
  return fresh;
}

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace promptdb
