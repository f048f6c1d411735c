#include "planner/prefix_match.h"

#include <algorithm>
#include <span>
#include <utility>

#include "planner/state_key.h"

namespace promptdb {

namespace {

class PrefixCutter {
 public:
  PrefixCutter(const Digest& model, const StateCache& cache, BoundPrompt& prompt)
      : model_(model), cache_(cache), prompt_(prompt) {}

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
    if (segment.is_new) return false;
    const Digest key = StateKey(model_, ContextOf(segment), segment.tokens, segment.start);
    return cache_.Probe(key).tier != Tier::kMiss;
  }

  Digest ContextOf(const PromptSegment& segment) const {
    std::vector<AttendedKey> attended;
    for (const AttendedSpan& span : segment.attends) {
      attended.push_back({keys_[static_cast<size_t>(span.segment)], span.begin, span.end});
    }
    return ContextDigest(attended);
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
      const StateIndex::PrefixMatch match =
          cache_.LongestPrefix(model_, ContextOf(rest), rest.start, rest.tokens);
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
    keys_.push_back(segment.prefix_of
                        ? *segment.prefix_of
                        : StateKey(model_, ContextOf(segment), segment.tokens, segment.start));
    prompt_.segments.push_back(std::move(segment));
    return index;
  }

  // A scan costs more than computing fewer tokens beside others.
  static constexpr int kLeastTokens = 4;

  const Digest& model_;
  const StateCache& cache_;
  BoundPrompt& prompt_;
  std::vector<std::vector<Piece>> pieces_;  // by former segment
  std::vector<Digest> keys_;                // of the states that the new segments' tokens are in
};

}  // namespace

void CutAtCachedPrefixes(const Digest& model_fingerprint, const StateCache& cache,
                         BoundPrompt& prompt) {
  PrefixCutter(model_fingerprint, cache, prompt).Cut();
}

}  // namespace promptdb
