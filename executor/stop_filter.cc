#include "executor/stop_filter.h"

#include <algorithm>

#include "base/error.h"

namespace promptdb {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) Check(!stop.empty(), "stop texts are not empty");
}

std::string StopFilter::Push(std::string_view piece) {
  Check(!stopped_, "nothing follows a stop text");
  const size_t known = held_.size();
  held_ += piece;
  for (size_t end = known + 1; end <= held_.size(); ++end) {
    const std::string_view so_far = std::string_view(held_).substr(0, end);
    size_t longest = 0;
    for (const std::string& stop : stops_) {
      if (so_far.ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) {
      stopped_ = true;
      return Release(end - longest);
    }
  }
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    size_t size = std::min(held_.size(), stop.size() - 1);
    while (size > keep && !held_.ends_with(std::string_view(stop).substr(0, size))) --size;
    keep = std::max(keep, size);
  }
  return Release(held_.size() - keep);
}

std::string StopFilter::Finish() { return stopped_ ? "" : Release(held_.size()); }

std::string StopFilter::Release(size_t bytes) {
  std::string out = held_.substr(0, bytes);
  held_.erase(0, bytes);
  return out;
}

}  // namespace promptdb
