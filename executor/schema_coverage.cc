#include "executor/schema_coverage.h"

namespace promptdb {

KeyedStates::KeyedStates(const OpenSchema& schema)
    : states(ListStates(schema.definition, schema.layout)),
      keys(ComputeSegmentKeys(states.prompt.segments, schema.model->fingerprint(),
                              schema.model->config().positions)) {}

void Coverage::Add(const Coverage& other) {
  tokens += other.tokens;
  bytes += other.bytes;
  cpu_bytes += other.cpu_bytes;
  gpu_bytes += other.gpu_bytes;
  is_whole = is_whole && other.is_whole;
  is_whole_in_memory = is_whole_in_memory && other.is_whole_in_memory;
  is_whole_on_device = is_whole_on_device && other.is_whole_on_device;
}

std::string_view Coverage::tier() const {
  if (!is_whole) return TierName(Tier::kMiss);
  if (!is_whole_in_memory) return TierName(Tier::kDisk);
  return TierName(is_whole_on_device && tokens > 0 ? Tier::kGpu : Tier::kCpu);
}

Coverage Cover(const std::vector<int>& segments, const KeyedStates& keyed,
               const StateCache& cache) {
  Coverage coverage;
  for (const int segment : segments) {
    const auto index = static_cast<size_t>(segment);
    const StateInfo info = cache.Probe(keyed.keys[index].key, Tier::kGpu);
    const bool is_on_device = info.tier == Tier::kGpu;
    coverage.Add({static_cast<int>(keyed.states.prompt.segments[index].tokens.size()), info.bytes,
                  info.cpu_bytes, info.gpu_bytes, info.tier != Tier::kMiss,
                  is_on_device || info.tier == Tier::kCpu, is_on_device});
  }
  return coverage;
}

Coverage Cover(const LaidOutPart& part, const KeyedStates& keyed, const StateCache& cache) {
  Coverage coverage = Cover(part.atoms, keyed, cache);
  for (const LaidOutPart& child : part.children) coverage.Add(Cover(child, keyed, cache));
  return coverage;
}

}  // namespace promptdb
