#include "server/generation_counts.h"

#include "executor/query_run.h"

namespace promptdb {

void GenerationCounts::SetColumns(const std::vector<Column>& columns) {
  const std::vector<Column> answers = GenerationColumns(/*has_logprobs=*/false);
  has_answers_ = columns.size() >= answers.size() &&
                 columns[GenerationPlace::kTtftMs].name == answers[GenerationPlace::kTtftMs].name;
}

void GenerationCounts::Count(const Row& row) {
  // A piece of a streamed answer has none yet.
  if (!has_answers_ || IsNull(row[GenerationPlace::kTtftMs])) return;
  ++metrics_.generations;
  metrics_.prompt_tokens += std::get<int64_t>(row[GenerationPlace::kPromptTokens]);
  metrics_.cached_tokens += std::get<int64_t>(row[GenerationPlace::kCachedTokens]);
  metrics_.output_tokens += std::get<int64_t>(row[GenerationPlace::kOutputTokens]);
  metrics_.ttft_microseconds +=
      static_cast<int64_t>(std::get<double>(row[GenerationPlace::kTtftMs]) * 1000);
  metrics_.generation_microseconds +=
      static_cast<int64_t>(std::get<double>(row[GenerationPlace::kTotalMs]) * 1000);
}

}  // namespace promptdb
