// How soon a statement is to be served, beside others that wait for the same thing.
//
// Plain values; thread-safe.
#ifndef PROMPTDB_BASE_URGENCY_H_
#define PROMPTDB_BASE_URGENCY_H_

#include <chrono>
#include <optional>

namespace promptdb {

struct Urgency {
  using Clock = std::chrono::steady_clock;

  int priority = 0;                           // the higher goes first
  std::optional<Clock::time_point> deadline;  // after which nobody wants it any more

  bool has_passed() const { return deadline && Clock::now() >= *deadline; }
};

// Whether `a` goes before `b`: by priority, then the nearer deadline, which is before none. What
// neither puts first goes in the order in which it came.
inline bool GoesBefore(const Urgency& a, const Urgency& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (!a.deadline || !b.deadline) return a.deadline && !b.deadline;
  return *a.deadline < *b.deadline;
}

}  // namespace promptdb

#endif  // PROMPTDB_BASE_URGENCY_H_
