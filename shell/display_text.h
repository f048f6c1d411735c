// Text as a terminal shows it: how wide it is, and how to show what must not reach the terminal.
//
// Pure functions; thread-safe.
#ifndef PROMPTDB_SHELL_DISPLAY_TEXT_H_
#define PROMPTDB_SHELL_DISPLAY_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

// Columns that `text` (one line, UTF-8) takes: 2 for wide characters and emoji, 0 for combining
// ones.
size_t DisplayWidth(std::string_view text);

// `text` with everything that could drive a terminal made visible: control characters as \x1b (a
// tab and a line break stay), C1 controls and direction overrides as \u009b, bytes that aren't
// UTF-8 as \xff. A model can be talked into writing escape sequences, and a schema may come from a
// stranger.
std::string EscapeControls(std::string_view text);

// The lines of a table's cell: cut at line breaks, tabs widened to the next multiple of 8, controls
// escaped. At least one line.
std::vector<std::string> CellLines(std::string_view text);

// The longest prefix of `text` that takes at most `width` columns, with "…" where it was cut.
std::string CutToWidth(std::string_view text, size_t width);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_DISPLAY_TEXT_H_
