// What a query holds while it runs: the states of its segments as they become ready, and what each
// plan node took. The plan itself never changes.
//
// Not thread-safe: belongs to one query.
#ifndef PROMPTDB_EXECUTOR_QUERY_STATE_H_
#define PROMPTDB_EXECUTOR_QUERY_STATE_H_

#include <memory>
#include <vector>

#include "base/stopwatch.h"
#include "executor/forward_scheduler.h"
#include "executor/model_registry.h"
#include "executor/result.h"
#include "planner/explain.h"
#include "planner/plan.h"
#include "storage/state_cache.h"

namespace promptdb {

class QueryState {
 public:
  QueryState(const QueryPlan& plan, ForwardScheduler& scheduler, const OpenModel& model,
             StateCache& cache, ResultSink& sink)
      : plan(plan),
        scheduler(scheduler),
        model(model),
        cache(cache),
        sink(sink),
        segments(plan.prompt.segments.size()),
        actuals(static_cast<size_t>(plan.nodes)) {}

  // Borrowed:
  const QueryPlan& plan;
  ForwardScheduler& scheduler;
  const OpenModel& model;
  StateCache& cache;
  ResultSink& sink;

  // The states of each segment of the prompt; null until they are ready. On the heap, since batches
  // and spans point at them; shared by the rows of one statement.
  std::vector<std::shared_ptr<KvSegment>> segments;
  int cached_tokens = 0;             // that came from the cache
  std::vector<NodeActuals> actuals;  // by node id

  const PromptSegment& Segment(int index) const {
    return plan.prompt.segments[static_cast<size_t>(index)];
  }

  // Takes over the states of the first segments, which count as cached.
  void TakeSegments(const std::vector<std::shared_ptr<KvSegment>>& first);

  // The states of segment `index`, from the cache.
  void TakeStates(int index, KvSegment states);

  // The rows of segment `index`, which see what it attends to, as one group of `batch`. Its states
  // are written to segments[index], which is made here.
  void AddSegment(int index, ForwardBatch& batch);

  // The states that segment `index` attends to.
  std::vector<KvSpan> Context(int index) const;
  // The states of the whole prompt but for segment `except` (-1: none): what generated tokens see.
  std::vector<KvSpan> PromptSpans(int except) const;
  // The prompt's last token: the one with the highest position that is no placeholder.
  struct Token {
    int segment = 0;
    int index = 0;  // in the segment
  };
  Token LastToken() const;

 private:
  std::vector<KvSpan> Spans(const std::vector<AttendedSpan>& attended) const;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_QUERY_STATE_H_
