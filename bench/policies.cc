// Which blocks stay in memory: eviction policies over traces of module uses.
//
//   policies [--json] [--requests=N] [--seed=N] [TRACE]
//
// Each request uses one module, all of whose blocks are then in memory; what it did not find there
// is a miss. The policies are those of storage/, told what the buffer pool tells them; only the
// blocks' contents are left out. TRACE is a recorded one, which replaces those that are made up: a
// line is the name of a module and its tokens. Prints a Markdown table, or with --json an array.
//
// "Bytes" is the part of the bytes asked for that was in memory, so the part that need not be read
// from disk. "FLOPs" is the part of the computation that is saved where the disk has nothing: that
// of the states that were in memory whole. Both leave out the first fifth of the requests, which
// meets an empty cache.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bench/program.h"
#include "storage/eviction_policy.h"
#include "storage/kv_format.h"

namespace promptdb {
namespace {

// ---- Modules -----------------------------------------------------------------------------------

struct Model {
  int layers, dim, hidden, heads, kv_heads, head_dim;

  KvShape kv_shape() const { return {layers, kv_heads, head_dim, KvDtype::kBf16}; }
  double weights() const {
    const double attention = 2.0 * dim * dim + 2.0 * dim * kv_heads * head_dim;
    return layers * (attention + 3.0 * dim * hidden);
  }
  // Of n tokens that see each other causally.
  double Flops(int n) const { return 2 * weights() * n + 2.0 * layers * dim * n * n; }
};

// SmolLM-135M's and TinyLlama-1.1B's shapes, as in docs/performance.md.
constexpr Model kSmall{30, 576, 1536, 9, 3, 64};
constexpr Model kLarge{22, 2048, 5632, 32, 4, 64};

// The machine that docs/performance.md speaks of.
constexpr double kFlopsPerSecond = 204e9;
constexpr double kBytesPerSecond = 33e9;

struct Module {
  double flops = 0;
  double cost_ms = 0;  // as it would be measured
  int64_t bytes = 0;
  std::vector<int64_t> block_bytes;
};

struct Trace {
  std::string name;
  std::vector<Module> modules;
  std::vector<int> requests;  // indices of modules
};

class TraceMaker {
 public:
  TraceMaker(std::string name, uint32_t seed) : random_(seed) { trace_.name = std::move(name); }

  // Returns its index.
  int AddModule(const Model& model, int tokens) {
    Module module;
    module.flops = model.Flops(tokens);
    // Times of equal work differ by about a fifth.
    const double noise = std::exp(0.2 * normal_(random_));
    module.cost_ms =
        1000 * noise *
        std::max(module.flops / kFlopsPerSecond, 2 * model.weights() / kBytesPerSecond);
    const BlockGrid grid(model.kv_shape(), tokens);
    for (int i = 0; i < grid.blocks(); ++i) {
      module.block_bytes.push_back(grid.Extent(i).payload_bytes + kBlockHeaderBytes);
    }
    module.bytes = grid.TotalBytes();
    trace_.modules.push_back(std::move(module));
    return static_cast<int>(trace_.modules.size()) - 1;
  }

  // Log-normal around `median`, within 16 … 8192.
  int Length(double median) {
    const double tokens = median * std::exp(normal_(random_));
    return static_cast<int>(std::clamp(tokens, 16.0, 8192.0));
  }

  // Among `count`: 0 is drawn most often, with a chance of 1 / rank^0.9.
  int Zipf(int count) {
    std::vector<double>& sums = zipf_sums_[count];
    if (sums.empty()) {
      double sum = 0;
      for (int i = 1; i <= count; ++i) sums.push_back(sum += std::pow(i, -0.9));
    }
    const auto found = std::upper_bound(sums.begin(), sums.end(), Uniform() * sums.back());
    return std::min(static_cast<int>(found - sums.begin()), count - 1);
  }

