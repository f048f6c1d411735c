#include "executor/settings.h"

#include <algorithm>
#include <cstdio>

#include "base/nearest_name.h"
#include "executor/threads.h"
#include "planner/options.h"

namespace promptdb {

namespace {

// Bytes in the largest unit that loses nothing: "4GB", "1536MB".
std::string FormatBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (unit < 4 && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

// Without zeros at the end.
std::string FormatNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

constexpr int kMostThreads = 1024;
constexpr int kMostTokens = 1 << 24;
constexpr double kMostNats = 1000;

}  // namespace

Settings::Settings(BufferPool* pool, DevicePool* device_pool, StateCache* cache, Rocks* rocks,
                   QueryMemory* query_memory, const MemoryBudgets& defaults)
    : pool_(pool),
      device_pool_(device_pool),
      cache_(cache),
      rocks_(rocks),
      query_memory_(query_memory),
      defaults_(defaults) {}

std::vector<std::string> Settings::Names() {
  return {"accuracy_tolerance",
          "cache",
          "cpu_cache",
          "deadline",
          "disk_cache",
          "disk_compression",
          "durability",
          "eviction_policy",
          "gpu_cache",
          "kl_tolerance",
          "max_tokens",
          "pin_cache",
          "priority",
          "query_memory",
          "reuse",
          "threads"};
}

bool Settings::IsOfDatabase(std::string_view name) {
  static constexpr std::string_view kOfDatabase[] = {
      "cpu_cache", "disk_cache", "disk_compression", "durability", "eviction_policy",
      "gpu_cache", "pin_cache",  "query_memory",     "threads"};
  return std::find(std::begin(kOfDatabase), std::end(kOfDatabase), name) != std::end(kOfDatabase);
}

void Settings::Set(const ast::Name& name, const ast::Literal& value) {
  if (name.text == "accuracy_tolerance") {
    tolerance_.points = LiteralReal(value, name.text, 0, 100);
  } else if (name.text == "kl_tolerance") {
    tolerance_.nats = LiteralReal(value, name.text, 0, kMostNats);
  } else if (name.text == "cache") {
    query_.cache = LiteralBoolean(value, name.text);
  } else if (name.text == "cpu_cache") {
    const int64_t bytes = LiteralBytes(value, name.text);
    // What PIN keeps is within the budget too.
    if (cache_->stats().pin_budget > bytes) cache_->SetPinBudget(bytes);
    pool_->SetBudget(bytes);
  } else if (name.text == "deadline") {
    urgency_.deadline = LiteralDeadline(value);
  } else if (name.text == "priority") {
    urgency_.priority = LiteralPriority(value);
  } else if (name.text == "query_memory") {
    query_memory_->SetBudget(LiteralBytes(value, name.text));
  } else if (name.text == "disk_cache") {
    cache_->SetDiskBudget(LiteralBytes(value, name.text));
  } else if (name.text == "disk_compression") {
    const bool is_on = LiteralChoice(value, name.text, {"none", "zstd"}) == "zstd";
    rocks_->SetCompression(is_on ? Rocks::Compression::kZstd : Rocks::Compression::kNone);
  } else if (name.text == "pin_cache") {
    cache_->SetPinBudget(LiteralBytes(value, name.text));
  } else if (name.text == "eviction_policy") {
    SetPolicies(LiteralChoice(value, name.text, EvictionPolicyNames()));
  } else if (name.text == "gpu_cache") {
    cache_->SetDeviceBudget(LiteralBytes(value, name.text));
  } else if (name.text == "durability") {
    rocks_->SetSyncsWrites(LiteralChoice(value, name.text, {"sync", "async"}) == "sync");
  } else if (name.text == "max_tokens") {
    query_.max_tokens = static_cast<int>(LiteralInteger(value, name.text, 1, kMostTokens));
  } else if (name.text == "reuse") {
    query_.reuse = ReuseModeNamed(LiteralChoice(value, name.text, {"modular", "exact", "none"}));
  } else if (name.text == "threads") {
    SetThreads(static_cast<int>(LiteralInteger(value, name.text, 0, kMostThreads)));
  } else {
    std::string hint = DidYouMean(name.text, Names());
    if (hint.empty()) hint = "SHOW SETTINGS lists them.";
    throw Error(ErrorCode::kUnknownName, "there is no setting \"" + name.text + "\"", hint,
                name.range);
  }
}

void Settings::Reset(const ast::Name& name) {
  const QueryDefaults defaults;
  if (name.text == "accuracy_tolerance") {
    tolerance_.points = AccuracyTolerance().points;
  } else if (name.text == "kl_tolerance") {
    tolerance_.nats = AccuracyTolerance().nats;
  } else if (name.text == "cache") {
    query_.cache = defaults.cache;
  } else if (name.text == "cpu_cache") {
    pool_->SetBudget(defaults_.cpu);
  } else if (name.text == "deadline") {
    urgency_.deadline = UrgencyDefaults().deadline;
  } else if (name.text == "priority") {
    urgency_.priority = UrgencyDefaults().priority;
  } else if (name.text == "query_memory") {
    query_memory_->SetBudget(defaults_.queries);
  } else if (name.text == "disk_cache") {
    cache_->SetDiskBudget(defaults_.disk);
  } else if (name.text == "disk_compression") {
    rocks_->SetCompression(Rocks::Compression::kNone);
  } else if (name.text == "pin_cache") {
    cache_->SetPinBudget(defaults_.pins);
  } else if (name.text == "eviction_policy") {
    SetPolicies(DefaultEvictionPolicyName());
  } else if (name.text == "gpu_cache") {
    cache_->SetDeviceBudget(0);
  } else if (name.text == "durability") {
    rocks_->SetSyncsWrites(true);
  } else if (name.text == "max_tokens") {
    query_.max_tokens = defaults.max_tokens;
  } else if (name.text == "reuse") {
    query_.reuse = defaults.reuse;
  } else if (name.text == "threads") {
    SetThreads(0);
  } else {
    throw Error(ErrorCode::kUnknownName, "there is no setting \"" + name.text + "\"",
                DidYouMean(name.text, Names()), name.range);
  }
}

void Settings::SetPolicies(std::string_view name) {
  pool_->SetPolicy(EvictionPolicyNamed(name));
  device_pool_->SetPolicy(EvictionPolicyNamed(name));
}

std::vector<Settings::Row> Settings::Rows() const {
  const StateCacheStats cache = cache_->stats();
  return {
      {"accuracy_tolerance", FormatNumber(tolerance_.points),
       "points of exact match that a way of reuse may lose before queries tell (ANALYZE MODEL)"},
      {"cache", query_.cache ? "on" : "off", "whether queries use and fill the cache"},
      {"cpu_cache", FormatBytes(pool_->stats().budget_bytes),
       "most memory for attention states (whole database)"},
      {"deadline", DeadlineName(urgency_.deadline),
       "how long after it comes a statement is of use; then it ends (none: for ever)"},
      {"disk_cache", FormatBytes(cache.disk_budget),
       "most bytes of attention states on disk (whole database; 0: no limit)"},
      {"disk_compression", rocks_->compression() == Rocks::Compression::kZstd ? "zstd" : "none",
       "how states that are stored from now on lie on disk: none or zstd (whole database)"},
      {"durability", rocks_->syncs_writes() ? "sync" : "async",
       "whether a change is on the disk when its statement ends (whole database)"},
      {"eviction_policy", std::string(pool_->policy_name()),
       "which states leave that memory first: gdsf, lru or s3fifo (whole database)"},
      {"gpu_cache", FormatBytes(device_pool_->stats().budget_bytes),
       "most memory of a device for attention states (whole database; 0: no device tier)"},
      {"kl_tolerance", FormatNumber(tolerance_.nats),
       "the same in nats of KL divergence, for models that answer too few questions"},
      {"max_tokens", std::to_string(query_.max_tokens), "most tokens to generate"},
      {"pin_cache", FormatBytes(cache.pin_budget),
       "most memory that PIN may take, of all tiers (whole database)"},
      {"priority", PriorityName(urgency_.priority),
       "who goes first where statements wait: high, normal, low, or a number"},
      {"query_memory", FormatBytes(query_memory_->stats().budget),
       "most memory that running queries may take for themselves (whole database)"},
      {"reuse", std::string(ReuseModeName(query_.reuse)), "modular, exact or none"},
      {"threads", std::to_string(Threads()),
       "threads of the forward pass (whole process; 0: cores)"},
  };
}

}  // namespace promptdb
