// How long work tells how far it is, and how it learns that the user wants it to stop.
#ifndef PROMPTDB_BASE_PROGRESS_H_
#define PROMPTDB_BASE_PROGRESS_H_

#include <cstdint>
#include <string_view>

namespace promptdb {

class ProgressListener {
 public:
  virtual ~ProgressListener() = default;

  // `done` of `total` units of `stage` are finished, e.g. ("loading stories", 3, 10, "MB") or
  // ("encoding cities.paris", 512, 4096, "tokens"). Called with done == total at the end of a
  // stage. Called on the thread that does the work; must be cheap.
  virtual void OnProgress(std::string_view stage, int64_t done, int64_t total,
                          std::string_view unit) = 0;

  // True when the work should stop: whoever asks then throws Error(kCanceled).
  virtual bool IsCanceled() const = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_BASE_PROGRESS_H_
