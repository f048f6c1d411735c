// Passes generated text on, but never a part of a stop text nor anything after it.
//
// The answer ends with the first byte that completes a stop text; where that byte completes
// several, the longest of them is cut off. So what is shown depends on the text alone, never on
// where the tokens' borders lie in it.
//
// Not thread-safe: one per generation.
#ifndef PROMPTDB_EXECUTOR_STOP_FILTER_H_
#define PROMPTDB_EXECUTOR_STOP_FILTER_H_

#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

class StopFilter {
 public:
  // REQUIRES: no stop text is empty. Without any, all text passes at once.
  explicit StopFilter(std::vector<std::string> stops);

  // What can be shown now that `piece` has come. REQUIRES: !stopped().
  std::string Push(std::string_view piece);
  // At the end of the answer: what was held back as the possible beginning of a stop text.
  std::string Finish();

  bool stopped() const { return stopped_; }

 private:
  std::string Release(size_t bytes);

  std::vector<std::string> stops_;
  std::string held_;  // not shown yet: the beginning of some stop text
  bool stopped_ = false;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_STOP_FILTER_H_
