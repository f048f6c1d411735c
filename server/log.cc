#include "server/log.h"

#include <unistd.h>

#include <ctime>

namespace promptdb {

namespace {

// Bare where it has nothing that would make it two fields.
std::string Quoted(const std::string& value) {
  const bool is_bare = !value.empty() && value.find_first_of(" =\"\\\n\r\t") == std::string::npos;
  std::string out = is_bare ? "" : "\"";
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      constexpr char kDigits[] = "0123456789abcdef";
      out += "\\x";
      out += kDigits[(static_cast<unsigned char>(c) >> 4) & 0xF];
      out += kDigits[static_cast<unsigned char>(c) & 0xF];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return is_bare ? out : out + "\"";
}

void Log(std::string_view level, std::string_view event, std::initializer_list<LogField> fields) {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &utc);
  std::string line =
      "time=" + std::string(time) + " level=" + std::string(level) + " event=" + std::string(event);
  for (const auto& [key, value] : fields) line += " " + std::string(key) + "=" + Quoted(value);
  line += "\n";
  // One write, so that lines of several threads don't mix. A log that can't be written is lost.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

void LogInfo(std::string_view event, std::initializer_list<LogField> fields) {
  Log("info", event, fields);
}

void LogWarning(std::string_view event, std::initializer_list<LogField> fields) {
  Log("warning", event, fields);
}

}  // namespace promptdb
