// The shell's own commands, those that begin with a backslash.
//
// Constants and pure functions; thread-safe. What a command does is in Shell::RunCommand.
#ifndef PROMPTDB_SHELL_SHELL_COMMANDS_H_
#define PROMPTDB_SHELL_SHELL_COMMANDS_H_

#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

// "\?", "\d", …
const std::vector<std::string>& ShellCommandNames();

// What \? prints.
std::string ShellCommandHelp();

// A command's line cut into its name ("\d") and its arguments. 'quoted arguments' may hold blanks,
// with
// '' for a quote; \echo and \h take the rest of their line as it is.
struct CommandLine {
  std::string name;
  std::vector<std::string> arguments;
  std::string rest;  // everything after the name, trimmed
};
CommandLine ParseCommandLine(std::string_view line);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_SHELL_COMMANDS_H_
