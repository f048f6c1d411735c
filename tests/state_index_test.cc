// The index of states against a slow model of it: the longest prefix, who goes first, whose time is
// over.
#include "storage/state_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace promptdb {
namespace {

Digest Named(const std::string& name) { return Hasher().Add(name).Finish(); }
Digest KeyOf(int number) { return Named("key " + std::to_string(number)); }
Digest ContextOf(int number) { return Named("context " + std::to_string(number)); }

StateManifest Manifest(int number, int context, int start, std::vector<int32_t> tokens,
                       double encode_ms) {
  StateManifest manifest;
  manifest.key = KeyOf(number);
  manifest.shape = {2, 1, 8, KvDtype::kF32};
  manifest.tokens = static_cast<int>(tokens.size());
  manifest.start_position = start;
  manifest.model = Named("model");
  manifest.context = ContextOf(context);
  manifest.token_ids = std::move(tokens);
  manifest.encode_ms = encode_ms;
  return manifest;
}

struct ModelEntry {
  StateManifest manifest;
  int uses = 0;
  int64_t last_used = 0;
  double worth = 0;
};

TEST(StateIndex, DoesAsASlowModelDoes) {
  constexpr uint32_t kSeed = 3;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  StateIndex index;
  std::map<int, ModelEntry> entries;
  std::map<int, StatePolicy> policies;
  double clock = 0;
  int64_t now = 1000;
  const auto bytes_of = [](const StateManifest& manifest) {
    return BlockGrid(manifest.shape, manifest.tokens).TotalBytes();
  };
  const auto worth_of = [&](const ModelEntry& entry) {
    return clock + (entry.uses + 1) * entry.manifest.encode_ms /
                       static_cast<double>(bytes_of(entry.manifest));
  };
  const auto is_over = [&](int number) {
    const int64_t ttl = policies[number].ttl_seconds;
    return ttl > 0 && now - entries.at(number).last_used > ttl;
  };

  for (int step = 0; step < 4000; ++step) {
    now += random() % 2;
    const int number = static_cast<int>(random() % 60);
    switch (random() % 6) {
      case 0:
      case 1: {
        if (entries.contains(number)) break;
        std::vector<int32_t> tokens(1 + random() % 6);
        for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 2);
        entries[number] = {
            Manifest(number, static_cast<int>(random() % 3), static_cast<int>(random() % 2), tokens,
                     1 + static_cast<double>(random() % 50)),
            0, now};
        entries[number].worth = worth_of(entries[number]);
        index.Add(entries[number].manifest, now);
        break;
      }
      case 2: {
        const std::optional<int64_t> removed = index.Remove(KeyOf(number));
        ASSERT_EQ(removed.has_value(), entries.contains(number));
        if (removed) {
          EXPECT_EQ(*removed, bytes_of(entries[number].manifest));
        }
        entries.erase(number);
        break;
      }
      case 3:
        index.Use(KeyOf(number), now);
        if (const auto found = entries.find(number); found != entries.end()) {
          ++found->second.uses;
          found->second.last_used = now;
          found->second.worth = worth_of(found->second);
        }
        break;
      case 4:
        policies[number] = {static_cast<int64_t>(random() % 3 * 100),
                            static_cast<int>(random() % 3), random() % 5 == 0};
        index.SetPolicy(KeyOf(number), policies[number]);
        ASSERT_EQ(index.PolicyOf(KeyOf(number)), policies[number]);
        break;
      case 5: {
        const int excluded = static_cast<int>(random() % 60);
        std::optional<int> expected;
        for (const auto& [candidate, entry] : entries) {
          if (policies[candidate].is_pinned || candidate == excluded) continue;
          const auto rank = [&](int i) {
            return std::tuple(policies[i].priority, entries.at(i).worth, KeyOf(i));
          };
          if (!expected || rank(candidate) < rank(*expected)) expected = candidate;
        }
        const std::optional<Digest> victim =
            index.Victim([&](const Digest& key) { return key != KeyOf(excluded); });
        ASSERT_EQ(victim.has_value(), expected.has_value());
        if (!victim) break;
        ASSERT_EQ(*victim, KeyOf(*expected));
        clock = std::max(clock, entries.at(*expected).worth);
        break;
      }
    }
    int64_t bytes = 0;
    std::vector<Digest> over;
    for (const auto& [known, entry] : entries) {
      bytes += bytes_of(entry.manifest);
      if (is_over(known)) over.push_back(KeyOf(known));
      ASSERT_EQ(index.Find(KeyOf(known), now) == nullptr, is_over(known));
    }
    ASSERT_EQ(index.bytes(), bytes);
    ASSERT_EQ(index.states(), static_cast<int64_t>(entries.size()));
    std::sort(over.begin(), over.end());
    ASSERT_EQ(index.Expired(now), over);

    std::vector<int32_t> tokens(random() % 8);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 2);
    const int context = static_cast<int>(random() % 3), start = static_cast<int>(random() % 2);
    int longest = 0;
    for (const auto& [known, entry] : entries) {
      const StateManifest& manifest = entry.manifest;
      if (manifest.context != ContextOf(context) || manifest.start_position != start ||
          is_over(known)) {
        continue;
      }
      int common = 0;
      while (common < static_cast<int>(std::min(tokens.size(), manifest.token_ids.size())) &&
             tokens[static_cast<size_t>(common)] ==
                 manifest.token_ids[static_cast<size_t>(common)]) {
        ++common;
      }
      longest = std::max(longest, common);
    }
    const StateIndex::PrefixMatch match =
        index.LongestPrefix(Named("model"), ContextOf(context), start, tokens, now);
    ASSERT_EQ(match.tokens, longest);
    ASSERT_EQ(index.LongestPrefix(Named("another"), ContextOf(context), start, tokens, now).tokens,
              0);
  }
}

}  // namespace
}  // namespace promptdb