  double Uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  void Request(int module) { trace_.requests.push_back(module); }
  int requests() const { return static_cast<int>(trace_.requests.size()); }
  Trace Take() { return std::move(trace_); }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::map<int, std::vector<double>> zipf_sums_;
  Trace trace_;
};

// ---- Traces ------------------------------------------------------------------------------------

constexpr double kModuleTokens = 250;    // the median of a schema's modules
constexpr double kDocumentTokens = 800;  // and of documents

Trace ZipfTrace(int requests, uint32_t seed) {
  TraceMaker maker("Zipf", seed);
  for (int i = 0; i < 1000; ++i) maker.AddModule(kSmall, maker.Length(kModuleTokens));
  while (maker.requests() < requests) maker.Request(maker.Zipf(1000));
  return maker.Take();
}

// Every 1500 requests, 100 documents come that are never asked for again.
Trace ScanTrace(int requests, uint32_t seed) {
  TraceMaker maker("Zipf, and scans", seed);
  for (int i = 0; i < 1000; ++i) maker.AddModule(kSmall, maker.Length(kModuleTokens));
  while (maker.requests() < requests) {
    for (int i = 0; i < 1500; ++i) maker.Request(maker.Zipf(1000));
    for (int i = 0; i < 100; ++i) {
      maker.Request(maker.AddModule(kSmall, maker.Length(kDocumentTokens)));
    }
  }
  return maker.Take();
}

// 500 of 4000 modules are in use at a time; every 4000 requests half of them give way to others.
Trace ShiftingTrace(int requests, uint32_t seed) {
  TraceMaker maker("shifting sets", seed);
  for (int i = 0; i < 4000; ++i) maker.AddModule(kSmall, maker.Length(kModuleTokens));
  while (maker.requests() < requests) {
    const int first = maker.requests() / 4000 * 250;
    // Ranks are dealt anew, so that what was most popular may be gone or be at the end.
    maker.Request((first + (maker.Zipf(500) * 7 + first) % 500) % 4000);
  }
  return maker.Take();
}

// A third of the requests are for 100 modules that all share; the others for 20 documents at a
// time, each of which is asked about six times in the mean, and then never again.
Trace DocumentTrace(int requests, uint32_t seed) {
  TraceMaker maker("documents", seed);
  for (int i = 0; i < 100; ++i) maker.AddModule(kSmall, maker.Length(kModuleTokens));
  const auto new_document = [&] { return maker.AddModule(kSmall, maker.Length(kDocumentTokens)); };
  std::vector<int> open;
  for (int i = 0; i < 20; ++i) open.push_back(new_document());
  while (maker.requests() < requests) {
    if (maker.Uniform() < 1.0 / 3) {
      maker.Request(maker.Zipf(100));
      continue;
    }
    int& document = open[static_cast<size_t>(maker.Uniform() * 20)];
    maker.Request(document);
    if (maker.Uniform() < 1.0 / 6) document = new_document();
  }
  return maker.Take();
}

// Every other module is of a model that computes ten times as long for the same bytes.
Trace TwoModelTrace(int requests, uint32_t seed) {
  TraceMaker maker("two models", seed);
  for (int i = 0; i < 1000; ++i) {
    maker.AddModule(i % 2 == 0 ? kSmall : kLarge, maker.Length(kModuleTokens));
  }
  while (maker.requests() < requests) maker.Request(maker.Zipf(1000));
  return maker.Take();
}

Trace RecordedTrace(const std::string& path, uint32_t seed) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::kIo, "can't read \"" + path + "\"");
  TraceMaker maker("recorded", seed);
  std::map<std::string, int> modules;
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    std::istringstream words(text);
    std::string name, rest;
    int tokens = 0;
    if (!(words >> name)) continue;
    if (!(words >> tokens) || tokens < 1 || tokens > 1 << 20 || words >> rest) {
      throw Error(ErrorCode::kInvalidArgument,
                  "line " + std::to_string(line) + " is not a module and its tokens: " + text);
    }
    // A module whose length has changed has other states.
    const auto [found, is_new] = modules.emplace(name + ' ' + std::to_string(tokens), 0);
    if (is_new) found->second = maker.AddModule(kSmall, tokens);
    maker.Request(found->second);
  }
  if (maker.requests() == 0) throw Error(ErrorCode::kInvalidArgument, "the trace is empty");
  return maker.Take();
}

// ---- Replay ------------------------------------------------------------------------------------

struct Outcome {
  double bytes = 0;  // parts of 1
  double flops = 0;
  double ns_a_block = 0;  // time of the policy and the replay, for each block used
};

// What BufferPool does, without the blocks.
class Replay {
 public:
  Replay(const Trace& trace, int64_t budget, EvictionPolicyFactory make_policy)
      : trace_(trace), budget_(budget), policy_(make_policy()), in_memory_(trace.modules.size()) {
    for (size_t i = 0; i < in_memory_.size(); ++i) {
      in_memory_[i].resize(trace.modules[i].block_bytes.size());
    }
  }

  Outcome Run() {
    const auto begin = std::chrono::steady_clock::now();
    const size_t warm = trace_.requests.size() / 5;
    for (size_t i = 0; i < trace_.requests.size(); ++i) {
      if (i == warm) asked_ = found_ = {};
      Use(trace_.requests[i]);
    }
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
    return {found_.bytes / asked_.bytes, found_.flops / asked_.flops,
            time.count() / static_cast<double>(blocks_)};
  }

 private:
  struct Work {
    double bytes = 0;
    double flops = 0;
  };

  // The low half is what tables hash, and random as in a real digest.
  static BlockId IdOf(int module, size_t block) {
    const auto high = static_cast<uint64_t>(module);
    return {Digest{high, (high + 1) * 0x9e3779b97f4a7c15u}, static_cast<int>(block)};
  }

