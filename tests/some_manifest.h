// Manifests of made-up states, by number.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_TESTS_SOME_MANIFEST_H_
#define PROMPTDB_TESTS_SOME_MANIFEST_H_

#include <cstdint>
#include <string>

#include "storage/state_manifest.h"

namespace promptdb {

inline Digest Key(uint64_t n) { return {n * 0x9e3779b97f4a7c15u, n}; }

inline StateManifest ManifestOf(uint64_t n, const KvShape& shape, int tokens) {
  StateManifest manifest;
  manifest.key = Key(n);
  manifest.shape = shape;
  manifest.tokens = tokens;
  manifest.start_position = 100 + static_cast<int>(n);
  manifest.label = "cities.m" + std::to_string(n);
  manifest.model = {1, 2};
  manifest.context = {3, n};
  for (int i = 0; i < tokens; ++i) manifest.token_ids.push_back(i * 3 + static_cast<int>(n));
  manifest.created_at = 1'700'000'000;
  manifest.encode_ms = 12.5;
  return manifest;
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SOME_MANIFEST_H_
