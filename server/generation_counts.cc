#include "server/generation_counts.h"

#include "executor/query_run.h"

namespace promptdb {

namespace {

// Places in GenerationColumns().
enum Place : size_t {
  kPromptTokens = 2,
  kCachedTokens = 3,
  kOutputTokens = 4,
  kTtft = 5,
  kTotal = 6
};

}  // namespace

void GenerationCounts::SetColumns(const std::vector<Column>& columns) {
  const std::vector<Column> answers = GenerationColumns();
  has_answers_ = columns.size() == answers.size() && columns[kTtft].name == answers[kTtft].name;
}

void GenerationCounts::Count(const Row& row) {
  // A piece of a streamed answer has none yet.
  if (!has_answers_ || IsNull(row[kTtft])) return;
  ++metrics_.generations;
  metrics_.prompt_tokens += std::get<int64_t>(row[kPromptTokens]);
  metrics_.cached_tokens += std::get<int64_t>(row[kCachedTokens]);
  metrics_.output_tokens += std::get<int64_t>(row[kOutputTokens]);
  metrics_.ttft_microseconds += static_cast<int64_t>(std::get<double>(row[kTtft]) * 1000);
  metrics_.generation_microseconds += static_cast<int64_t>(std::get<double>(row[kTotal]) * 1000);
}

}  // namespace promptdb
