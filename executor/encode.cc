#include "executor/encode.h"

#include <ctime>
#include <map>

#include "executor/module_scan.h"
#include "executor/prefill.h"

namespace promptdb {

StateManifest ManifestOf(const PromptSegment& segment, const SegmentKeys& keys,
                         const std::string& label, const BoundPrompt& prompt,
                         const OpenModel& model, double encode_ms) {
  StateManifest manifest;
  manifest.key = keys.key;
  manifest.shape = model.kv_shape();
  manifest.tokens = static_cast<int>(segment.tokens.size());
  manifest.start_position = segment.start - keys.origin;
  manifest.label = label;
  manifest.of_chat = !segment.chat_label.empty();
  if (keys.is_private) manifest.owner = prompt.owner.user;
  manifest.model = model.fingerprint();
  manifest.context = keys.context;
  manifest.token_ids = segment.tokens;
  manifest.created_at = std::time(nullptr);
  manifest.encode_ms = encode_ms;
  return manifest;
}

namespace {

void EncodeSegments(const std::vector<int>& segments, QueryState& query) {
  if (segments.empty()) return;
  const Stopwatch watch;
  ForwardBatch batch;
  for (const int index : segments) query.AddSegment(index, batch);
  RunBatch(batch, PrefillResult::kLogits, &query.sink, query);
  const double forward_ms = watch.Milliseconds();

  double total_flops = 0;
  for (const int index : segments) {
    const EncodeNode* node = query.plan.encodes[static_cast<size_t>(index)];
    if (node != nullptr) total_flops += node->flops;
  }
  for (const int index : segments) {
    const EncodeNode* node = query.plan.encodes[static_cast<size_t>(index)];
    const double share_ms =
        node != nullptr && total_flops > 0 ? forward_ms * node->flops / total_flops : 0;
    const Stopwatch publish_watch;
    const ModuleScanNode* scan = query.plan.scans[static_cast<size_t>(index)];
    // A piece of another state, which is gone, has no name of its own.
    if (scan != nullptr && !query.Segment(index).prefix_of) {
      const StateManifest manifest =
          ManifestOf(query.Segment(index), query.plan.keys[static_cast<size_t>(index)],
                     scan->module, query.plan.prompt, query.model, share_ms);
      // The address of the segment stays, since later groups point at it.
      KvSegment& states = *query.segments[static_cast<size_t>(index)];
      states = query.cache.Publish(manifest, std::move(states), query.model.home());
      states.PlaceAt(query.Segment(index).start);
    }
    if (node != nullptr) {
      NodeActuals& actual = query.actuals[static_cast<size_t>(node->id)];
      actual.ms = share_ms + publish_watch.Milliseconds();
      actual.rows = node->tokens;
    }
  }
}

}  // namespace

void EncodeMissing(std::vector<int> segments, QueryState& query) {
  std::map<int, const ModuleScanNode*> absent;  // the others have no room in memory
  std::vector<Digest> keys;
  for (const int index : segments) {
    const ModuleScanNode* scan = query.plan.scans[static_cast<size_t>(index)];
    if (scan == nullptr || query.cache.Probe(scan->key).tier != Tier::kMiss) continue;
    absent[index] = scan;
    keys.push_back(scan->key);
  }
  const StateCache::Computing computing =
      query.cache.BeginComputing(keys, [&] { return query.sink.IsCanceled(); });
  // Another query may have computed some while this one waited.
  ScansWithoutRoom without_room;
  std::erase_if(segments, [&](int index) {
    const auto scan = absent.find(index);
    return scan != absent.end() && query.cache.Probe(scan->second->key).tier != Tier::kMiss &&
           ScanModule(*scan->second, query, without_room);
  });
  without_room.Tell(query.sink);
  EncodeSegments(segments, query);
}

}  // namespace promptdb
