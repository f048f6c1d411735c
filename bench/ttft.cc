// Time to first token, end to end through the session: computed from nothing, from states in
// memory, and from states on disk; several prompts over one document; planning with many modules;
// memory. Prints one JSON object to stdout; bench/compare.mjs sets it beside a peer.
//
//   ttft MODEL CACHED_TOKENS NEW_TOKENS DECODE_TOKENS [RUNS [PROMPTS]]
//
// The module is a text that the model's tokenizer cuts into about CACHED_TOKENS tokens; the exact
// count is printed. The database is a temporary folder beside the model, removed at the end. The
// page cache is warm for "disk": the states were written by this very process; what is cold is the
// buffer pool.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/stopwatch.h"
#include "bench/program.h"
#include "executor/session.h"
#include "parser/parser.h"

namespace promptdb {
namespace {

// Keeps the last row by column name, and the first column of all rows as text.
class LastRow : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>& columns) override { columns_ = columns; }
  void OnRow(const std::vector<Value>& row) override {
    row_ = row;
    if (const auto* text = std::get_if<std::string>(&row.front())) text_ += *text + '\n';
  }
  void OnNotice(std::string_view notice) override {
    std::fprintf(stderr, "notice: %.*s\n", static_cast<int>(notice.size()), notice.data());
  }

  void ForgetText() { text_.clear(); }
  const std::string& text() const { return text_; }

  double Number(std::string_view name) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].name != name) continue;
      if (const auto* whole = std::get_if<int64_t>(&row_[i])) return static_cast<double>(*whole);
      return std::get<double>(row_[i]);
    }
    throw Error(ErrorCode::kInternal, "the result has no column \"" + std::string(name) + "\"");
  }

 private:
  std::vector<Column> columns_;
  std::vector<Value> row_;
  std::string text_;
};

// The largest resident set of this process so far.
double PeakBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "VmHWM:") continue;
    double kibibytes = 0;
    status >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

// Of a query over 50 modules of a few words, all cached: parsing apart, all that comes before the
// first kernel.
double PlanningMs(Session& session, LastRow& sink) {
  std::string modules, used;
  for (int i = 0; i < 50; ++i) {
    const std::string name = "m" + std::to_string(i), comma = i > 0 ? ", " : "";
    modules += comma + "MODULE " + name + " AS " + QuoteText(Letters(10, 100 + i));
    used += comma + name;
  }
  session.Execute("CREATE SCHEMA many USING m (" + modules + "); WARM many;", sink);
  std::vector<double> ms;
  for (int i = 0; i < 7; ++i) {
    sink.ForgetText();
    session.Execute(
        "EXPLAIN ANALYZE SELECT GENERATE (max_tokens => 1) FROM many USE " + used + " PROMPT 'a'",
        sink);
    constexpr std::string_view kName = "planning_ms=";
    const size_t at = sink.text().find(kName);
    if (at == std::string::npos) throw Error(ErrorCode::kInternal, "EXPLAIN tells no planning_ms");
    ms.push_back(std::atof(sink.text().c_str() + at + kName.size()));
  }
  return Median(ms);
}

struct Measurement {
  std::vector<double> ttft_ms;
  double cached_tokens = 0;
  double prompt_tokens = 0;
};

