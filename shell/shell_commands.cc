#include "shell/shell_commands.h"

#include <algorithm>

namespace promptdb {

namespace {

constexpr std::string_view kBlanks = " \t\r";

}  // namespace

const std::vector<std::string>& ShellCommandNames() {
  static const std::vector<std::string> kNames = {
      "\\?", "\\compare", "\\d", "\\demo", "\\dm", "\\ds", "\\dt",  "\\echo",   "\\format",
      "\\h", "\\i",       "\\o", "\\p",    "\\q",  "\\r",  "\\set", "\\timing", "\\x"};
  return kNames;
}

std::string ShellCommandHelp() {
  return R"(General
  \?                   this list
  \h [STATEMENT]       the language: a statement's form and an example
  \demo                set up the built-in model and a schema of city guides over it
  \q                   quit (or Ctrl-D)

What is there
  \d                   models and schemas
  \d NAME              a model, a schema, a module (schema.module) or a system table in detail
  \dm [SCHEMA]         modules, and which of them are cached
  \ds                  schemas
  \dt                  system tables, which SELECT asks

How it is shown
  \format [FORMAT]     table, csv, json, jsonl or text
  \x [on|off|auto]     one column a line; auto: when the table is too wide
  \timing [on|off]     how long each statement took
  \o [FILE]            rows go to FILE; without FILE to the screen again

Measure
  \compare SELECT …    a SELECT GENERATE, computed and from the cache: answer and times

Input
  \i FILE              run the statements in FILE
  \p                   show what is typed and not yet run
  \r                   drop what is typed (or Ctrl-C)
  \echo TEXT           print TEXT
  \set [NAME VALUE]    change a setting, as SET does; without a name show all

A statement may have many lines and ends with ;
Tab completes, Ctrl-C stops a running statement, Ctrl-R searches the history.
)";
}

CommandLine ParseCommandLine(std::string_view line) {
  CommandLine command;
  size_t at = std::min(line.find_first_of(kBlanks), line.size());
  command.name = line.substr(0, at);
  // psql's users end commands with a semicolon too.
  while (command.name.size() > 1 && command.name.ends_with(';')) command.name.pop_back();
  const size_t rest = line.find_first_not_of(kBlanks, at);
  if (rest == line.npos) return command;
  command.rest = line.substr(rest, line.find_last_not_of(kBlanks) + 1 - rest);
  at = rest;
  while (at != line.npos && at < line.size()) {
    std::string argument;
    bool quoted = false;
    for (; at < line.size(); ++at) {
      if (line[at] == '\'') {
        if (quoted && at + 1 < line.size() && line[at + 1] == '\'') {
          argument += line[at++];
        } else {
          quoted = !quoted;
        }
      } else if (!quoted && kBlanks.find(line[at]) != kBlanks.npos) {
        break;
      } else {
        argument += line[at];
      }
    }
    command.arguments.push_back(argument);
    at = line.find_first_not_of(kBlanks, at);
  }
  return command;
}

}  // namespace promptdb
