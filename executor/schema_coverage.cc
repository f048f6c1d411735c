#include "executor/schema_coverage.h"

namespace promptdb {

KeyedStates::KeyedStates(const OpenSchema& schema)
    : states(ListStates(schema.definition, schema.layout)),
      keys(ComputeSegmentKeys(states.prompt.segments, schema.model->fingerprint())) {}

void Coverage::Add(const Coverage& other) {
  tokens += other.tokens;
  bytes += other.bytes;
  cpu_bytes += other.cpu_bytes;
  is_whole = is_whole && other.is_whole;
  is_whole_in_cpu = is_whole_in_cpu && other.is_whole_in_cpu;
}

std::string_view Coverage::tier() const {
  return TierName(!is_whole ? Tier::kMiss : is_whole_in_cpu ? Tier::kCpu : Tier::kDisk);
}

Coverage Cover(const std::vector<int>& segments, const KeyedStates& keyed,
               const StateCache& cache) {
  Coverage coverage;
  for (const int segment : segments) {
    const auto index = static_cast<size_t>(segment);
    const StateInfo info = cache.Probe(keyed.keys[index].key);
    coverage.Add({static_cast<int>(keyed.states.prompt.segments[index].tokens.size()), info.bytes,
                  info.cpu_bytes, info.tier != Tier::kMiss, info.tier == Tier::kCpu});
  }
  return coverage;
}

Coverage Cover(const LaidOutPart& part, const KeyedStates& keyed, const StateCache& cache) {
  Coverage coverage = Cover(part.atoms, keyed, cache);
  for (const LaidOutPart& child : part.children) coverage.Add(Cover(child, keyed, cache));
  return coverage;
}

}  // namespace promptdb
