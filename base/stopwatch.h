// The time since it was made.
#ifndef PROMPTDB_BASE_STOPWATCH_H_
#define PROMPTDB_BASE_STOPWATCH_H_

#include <chrono>

namespace promptdb {

class Stopwatch {
 public:
  Stopwatch() : start_(std::chrono::steady_clock::now()) {}
  double Milliseconds() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
        .count();
  }

 private:
  std::chrono::steady_clock::time_point start_;
};

}  // namespace promptdb

#endif  // PROMPTDB_BASE_STOPWATCH_H_
