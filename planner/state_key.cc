#include "planner/state_key.h"

#include <algorithm>

namespace promptdb {

Digest ModelFingerprint(const Digest& content, const ModelConfig& config, const Digest& tokenizer,
                        const ChatTemplate& chat_template, std::string_view weight_dtype,
                        const KvShape& kv_shape) {
  Hasher hasher;
  hasher.Add("model").Add(static_cast<int64_t>(kBlockFormatVersion)).Add(content);
  config.AddTo(hasher);
  hasher.Add(tokenizer);
  chat_template.AddTo(hasher);
  hasher.Add(weight_dtype);
  hasher.Add(kv_shape.layers).Add(kv_shape.kv_heads).Add(kv_shape.head_dim);
  hasher.Add(KvDtypeName(kv_shape.dtype));
  return hasher.Finish();
}

SegmentKeys SegmentNamer::KeysOf(const PromptSegment& segment) const {
  SegmentKeys own;
  own.is_private = segment.is_private;
  own.origin = positions_ == PositionScheme::kLearned ? 0 : segment.start;
  for (const AttendedSpan& span : segment.attends) {
    const SegmentKeys& seen = keys_[static_cast<size_t>(span.segment)];
    own.origin = std::min(own.origin, seen.origin);
    own.is_private = own.is_private || seen.is_private;
  }
  Hasher context;
  context.Add("context").Add(static_cast<int64_t>(segment.attends.size()));
  bool is_moved = false;
  for (const AttendedSpan& span : segment.attends) {
    const SegmentKeys& seen = keys_[static_cast<size_t>(span.segment)];
    context.Add(seen.key).Add(span.begin).Add(span.end);
    is_moved = is_moved || seen.origin != own.origin;
  }
  // Where all count from one position, that is what earlier releases named it.
  if (is_moved) {
    context.Add("moved by");
    for (const AttendedSpan& span : segment.attends) {
      context.Add(keys_[static_cast<size_t>(span.segment)].origin - own.origin);
    }
  }
  if (segment.is_private) context.Add("private to").Add(salt_);
  own.context = context.Finish();
  if (segment.prefix_of) {
    own.key = *segment.prefix_of;
    return own;
  }
  Hasher key;
  key.Add("state").Add(model_).Add(own.context).Add(segment.start - own.origin);
  own.key = key.Add(std::span<const TokenId>(segment.tokens)).Finish();
  return own;
}

std::vector<SegmentKeys> ComputeSegmentKeys(const std::vector<PromptSegment>& segments,
                                            const Digest& model_fingerprint,
                                            PositionScheme positions, const Digest& salt) {
  SegmentNamer namer(model_fingerprint, positions, salt);
  for (const PromptSegment& segment : segments) namer.Add(segment);
  return namer.keys();
}

}  // namespace promptdb
