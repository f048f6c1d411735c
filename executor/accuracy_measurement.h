// How much the ways of reuse change what a model says: the measurement behind ANALYZE MODEL and
// bench/accuracy.
//
// It does what a user would do: every document becomes a module of a schema, in a database of its
// own (a temporary folder, removed at the end). The states of the modules are computed and stored;
// then each question is a query over them, and one that did not take every module from the cache
// would be an error. What is compared:
//
//   answers     greedy, up to a line break or an end token; see accuracy/answer_scores.h;
//   divergence  KL(P || Q) in nats between next-token distributions, P being those of reuse = none
//               with f32 states and Q those that are measured, both along the tokens of P's own
//               answer, its end token included; of a text, along the text itself.
//
// Not thread-safe: belongs to one statement.
#ifndef PROMPTDB_EXECUTOR_ACCURACY_MEASUREMENT_H_
#define PROMPTDB_EXECUTOR_ACCURACY_MEASUREMENT_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "executor/model_registry.h"
#include "storage/model_accuracy.h"

namespace promptdb {

// The ways of reuse that are told apart. kScaffold is modular reuse with one scaffold over all
// documents, which then see each other as they do in exact reuse.
enum class AccuracyMode { kNone, kExact, kModular, kPortable, kScaffold };

std::string_view AccuracyModeName(AccuracyMode mode);  // "none", "exact", "modular", "scaffold"
std::vector<AccuracyMode> AllAccuracyModes();

// What is put after the documents.
struct AccuracyProbe {
  std::string prompt;                // never empty
  std::vector<std::string> answers;  // of a question; empty: `prompt` is a text that is only read
};

struct AccuracyTask {
  std::vector<std::string> documents;  // never empty, nor is any of them
  std::vector<AccuracyProbe> probes;   // never empty; the task has questions or texts, not both
};

// An answer as it was given.
struct ProbeAnswer {
  AccuracyMode mode = AccuracyMode::kNone;
  KvDtype kv_dtype = KvDtype::kF32;
  const AccuracyTask& task;    // borrowed
  const AccuracyProbe& probe;  // borrowed
  std::string text;
};

struct AccuracyOptions {
  std::vector<AccuracyMode> modes = AllAccuracyModes();
  std::vector<KvDtype> kv_dtypes{std::begin(kAllKvDtypes), std::end(kAllKvDtypes)};
  int max_tokens = 24;  // of an answer
  std::function<void(const ProbeAnswer&)> on_answer = nullptr;
};

// A row for each mode and dtype, by dtype first, in the options' order. Tasks have to fit the
// model's context; they have questions or texts, all of them. Loads the weights. Throws Error,
// kCanceled among others.
// REQUIRES: there are tasks, modes and dtypes.
std::vector<AccuracyRow> MeasureAccuracy(const OpenModel& model,
                                         const std::vector<AccuracyTask>& tasks,
                                         const AccuracyOptions& options,
                                         ProgressListener& progress);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ACCURACY_MEASUREMENT_H_
