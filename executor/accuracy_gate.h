// Warns of a query whose way of reuse was measured to make the model worse.
//
// Thread-safe: a function without shared state.
#ifndef PROMPTDB_EXECUTOR_ACCURACY_GATE_H_
#define PROMPTDB_EXECUTOR_ACCURACY_GATE_H_

#include <string>

#include "executor/model_registry.h"
#include "planner/prompt_binder.h"
#include "storage/catalog.h"

namespace promptdb {

// What a measured loss may be before it is told.
struct AccuracyTolerance {
  double points = 2;  // of exact match, in percentage points less than with reuse = none
  double nats = 0.1;  // of KL divergence, where a model's answers say too little
};

// Below this percentage of exact match with reuse = none, a model is judged by its divergence: who
// is hardly ever right has little to lose.
inline constexpr double kLeastExactMatch = 20;

// The notice for a query of this prompt; empty where there is nothing to tell: the model has not
// been measured (as it is now), the loss is tolerable, or the prompt loses nothing, since each of
// its segments sees all that stands before it.
std::string AccuracyWarning(const BoundPrompt& prompt, const OpenModel& model,
                            const Catalog& catalog, const AccuracyTolerance& tolerance);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ACCURACY_GATE_H_
