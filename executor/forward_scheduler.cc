#include "executor/forward_scheduler.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/stopwatch.h"

namespace promptdb {

namespace {

// Of a pass's time, that the next one may wait for callers that are between two passes.
constexpr double kWaitingShare = 0.15;
constexpr double kMostWaitingMs = 3;

}  // namespace

ForwardScheduler::~ForwardScheduler() {
  {
    const std::scoped_lock lock(mutex_);
    Check(waiting_.empty() && participants_ == 0, "nobody uses a scheduler that goes");
    ends_ = true;
  }
  wanted_.notify_all();
  if (thread_.joinable()) thread_.join();
}

ForwardScheduler::Participant::Participant(ForwardScheduler& scheduler) : scheduler_(scheduler) {
  const std::scoped_lock lock(scheduler_.mutex_);
  ++scheduler_.participants_;
}

ForwardScheduler::Participant::~Participant() {
  {
    const std::scoped_lock lock(scheduler_.mutex_);
    --scheduler_.participants_;
  }
  scheduler_.wanted_.notify_one();  // nobody has to wait for it any more
}

std::vector<float> ForwardScheduler::Forward(const ForwardBatch& batch, ProgressListener* progress,
                                             const Urgency& urgency) {
  return Compute(batch, /*wants_logits=*/true, progress, urgency);
}

std::vector<float> ForwardScheduler::HiddenStates(const ForwardBatch& batch,
                                                  ProgressListener* progress,
                                                  const Urgency& urgency) {
  return Compute(batch, /*wants_logits=*/false, progress, urgency);
}

ForwardScheduler::Stats ForwardScheduler::stats() const {
  const std::scoped_lock lock(mutex_);
  Stats stats = stats_;
  stats.waiting = static_cast<int>(waiting_.size());
  return stats;
}

std::vector<float> ForwardScheduler::Compute(const ForwardBatch& batch, bool wants_logits,
                                             ProgressListener* progress, const Urgency& urgency) {
  Request request;
  request.batch = &batch;
  request.wants_logits = wants_logits;
  request.urgency = urgency;
  std::unique_lock lock(mutex_);
  while (!request.is_done() && IsFree()) RunAlone(request, progress, lock);
  if (!request.is_done()) RunWithOthers(request, progress, lock);
  return std::move(request.result);
}

bool ForwardScheduler::IsFree() const {
  return participants_ <= 1 && waiting_.empty() && !is_busy_;
}

void ForwardScheduler::RunAlone(Request& request, ProgressListener* progress,
                                std::unique_lock<std::mutex>& lock) {
  // One pass at a time, after which others may have come.
  Pass pass;
  Add(request, kPassRows, pass);
  RunPass(pass, progress, lock);
  if (!waiting_.empty()) wanted_.notify_one();
  if (request.error) std::rethrow_exception(request.error);
  if (progress == nullptr) return;
  lock.unlock();
  progress->OnProgress("computing", request.done, request.rows(), "tokens");
  lock.lock();
}

void ForwardScheduler::RunWithOthers(Request& request, ProgressListener* progress,
                                     std::unique_lock<std::mutex>& lock) {
  using namespace std::chrono_literals;
  if (!thread_.joinable()) thread_ = std::thread([this] { Serve(); });
  waiting_.push_back(&request);
  wanted_.notify_one();
  bool is_canceled = false;
  int told = 0;  // rows
  while (!request.is_done() && !request.error && !is_canceled) {
    request.changed.wait_for(lock, 50ms);
    if (progress == nullptr) continue;
    const int done = request.done;
    lock.unlock();
    if (done != told) progress->OnProgress("computing", told = done, request.rows(), "tokens");
    is_canceled = progress->IsCanceled();
    lock.lock();
  }
  // The batch is the caller's again once no pass reads it.
  request.changed.wait(lock, [&] { return !request.is_in_pass; });
  waiting_.remove(&request);
  if (request.error) std::rethrow_exception(request.error);
  if (!request.is_done()) throw Error(ErrorCode::kCanceled, "the computation was canceled");
}

void ForwardScheduler::Serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [&] { return ends_ || (!waiting_.empty() && !is_busy_); });
    if (ends_) return;
    WaitForOthers(lock);
    // One that was canceled may have been the last.
    if (waiting_.empty() || is_busy_) continue;
    const Pass pass = PlanPass();
    const Stopwatch watch;
    RunPass(pass, nullptr, lock);
    bool is_short = true;
    for (const Part& part : pass.parts) {
      Request& request = *part.request;
      is_short = is_short && request.is_short();
      if (request.error || request.is_done()) waiting_.remove(&request);
      request.changed.notify_one();
    }
    if (is_short) short_pass_ms_ = watch.Milliseconds();
  }
}

void ForwardScheduler::RunPass(const Pass& pass, ProgressListener* progress,
                               std::unique_lock<std::mutex>& lock) {
  Count(pass);
  is_busy_ = true;
  lock.unlock();
  std::exception_ptr error;
  std::vector<std::vector<float>> results;
  try {
    results = Run(pass, progress);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  is_busy_ = false;
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    Request& request = *pass.parts[i].request;
    request.is_in_pass = false;
    request.error = error;
    if (error) continue;
    request.result.insert(request.result.end(), results[i].begin(), results[i].end());
  }
}

void ForwardScheduler::WaitForOthers(std::unique_lock<std::mutex>& lock) {
  const double ms = std::min(kMostWaitingMs, kWaitingShare * short_pass_ms_);
  wanted_.wait_for(lock, std::chrono::duration<double, std::milli>(ms),
                   [&] { return ends_ || static_cast<int>(waiting_.size()) >= participants_; });
}

