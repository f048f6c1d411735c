#include "server/metrics.h"

#include <cstdio>

namespace promptdb {

void Metrics::CountEnd(std::optional<ErrorCode> failure) {
  if (!failure) return;
  ++failed_statements;
  if (*failure == ErrorCode::kCanceled) ++canceled_statements;
  if (*failure == ErrorCode::kTooBusy) ++too_busy;
}

std::string Metrics::Text(const std::vector<std::pair<std::string, int64_t>>& gauges) const {
  std::string text;
  const auto add = [&](const std::string& name, const char* type, const char* help,
                       const std::string& value) {
    text += "# HELP promptdb_" + name + " " + help + "\n# TYPE promptdb_" + name + " " + type +
            "\npromptdb_" + name + " " + value + "\n";
  };
  const auto count = [&](const std::string& name, const char* help,
                         const std::atomic<int64_t>& value) {
    add(name, "counter", help, std::to_string(value.load()));
  };
  const auto seconds = [&](const std::string& name, const char* help,
                           const std::atomic<int64_t>& microseconds) {
    char value[48];
    std::snprintf(value, sizeof value, "%.6f", static_cast<double>(microseconds.load()) / 1e6);
    add(name, "counter", help, value);
  };
  count("connections_total", "Connections accepted.", connections);
  count("connections_refused_total", "Connections refused.", refused_connections);
  count("statements_total", "Statements run.", statements);
  count("statements_failed_total", "Statements that ended in an error.", failed_statements);
  count("statements_canceled_total", "Statements that were stopped.", canceled_statements);
  count("statements_too_busy_total", "Statements refused because the queue was full.", too_busy);
  count("http_requests_total", "HTTP requests.", http_requests);
  count("generations_total", "Answers generated.", generations);
  count("prompt_tokens_total", "Tokens of their prompts.", prompt_tokens);
  count("cached_tokens_total", "Those of them that came from the cache.", cached_tokens);
  count("output_tokens_total", "Tokens generated.", output_tokens);
  seconds("ttft_seconds_total", "Time to first token, of all answers.", ttft_microseconds);
  seconds("generation_seconds_total", "Time of all answers.", generation_microseconds);
  for (const auto& [name, value] : gauges) {
    add(name, "gauge", "See pc_stats and pc_connections.", std::to_string(value));
  }
  return text;
}

}  // namespace promptdb
