// What Tab offers: keywords, names of the catalog, files, and the shell's own commands.
//
// Pure but for file names, which are looked up in the file system; thread-safe.
#ifndef PROMPTDB_SHELL_COMPLETION_H_
#define PROMPTDB_SHELL_COMPLETION_H_

#include <string>
#include <string_view>
#include <vector>

#include "executor/session.h"

namespace promptdb {

struct Completion {
  size_t word_bytes = 0;                // the bytes before the cursor that a candidate replaces
  std::vector<std::string> candidates;  // whole words, sorted
  std::string_view append = " ";        // put after a candidate when it is the only one
};

// `before_cursor`: everything that was typed since the last statement was sent, up to the cursor.
// Keywords follow the case of what was typed: lower if the word (or, when the word is empty, the
// word before it) has no upper-case letter.
Completion Complete(std::string_view before_cursor, const Session::Names& names);

// What all candidates begin with, when case is ignored; in the first one's case.
std::string CommonPrefix(const std::vector<std::string>& candidates);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_COMPLETION_H_
