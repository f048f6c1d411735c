// Names of attention states: digests over everything that the states depend on.
//
// The key of a segment covers the model's fingerprint, the segment's tokens and positions, and the
// keys of all segments it attends to, and so, recursively, their tokens, positions and contexts.
// Two prompts share a state exactly when an uncached run would compute the same numbers for it; in
// particular schemas share modules that lie alike, and `exact` reuse is the case where every
// segment attends to all before it.
//
// Positions count from the segment's origin: the first position of all that its numbers depend on.
// RoPE and ALiBi see distances only, so that a segment and all it attends to, moved together, have
// the same states, but for keys that RoPE turns further (Su et al., "RoFormer", 2021). States are
// computed and stored as if the origin were 0, and moved when they are used (KvSegment::PlaceAt).
// Whatever attends to the prompt's first token has the origin 0; a module that attends to nothing
// before it has its own start. Learned positions are absolute: their origin is always 0.
//
// What a user has written is named with the salt of its StateOwner in the context, and so is, by
// its context, all that comes to see it: another user's prompt of the same tokens finds nothing. A
// schema's own text before that is named without, and serves all who may use the schema.
#ifndef PROMPTDB_PLANNER_STATE_KEY_H_
#define PROMPTDB_PLANNER_STATE_KEY_H_

#include <span>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "model/model_config.h"
#include "planner/chat_template.h"
#include "planner/prompt_binder.h"
#include "storage/kv_format.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

// Everything about the model that states depend on. `content`: digest of the checkpoint's files;
// `weight_dtype`: what weights are computed in ("f32", "bf16").
Digest ModelFingerprint(const Digest& content, const ModelConfig& config, const Digest& tokenizer,
                        const ChatTemplate& chat_template, std::string_view weight_dtype,
                        const KvShape& kv_shape);

// `key` is that of the state which holds the segment's tokens.
struct SegmentKeys {
  Digest key;
  Digest context;  // the digest of what the segment attends to besides itself
  int origin = 0;
  bool is_private = false;  // the segment's, or that of what it attends to
};

// Names segments one after another, each over the names of those it attends to.
class SegmentNamer {
 public:
  // `salt`: of private segments; see StateOwner.
  SegmentNamer(const Digest& model_fingerprint, PositionScheme positions, const Digest& salt)
      : model_(model_fingerprint), positions_(positions), salt_(salt) {}

  // The keys of a segment that attends to some of those that were added.
  SegmentKeys KeysOf(const PromptSegment& segment) const;
  void Add(const PromptSegment& segment) { keys_.push_back(KeysOf(segment)); }

  const Digest& model() const { return model_; }
  bool has_salt() const { return salt_ != Digest(); }
  const std::vector<SegmentKeys>& keys() const { return keys_; }  // in the order of Add()

 private:
  Digest model_;
  PositionScheme positions_;
  Digest salt_;
  std::vector<SegmentKeys> keys_;
};

std::vector<SegmentKeys> ComputeSegmentKeys(const std::vector<PromptSegment>& segments,
                                            const Digest& model_fingerprint,
                                            PositionScheme positions, const Digest& salt = {});

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_STATE_KEY_H_
