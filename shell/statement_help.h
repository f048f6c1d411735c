// What \h prints: for each statement of the language that works, its form and an example.
//
// Constants; thread-safe.
#ifndef PROMPTDB_SHELL_STATEMENT_HELP_H_
#define PROMPTDB_SHELL_STATEMENT_HELP_H_

#include <span>
#include <string>
#include <string_view>

namespace promptdb {

struct StatementHelp {
  std::string_view name;      // "CREATE MODEL"
  std::string_view purpose;   // one line
  std::string_view synopsis;  // may have several lines
  std::string_view example;   // a statement that parses, with its semicolon
};

std::span<const StatementHelp> StatementHelpTopics();

// The text of \h: the list of statements for an empty `topic`, else every statement whose name
// begins with it (case and blanks don't matter). Empty when there is none.
std::string StatementHelpText(std::string_view topic);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_STATEMENT_HELP_H_
