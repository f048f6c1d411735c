// Measured accuracy as rows and words: what ANALYZE MODEL returns, DESCRIBE MODEL shows and
// pc_accuracy lists.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_EXECUTOR_ACCURACY_ROWS_H_
#define PROMPTDB_EXECUTOR_ACCURACY_ROWS_H_

#include <string>
#include <vector>

#include "base/value.h"
#include "storage/model_accuracy.h"

namespace promptdb {

// mode, kv_dtype, questions, exact_match, f1, rouge_l, kl, first_kl, perplexity; NULL for what was
// not measured. Rounded to what the figures can say.
std::vector<Column> AccuracyColumns();
Row AccuracyValues(const AccuracyRow& row);

// "exact match 91 %, F1 93.5 %, ROUGE-L 92.3 %, KL 0.01, first token 0.02".
std::string AccuracySummary(const AccuracyRow& row);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ACCURACY_ROWS_H_