  void Use(int index) {
    const Module& module = trace_.modules[static_cast<size_t>(index)];
    std::vector<bool>& in_memory = in_memory_[static_cast<size_t>(index)];
    const auto bytes = static_cast<double>(module.bytes);
    blocks_ += static_cast<int64_t>(in_memory.size());
    asked_.bytes += bytes;
    asked_.flops += module.flops;
    if (module.bytes > budget_) return;
    bool whole = true;
    for (size_t i = 0; i < in_memory.size(); ++i) {
      if (in_memory[i]) {
        policy_->SetEvictable(IdOf(index, i), false);
        policy_->OnAccess(IdOf(index, i));
        found_.bytes += static_cast<double>(module.block_bytes[i]);
      } else {
        whole = false;
      }
    }
    if (whole) found_.flops += module.flops;
    for (size_t i = 0; i < in_memory.size(); ++i) {
      if (in_memory[i]) continue;
      MakeRoom(module.block_bytes[i]);
      used_ += module.block_bytes[i];
      in_memory[i] = true;
      const double share = static_cast<double>(module.block_bytes[i]) / bytes;
      policy_->OnInsert(IdOf(index, i), module.block_bytes[i], module.cost_ms * share);
    }
    for (size_t i = 0; i < in_memory.size(); ++i) policy_->SetEvictable(IdOf(index, i), true);
  }

  void MakeRoom(int64_t bytes) {
    while (used_ + bytes > budget_) {
      const std::optional<BlockId> victim = policy_->TakeVictim();
      Check(victim.has_value(), "blocks that no request uses can be evicted");
      const size_t index = victim->state.high, block = static_cast<size_t>(victim->index);
      in_memory_[index][block] = false;
      used_ -= trace_.modules[index].block_bytes[block];
    }
  }

  const Trace& trace_;
  const int64_t budget_;
  std::unique_ptr<EvictionPolicy> policy_;
  std::vector<std::vector<bool>> in_memory_;  // of each module, each block
  int64_t used_ = 0;
  int64_t blocks_ = 0;
  Work asked_, found_;
};

// Of the modules that are used more than once: what a cache could be of use for.
int64_t BytesUsedAgain(const Trace& trace) {
  std::vector<int> uses(trace.modules.size());
  for (const int module : trace.requests) ++uses[static_cast<size_t>(module)];
  int64_t bytes = 0;
  for (size_t i = 0; i < uses.size(); ++i) {
    if (uses[i] > 1) bytes += trace.modules[i].bytes;
  }
  return bytes;
}

constexpr int kBudgetPercents[] = {2, 5, 10, 20, 40};

void PrintText(const Trace& trace) {
  const int64_t all = BytesUsedAgain(trace);
  for (const int percent : kBudgetPercents) {
    std::printf("| %s | %d %% |", trace.name.c_str(), percent);
    for (const std::string& policy : EvictionPolicyNames()) {
      const Outcome outcome = Replay(trace, all / 100 * percent, EvictionPolicyNamed(policy)).Run();
      std::printf(" %.1f | %.1f |", 100 * outcome.bytes, 100 * outcome.flops);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

void PrintJson(const Trace& trace, bool is_first) {
  const int64_t all = BytesUsedAgain(trace);
  for (const int percent : kBudgetPercents) {
    for (const std::string& policy : EvictionPolicyNames()) {
      const int64_t budget = all / 100 * percent;
      const Outcome outcome = Replay(trace, budget, EvictionPolicyNamed(policy)).Run();
      std::printf(
          "%s\n  {\"trace\": \"%s\", \"policy\": \"%s\", \"budget_percent\": %d, "
          "\"budget_bytes\": %lld, \"bytes\": %.5f, \"flops\": %.5f, \"ns_a_block\": %.0f}",
          is_first ? "" : ",", trace.name.c_str(), policy.c_str(), percent,
          static_cast<long long>(budget), outcome.bytes, outcome.flops, outcome.ns_a_block);
      is_first = false;
    }
  }
}

int Number(std::string_view text, std::string_view flag) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(flag) + " must be a positive number: " + std::string(text));
  }
  return number;
}

int Run(int argc, char** argv) {
  bool json = false;
  int requests = 40'000;
  uint32_t seed = 1;
  std::string path;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json") {
      json = true;
    } else if (argument.starts_with("--requests=")) {
      requests = Number(argument.substr(11), "--requests");
    } else if (argument.starts_with("--seed=")) {
      seed = static_cast<uint32_t>(Number(argument.substr(7), "--seed"));
    } else if (!argument.starts_with("-") && path.empty()) {
      path = argument;
    } else {
      std::fputs("usage: policies [--json] [--requests=N] [--seed=N] [TRACE]\n", stderr);
      return 2;
    }
  }
  std::vector<Trace> traces;
  if (!path.empty()) {
    traces.push_back(RecordedTrace(path, seed));
  } else {
    for (const auto make : {ZipfTrace, ScanTrace, ShiftingTrace, DocumentTrace, TwoModelTrace}) {
      traces.push_back(make(requests, seed));
    }
  }
  if (json) {
    std::printf("[");
    for (const Trace& trace : traces) PrintJson(trace, &trace == &traces.front());
    std::printf("\n]\n");
    return 0;
  }
  std::string head = "| trace | budget |", line = "| --- | --- |";
  for (const std::string& policy : EvictionPolicyNames()) {
    head += " " + policy + " bytes | " + policy + " FLOPs |";
    line += " --- | --- |";
  }
  std::printf("%s\n%s\n", head.c_str(), line.c_str());
  for (const Trace& trace : traces) PrintText(trace);
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Run, argc, argv, 2); }