bool ForwardScheduler::ComesFirst(const Request* a, const Request* b) {
  const bool a_waited = a->passed_over >= kMostPassedOver;
  const bool b_waited = b->passed_over >= kMostPassedOver;
  if (a_waited != b_waited) return a_waited;
  if (GoesBefore(a->urgency, b->urgency)) return true;
  if (GoesBefore(b->urgency, a->urgency)) return false;
  return a->rows() - a->done < b->rows() - b->done;
}

ForwardScheduler::Pass ForwardScheduler::PlanPass() {
  std::vector<Request*> short_ones, long_ones;
  for (Request* request : waiting_) {
    (request->is_short() ? short_ones : long_ones).push_back(request);
  }
  Pass pass;
  const auto rows = [&] { return static_cast<int>(pass.batch.tokens.size()); };
  std::ranges::stable_sort(short_ones, ComesFirst);
  int short_rows = 0;
  std::erase_if(short_ones, [&](Request* request) {
    if (short_rows + request->rows() > kPassRows) {
      PassOver(*request);
      return true;
    }
    short_rows += request->rows();
    return false;
  });
  // Those that see the same states follow one another, so that these are read once for them.
  std::ranges::stable_sort(short_ones, {}, [](const Request* request) {
    const RowGroup& group = request->batch->groups.front();
    return group.context.empty() ? nullptr : group.context.front().segment->identity();
  });
  for (Request* request : short_ones) Add(*request, request->rows(), pass);
  // Whoever is decoding, but between two passes, waits for this one as well.
  const bool others_decode = participants_ > static_cast<int>(long_ones.size());
  const int most_rows = others_decode ? std::min(kPassRows, rows() + kMixedRows) : kPassRows;
  std::ranges::stable_sort(long_ones, ComesFirst);
  for (Request* request : long_ones) {
    if (rows() < most_rows) {
      Add(*request, most_rows - rows(), pass);
      request->passed_over = 0;
    } else {
      PassOver(*request);
    }
  }
  return pass;
}

void ForwardScheduler::PassOver(Request& request) {
  stats_.most_passed_over = std::max(stats_.most_passed_over, ++request.passed_over);
}

void ForwardScheduler::Add(Request& request, int rows, Pass& pass) {
  const ForwardBatch& batch = *request.batch;
  const int first = request.done;
  const auto row_in_pass = static_cast<int>(pass.batch.tokens.size());
  while (rows > 0 && request.group < batch.groups.size()) {
    const RowGroup& group = batch.groups[request.group];
    const int taken = std::min(rows, group.rows - request.done_of_group);
    if (taken > 0) pass.batch.groups.push_back({taken, group.context, group.own});
    rows -= taken;
    request.done += taken;
    request.done_of_group += taken;
    if (request.done_of_group == group.rows) {
      ++request.group;
      request.done_of_group = 0;
    }
  }
  const auto append = [&](const std::vector<int32_t>& from, std::vector<int32_t>& to) {
    to.insert(to.end(), from.begin() + first, from.begin() + request.done);
  };
  append(batch.tokens, pass.batch.tokens);
  append(batch.positions, pass.batch.positions);
  Part part{&request, 0};
  for (; request.next_wanted < batch.logits_of.size() &&
         batch.logits_of[request.next_wanted] < request.done;
       ++request.next_wanted, ++part.wanted) {
    pass.batch.logits_of.push_back(batch.logits_of[request.next_wanted] - first + row_in_pass);
  }
  request.is_in_pass = true;
  pass.parts.push_back(part);
}

void ForwardScheduler::Count(const Pass& pass) {
  ++stats_.passes;
  stats_.rows += static_cast<int64_t>(pass.batch.tokens.size());
  const auto batches = static_cast<int64_t>(pass.parts.size());
  stats_.batches += batches;
  stats_.most_batches = std::max(stats_.most_batches, batches);
  const auto short_ones =
      std::ranges::count_if(pass.parts, [](const Part& part) { return part.request->is_short(); });
  if (short_ones > 0 && short_ones < batches) ++stats_.mixed_passes;
}

std::vector<std::vector<float>> ForwardScheduler::Run(const Pass& pass,
                                                      ProgressListener* progress) const {
  // What is told of is the whole batch's progress, pass by pass; a pass asks whether to go on.
  class Canceler : public ProgressListener {
   public:
    explicit Canceler(const ProgressListener* listener) : listener_(listener) {}
    void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
    bool IsCanceled() const override { return listener_->IsCanceled(); }

   private:
    const ProgressListener* listener_;
  } canceler(progress);
  const std::vector<float> hidden =
      weights_.HiddenStates(pass.batch, progress == nullptr ? nullptr : &canceler);
  const auto dim = static_cast<size_t>(weights_.config().dim);
  const auto vocab = static_cast<size_t>(weights_.config().vocab);
  std::vector<std::vector<float>> results;
  std::vector<float> for_logits;  // the hidden states of all that want them: one product
  size_t at = 0;
  for (const Part& part : pass.parts) {
    const auto begin = hidden.begin() + static_cast<long>(at);
    at += static_cast<size_t>(part.wanted) * dim;
    const auto end = hidden.begin() + static_cast<long>(at);
    if (part.request->wants_logits) {
      for_logits.insert(for_logits.end(), begin, end);
      results.emplace_back();
    } else {
      results.emplace_back(begin, end);
    }
  }
  const std::vector<float> logits = weights_.Logits(for_logits);
  auto next = logits.begin();
  for (size_t i = 0; i < results.size(); ++i) {
    if (!pass.parts[i].request->wants_logits) continue;
    const auto end = next + static_cast<long>(static_cast<size_t>(pass.parts[i].wanted) * vocab);
    results[i].assign(next, end);
    next = end;
  }
  return results;
}

}  // namespace promptdb
