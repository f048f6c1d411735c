// The fenced blocks of a Markdown document, and what a program printed held against them.
//
// Pure functions but for ExpectPrinted, which reports to GoogleTest; thread-safe.
#ifndef PROMPTDB_TESTS_SUPPORT_DOCUMENT_BLOCKS_H_
#define PROMPTDB_TESTS_SUPPORT_DOCUMENT_BLOCKS_H_

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/masked_lines.h"

namespace promptdb {

struct DocumentBlock {
  std::string language;  // what stands behind the opening fence: "sql", "sql error", ""
  std::vector<std::string> lines;
  int line = 0;  // of the opening fence, from 1
};

// The blocks between <!-- `marker` --> and <!-- /`marker` -->, or all when `marker` is empty.
// `has_marker` tells whether there was one; it may be null.
inline std::vector<DocumentBlock> ReadDocumentBlocks(const std::string& text,
                                                     const std::string& marker = "",
                                                     bool* has_marker = nullptr) {
  std::vector<DocumentBlock> blocks;
  bool is_wanted = marker.empty(), in_block = false, is_kept = false;
  if (has_marker != nullptr) *has_marker = false;
  int number = 0;
  for (const std::string& line : SplitLines(text)) {
    ++number;
    if (in_block) {
      if (line.starts_with("```")) {
        in_block = false;
      } else if (is_kept) {
        blocks.back().lines.push_back(line);
      }
    } else if (!marker.empty() && line == "<!-- " + marker + " -->") {
      is_wanted = true;
      if (has_marker != nullptr) *has_marker = true;
    } else if (!marker.empty() && line == "<!-- /" + marker + " -->") {
      is_wanted = false;
    } else if (line.starts_with("```")) {
      in_block = true;
      is_kept = is_wanted;
      if (is_kept) blocks.push_back({line.substr(3), {}, number});
    }
  }
  return blocks;
}

// Empty lines at the end make no difference.
inline std::vector<std::string> PrintedLines(const std::string& text) {
  std::vector<std::string> lines = SplitLines(text);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// A failure in `document` at `line` unless `actual` is `expected`, masks minded.
inline void ExpectPrinted(const char* document, int line, const std::vector<std::string>& expected,
                          const std::vector<std::string>& actual) {
  if (!MatchMasked(expected, actual)) {
    ADD_FAILURE_AT(document, line) << "printed something else (- document, + pcsh)\n"
                                   << DiffMasked(expected, actual);
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_DOCUMENT_BLOCKS_H_
