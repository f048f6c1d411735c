#include "planner/prefix_match.h"

#include <algorithm>
#include <span>
#include <utility>

#include "planner/state_key.h"

namespace promptdb {

namespace {

class PrefixCutter {
 public:
  PrefixCutter(SegmentNamer namer, const StateCache& cache, BoundPrompt& prompt)
      : namer_(std::move(namer)), cache_(cache), prompt_(prompt) {}

  void Cut() {
    std::vector<PromptSegment> segments = std::move(prompt_.segments);
    prompt_.segments.clear();
    for (PromptSegment& segment : segments) {
      segment.attends = Moved(segment.attends);
      pieces_.emplace_back();
      if (segment.placeholders.empty() && !IsCached(segment)) {
        CutOne(segment);
      } else {
        Add(std::move(segment), 0);
      }
    }
  }

 private:
  // Where a part of a segment that was cut has gone.
  struct Piece {
    int segment = 0;
    int first = 0;  // token of the former segment
    int tokens = 0;
  };

  bool IsCached(const PromptSegment& segment) const {
    return !segment.is_new && cache_.Probe(namer_.KeysOf(segment).key).tier != Tier::kMiss;
  }

  // Spans of the former segments, in those that they were cut into.
  std::vector<AttendedSpan> Moved(const std::vector<AttendedSpan>& spans) const {
    std::vector<AttendedSpan> moved;
    for (const AttendedSpan& span : spans) {
      for (const Piece& piece : pieces_[static_cast<size_t>(span.segment)]) {
        const int begin = std::max(span.begin, piece.first);
        const int end = std::min(span.end, piece.first + piece.tokens);
        if (begin < end) moved.push_back({piece.segment, begin - piece.first, end - piece.first});
      }
    }
    return moved;
  }

  void CutOne(PromptSegment& rest) {
    int first = 0;
    // Behind text that has to be computed nothing can be cached but what was stored after the very
    // same text, which the search finds too.
    while (!rest.tokens.empty()) {
      const SegmentKeys keys = namer_.KeysOf(rest);
      const StateIndex::PrefixMatch match =
          cache_.LongestPrefix(namer_.model(), keys.context, rest.start - keys.origin, rest.tokens);
      if (match.tokens < kLeastTokens) break;
      PromptSegment cached = rest;
      cached.tokens.resize(static_cast<size_t>(match.tokens));
      cached.is_new = false;
      cached.prefix_of = match.key;
      rest.tokens.erase(rest.tokens.begin(), rest.tokens.begin() + match.tokens);
      rest.start += match.tokens;
      const int index = Add(std::move(cached), first);
      rest.attends.push_back({index, 0, match.tokens});
      first += match.tokens;
    }
    if (rest.tokens.empty()) return;
    // A schema's text of which nothing is cached is stored as its own.
    const bool behind_new_text = std::ranges::any_of(
        prompt_.segments, [](const PromptSegment& segment) { return segment.is_new; });
    rest.is_new = rest.is_new || first > 0 || behind_new_text;
    Add(std::move(rest), first);
  }

  int Add(PromptSegment segment, int first) {
    const int index = static_cast<int>(prompt_.segments.size());
    pieces_.back().push_back({index, first, static_cast<int>(segment.tokens.size())});
    namer_.Add(segment);
    prompt_.segments.push_back(std::move(segment));
    return index;
  }

  // A scan costs more than computing fewer tokens beside others.
  static constexpr int kLeastTokens = 4;

  SegmentNamer namer_;  // of the new segments
  const StateCache& cache_;
  BoundPrompt& prompt_;
  std::vector<std::vector<Piece>> pieces_;  // by former segment
};

}  // namespace

void CutAtCachedPrefixes(const Digest& model_fingerprint, PositionScheme positions,
                         const StateCache& cache, BoundPrompt& prompt) {
  PrefixCutter(SegmentNamer(model_fingerprint, positions), cache, prompt).Cut();
}

}  // namespace promptdb
