// The server's log: a line an event on standard error, as key=value pairs.
//
//   time=2026-01-31T23:59:59Z level=info event=connected id=7 user="ada" client=127.0.0.1:4000
//
// Texts of statements, passwords and keys are never logged.
//
// Thread-safe.
#ifndef PROMPTDB_SERVER_LOG_H_
#define PROMPTDB_SERVER_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace promptdb {

using LogField = std::pair<std::string_view, std::string>;

void LogInfo(std::string_view event, std::initializer_list<LogField> fields = {});
void LogWarning(std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_LOG_H_
