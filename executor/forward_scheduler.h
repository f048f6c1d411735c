// Forward passes of one model for all queries that want some at the same time: continuous batching.
//
// A weight is read once for all rows of a pass, so that one pass over the next token of 32 answers
// takes little longer than one of a single answer. Whoever wants a batch computed calls Forward();
// what several callers want at once is put together, a pass at a time: first the short batches
// (decoding), whole; then as many rows of the long ones (prefill) as leave the answers flowing, the
// most urgent and then the shortest first, and none is passed over for ever. Orca (Yu et al., 2022)
// schedules by iterations; the mix of decoding and pieces of prefill is Sarathi's (Agrawal et al.,
// 2023).
//
// A caller that is alone runs its passes itself, on its own thread; when there are several, a
// thread of the scheduler's runs them for all.
//
// Thread-safe.
#ifndef PROMPTDB_EXECUTOR_FORWARD_SCHEDULER_H_
#define PROMPTDB_EXECUTOR_FORWARD_SCHEDULER_H_

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "base/progress.h"
#include "base/urgency.h"
#include "executor/transformer.h"

namespace promptdb {

class ForwardScheduler {
 public:
  // `weights` is borrowed.
  explicit ForwardScheduler(const Transformer* weights) : weights_(*weights) {}
  ~ForwardScheduler();  // REQUIRES: nobody is in a call, or participates

  // As Transformer's. Segments that the batch writes belong to the caller alone until this returns.
  // Throws Error(kCanceled) when `progress` says so, after the pass that is running. `urgency`:
  // whose rows come first where a pass has no room for all.
  std::vector<float> Forward(const ForwardBatch& batch, ProgressListener* progress = nullptr,
                             const Urgency& urgency = {});
  std::vector<float> HiddenStates(const ForwardBatch& batch, ProgressListener* progress = nullptr,
                                  const Urgency& urgency = {});

  // A query that wants passes one after another, as long as it lives. The scheduler waits a little
  // for those that are between two of theirs, so that they go together.
  class Participant {
   public:
    explicit Participant(ForwardScheduler& scheduler);
    ~Participant();
    Participant(const Participant&) = delete;
    Participant& operator=(const Participant&) = delete;

   private:
    ForwardScheduler& scheduler_;
  };

  struct Stats {
    int64_t passes = 0;
    int64_t rows = 0;
    int64_t batches = 0;       // parts of batches in passes
    int64_t most_batches = 0;  // of one pass
    int64_t mixed_passes = 0;  // of short batches and a long one's rows
    int most_passed_over = 0;  // passes that a batch had no part in, one after another
    int waiting = 0;           // batches, now
  };
  Stats stats() const;

  // Rows of a pass, and those of a long batch in a pass with short ones.
  static constexpr int kPassRows = 512;
  static constexpr int kMixedRows = 128;
  // A batch of at most so many rows is short.
  static constexpr int kShortRows = 64;
  // Passes after which a batch comes before more urgent and shorter ones.
  static constexpr int kMostPassedOver = 16;

 private:
  // What a caller wants, and how far it is. On the caller's stack.
  struct Request {
    const ForwardBatch* batch = nullptr;
    bool wants_logits = false;  // else hidden states
    Urgency urgency;
    size_t group = 0;  // the next rows are of this one
    int done_of_group = 0;
    int done = 0;            // rows
    size_t next_wanted = 0;  // in batch->logits_of
    int passed_over = 0;     // passes, since it last had a part in one
    bool is_in_pass = false;
    std::vector<float> result;  // [wanted so far, vocab or dim]
    std::exception_ptr error;
    std::condition_variable changed;

    int rows() const { return static_cast<int>(batch->tokens.size()); }
    bool is_done() const { return done == rows() && !is_in_pass; }
    bool is_short() const { return rows() <= kShortRows; }
  };
  struct Part {
    Request* request = nullptr;
    int wanted = 0;  // rows whose results are
  };
  struct Pass {
    ForwardBatch batch;
    std::vector<Part> parts;
  };

  std::vector<float> Compute(const ForwardBatch& batch, bool wants_logits,
                             ProgressListener* progress, const Urgency& urgency);
  // The results of each part. Without the mutex.
  std::vector<std::vector<float>> Run(const Pass& pass, ProgressListener* progress) const;
  void Serve();
  // REQUIRES: mutex_ held, for all that follow.
  bool IsFree() const;  // for a caller that is alone
  void RunAlone(Request& request, ProgressListener* progress, std::unique_lock<std::mutex>& lock);
  void RunWithOthers(Request& request, ProgressListener* progress,
                     std::unique_lock<std::mutex>& lock);
  void WaitForOthers(std::unique_lock<std::mutex>& lock);
  // Runs the pass, with the mutex free meanwhile, and gives each part its results, or its error.
  void RunPass(const Pass& pass, ProgressListener* progress, std::unique_lock<std::mutex>& lock);
  Pass PlanPass();
  static bool ComesFirst(const Request* a, const Request* b);
  void PassOver(Request& request);
  static void Add(Request& request, int rows, Pass& pass);
  void Count(const Pass& pass);

  const Transformer& weights_;
  mutable std::mutex mutex_;
  std::condition_variable wanted_;  // of the thread: there may be something to do
  // Guarded by mutex_:
  std::list<Request*> waiting_;  // in the order in which they came; those in a pass, too
  int participants_ = 0;
  bool is_busy_ = false;  // a pass is running
  bool ends_ = false;
  double short_pass_ms_ = 0;  // what one without long batches took lately
  Stats stats_;
  std::thread thread_;  // started when two callers first meet
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_FORWARD_SCHEDULER_H_
