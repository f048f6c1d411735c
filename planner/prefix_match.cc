#include "planner/prefix_match.h"

#include <algorithm>
#include <span>
#include <utility>

#include "planner/state_key.h"

namespace promptdb {

namespace {

class PrefixCutter {
 public:
  PrefixCutter(SegmentNamer namer, const StateCache& cache)
      : namer_(std::move(namer)), cache_(cache) {}

  // Each takes the next segment of the prompt; `left`: how many of its last tokens are not looked
  // for.
  void Keep(PromptSegment segment) {
    Begin(segment);
    Add(std::move(segment), 0);
  }
  void Cut(PromptSegment segment, int left = 0) {
    Begin(segment);
    if (segment.placeholders.empty() && !IsCached(segment) && MayCut(segment)) {
      CutOne(segment, static_cast<size_t>(left));
    } else {
      Add(std::move(segment), 0);
    }
  }

  const std::vector<PromptSegment>& segments() const { return segments_; }

 private:
  // Where a part of a segment that was cut has gone.
  struct Piece {
    int segment = 0;
    int first = 0;  // token of the former segment
    int tokens = 0;
  };

  void Begin(PromptSegment& segment) {
    segment.attends = Moved(segment.attends);
    pieces_.emplace_back();
  }

  bool IsCached(const PromptSegment& segment) const {
    return !segment.is_new && cache_.Probe(namer_.KeysOf(segment).key).tier != Tier::kMiss;
  }

  // Whoever has states of their own learns nothing of other schemas' texts: by how many tokens are
  // found, one could be guessed token by token.
  bool MayCut(const PromptSegment& segment) const {
    return !namer_.has_salt() || namer_.KeysOf(segment).is_private;
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

  void CutOne(PromptSegment& rest, size_t left) {
    int first = 0;
    // Behind text that has to be computed nothing can be cached but what was stored after the very
    // same text, which the search finds too.
    while (rest.tokens.size() > left) {
      const SegmentKeys keys = namer_.KeysOf(rest);
      const auto sought = std::span(rest.tokens).first(rest.tokens.size() - left);
      const StateIndex::PrefixMatch match =
          cache_.LongestPrefix(namer_.model(), keys.context, rest.start - keys.origin, sought);
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
    const bool behind_new_text =
        std::ranges::any_of(segments_, [](const PromptSegment& segment) { return segment.is_new; });
    rest.is_new = rest.is_new || first > 0 || behind_new_text;
    Add(std::move(rest), first);
  }

  int Add(PromptSegment segment, int first) {
    const int index = static_cast<int>(segments_.size());
    pieces_.back().push_back({index, first, static_cast<int>(segment.tokens.size())});
    namer_.Add(segment);
    segments_.push_back(std::move(segment));
    return index;
  }

  // A scan costs more than computing fewer tokens beside others.
  static constexpr int kLeastTokens = 4;

  SegmentNamer namer_;  // of the new segments
  const StateCache& cache_;
  std::vector<PromptSegment> segments_;
  std::vector<std::vector<Piece>> pieces_;  // by former segment
};

}  // namespace

void CutAtCachedPrefixes(const Digest& model_fingerprint, PositionScheme positions,
                         const StateCache& cache, std::span<BoundPrompt> rows) {
  BoundPrompt& first = rows.front();
  PrefixCutter shared(SegmentNamer(model_fingerprint, positions, first.owner.salt), cache);
  const bool has_rows = rows.size() > 1;
  const size_t ends = first.segments.size() - (has_rows ? 1 : 0);
  for (size_t i = 0; i < ends; ++i) shared.Cut(first.segments[i]);
  if (!has_rows) {
    first.segments = shared.segments();
    return;
  }
  for (BoundPrompt& row : rows) {
    PrefixCutter own = shared;
    own.Cut(row.segments.back(), 1);
    row.shared_segments = static_cast<int>(shared.segments().size());
    row.segments = own.segments();
  }
}

void CutTurnAtCachedPrefix(const Digest& model_fingerprint, PositionScheme positions,
                           const StateCache& cache, BoundPrompt& prompt) {
  PrefixCutter cutter(SegmentNamer(model_fingerprint, positions, prompt.owner.salt), cache);
  for (size_t i = 0; i + 1 < prompt.segments.size(); ++i) cutter.Keep(prompt.segments[i]);
  cutter.Cut(prompt.segments.back(), 1);
  prompt.segments = cutter.segments();
}

}  // namespace promptdb
