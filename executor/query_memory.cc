#include "executor/query_memory.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/error.h"

namespace promptdb {

namespace {

// How soon a query that waits notices that nobody wants it any more.
constexpr std::chrono::milliseconds kCancelPoll{20};

// In MB, or in kB where that would hide how much it is.
std::string Shown(int64_t bytes) {
  constexpr int64_t kKibibyte = 1 << 10, kMebibyte = 1 << 20, kLittle = 16 * kMebibyte;
  const auto in = [&](int64_t unit) { return std::to_string((bytes + unit - 1) / unit); };
  return bytes < kLittle && bytes % kMebibyte != 0 ? in(kKibibyte) + "kB" : in(kMebibyte) + "MB";
}

}  // namespace

QueryMemory::Reservation::Reservation(Reservation&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}

QueryMemory::Reservation::~Reservation() {
  if (memory_ != nullptr) memory_->Release(bytes_);
}

QueryMemory::Reservation QueryMemory::Reserve(int64_t bytes, const Urgency& urgency,
                                              const ProgressListener& listener) {
  std::unique_lock lock(mutex_);
  CheckFits(bytes);
  if (waiting_.empty() && HasRoom(bytes)) {
    Take(bytes);
    return {this, bytes};
  }
  Waiter waiter;
  waiter.bytes = bytes;
  waiter.urgency = urgency;
  const auto place = std::ranges::find_if(
      waiting_, [&](const Waiter* other) { return GoesBefore(urgency, other->urgency); });
  const auto self = waiting_.insert(place, &waiter);
  ++waited_;
  try {
    while (waiting_.front() != &waiter || !HasRoom(bytes)) {
      waiter.changed.wait_for(lock, kCancelPoll);
      CheckFits(bytes);
      lock.unlock();
      const bool is_canceled = listener.IsCanceled();
      lock.lock();
      if (is_canceled) {
        throw Error(ErrorCode::kCanceled, "the query was stopped while it waited for memory");
      }
    }
  } catch (const Error&) {
    waiting_.erase(self);
    WakeFirst();
    throw;
  }
  waiting_.erase(self);
  Take(bytes);
  WakeFirst();
  return {this, bytes};
}

void QueryMemory::SetBudget(int64_t bytes) {
  const std::scoped_lock lock(mutex_);
  budget_ = bytes;
  for (Waiter* waiter : waiting_) waiter->changed.notify_one();
}

QueryMemory::Stats QueryMemory::stats() const {
  const std::scoped_lock lock(mutex_);
  return {budget_, reserved_, most_reserved_, static_cast<int64_t>(waiting_.size()),
          waited_, refused_};
}

void QueryMemory::CheckFits(int64_t bytes) {
  if (bytes <= budget_) return;
  ++refused_;
  throw Error(
      ErrorCode::kResource,
      "the query may need " + Shown(bytes) + " of memory, and query_memory is " + Shown(budget_),
      "Ask for fewer tokens (max_tokens) or prompts, or SET query_memory to more.");
}

void QueryMemory::Take(int64_t bytes) {
  reserved_ += bytes;
  most_reserved_ = std::max(most_reserved_, reserved_);
}

void QueryMemory::WakeFirst() {
  if (!waiting_.empty()) waiting_.front()->changed.notify_one();
}

void QueryMemory::Release(int64_t bytes) {
  const std::scoped_lock lock(mutex_);
  reserved_ -= bytes;
  WakeFirst();
}

}  // namespace promptdb