int Main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr,
                 "usage: ttft MODEL CACHED_TOKENS NEW_TOKENS DECODE_TOKENS [RUNS [PROMPTS]]\n");
    return 2;
  }
  const std::filesystem::path model = argv[1];
  const int cached = std::atoi(argv[2]), fresh = std::atoi(argv[3]), decode = std::atoi(argv[4]);
  const int runs = argc > 5 ? std::atoi(argv[5]) : 5;
  const int prompts = argc > 6 ? std::atoi(argv[6]) : 0;

  const FolderBeside scratch(model, "ttft");
  const std::filesystem::path& folder = scratch.path();

  // Three tokens of the text's own go to the space that SentencePiece puts first, spelled in bytes.
  const std::string document = Letters(cached - 4, 1), question = Letters(fresh - 3, 2);
  const std::string ask = " FROM s USE doc PROMPT " + QuoteText(question);
  LastRow sink;
  auto database = std::make_unique<Database>(folder);
  auto session = std::make_unique<Session>(database.get());
  session->Execute("CREATE MODEL m FROM " + QuoteText(model.string()) +
                       "; CREATE SCHEMA s USING m (MODULE doc AS " + QuoteText(document) + ");",
                   sink);
  const auto measure = [&](const std::string& options, int max_tokens) {
    session->Execute("SELECT GENERATE (max_tokens => " + std::to_string(max_tokens) +
                         ", ignore_eos => true)" + ask + options,
                     sink);
    return sink.Number("ttft_ms");
  };

  // The first, short query loads the weights.
  session->Execute("SELECT GENERATE (max_tokens => 1) FROM s PROMPT 'warm up' WITH (cache = off)",
                   sink);
  Measurement cold, memory, disk;
  const int cold_runs = std::min(runs, 2);  // it takes long, and varies little
  for (int i = 0; i < cold_runs; ++i) cold.ttft_ms.push_back(measure(" WITH (cache = off)", 1));
  session->Execute("WARM s", sink);
  measure("", 1);
  for (int i = 0; i < runs; ++i) memory.ttft_ms.push_back(measure("", 1));
  memory.cached_tokens = sink.Number("cached_tokens");
  memory.prompt_tokens = sink.Number("prompt_tokens");
  measure("", decode + 1);
  const double decode_tps = decode / (sink.Number("total_ms") - sink.Number("ttft_ms")) * 1e3;
  const double peak_bytes = PeakBytes();
  double prompts_s = 0;
  if (prompts > 0) {
    std::string texts;
    for (int i = 0; i < prompts; ++i) {
      texts += (i > 0 ? ", " : "") + QuoteText(Letters(fresh - 3, 10 + i));
    }
    const Stopwatch watch;
    session->Execute("SELECT GENERATE (max_tokens => " + std::to_string(decode) +
                         ", ignore_eos => true) FROM s USE doc PROMPT IN (" + texts + ")",
                     sink);
    prompts_s = watch.Milliseconds() / 1e3;
  }
  const double planning_ms = PlanningMs(*session, sink);
  for (int i = 0; i < runs; ++i) {
    session.reset();
    database.reset();
    database = std::make_unique<Database>(folder);
    session = std::make_unique<Session>(database.get());
    session->Execute("SELECT GENERATE (max_tokens => 1) FROM s PROMPT 'warm up' WITH (cache = off)",
                     sink);
    disk.ttft_ms.push_back(measure("", 1));
  }
  session->Execute("SHOW STATS", sink);

  nlohmann::ordered_json out;
  out["model"] = model.filename().string();
  out["cached_tokens"] = memory.cached_tokens;
  out["prompt_tokens"] = memory.prompt_tokens;
  out["cold_ttft_ms"] = cold.ttft_ms;
  out["memory_ttft_ms"] = memory.ttft_ms;
  out["disk_ttft_ms"] = disk.ttft_ms;
  out["decode_tokens_per_s"] = decode_tps;
  out["prompts"] = prompts;
  out["prompts_s"] = prompts_s;
  out["planning_ms"] = planning_ms;
  out["peak_bytes"] = peak_bytes;
  out["median"] = {{"cold_ttft_ms", Median(cold.ttft_ms)},
                   {"memory_ttft_ms", Median(memory.ttft_ms)},
                   {"disk_ttft_ms", Median(disk.ttft_ms)},
                   {"speedup_memory", Median(cold.ttft_ms) / Median(memory.ttft_ms)},
                   {"speedup_disk", Median(cold.ttft_ms) / Median(disk.ttft_ms)}};
  std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv); }
