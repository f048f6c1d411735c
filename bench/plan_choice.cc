// How good the planner's choices are: for modules of 16 to 4096 tokens whose states are in memory,
// on disk, on disk where the buffer pool has no room, or nowhere, the time to first token of each
// alternative that can be forced, beside that of the plan that the planner makes by itself, and
// what the planner expected. Measures the machine first (ANALYZE).
//
//   plan_choice MODEL [RUNS [MOST_TOKENS]]
//
// Times are medians of RUNS (7), in turns; of what takes long, of fewer. Prints a table and, last,
// how often the pick was the best, and its worst loss.
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/program.h"
#include "executor/database.h"
#include "executor/query_run.h"
#include "executor/session.h"
#include "parser/parser.h"
#include "planner/planner.h"

namespace promptdb {
namespace {

// The rates, as ANALYZE shows them.
class Printed : public QuietSink {
 public:
  void OnRow(const std::vector<Value>& row) override {
    std::printf("  %-36s %10s %s\n", std::get<std::string>(row[0]).c_str(),
                FormatValue(row[1]).c_str(), std::get<std::string>(row[2]).c_str());
  }
};

// A loss is one only above what times vary by on a quiet machine.
constexpr double kNoise = 0.03;
constexpr double kMostMs = 3000;  // of one measurement's runs, after the first
constexpr int kNewTokens = 32;
constexpr int kDecodedTokens = 32;

// Letters from a fixed sequence that are about so many tokens: every run measures the same.
std::string TextOf(int tokens, uint32_t seed, const Tokenizer& tokenizer) {
  const auto letters = [seed](size_t count) { return Letters(static_cast<int>(count), seed); };
  size_t count = static_cast<size_t>(tokens);
  for (int step = 0; step < 4; ++step) {
    const double per_letter = static_cast<double>(EncodeAt(letters(count), 1, tokenizer).size()) /
                              static_cast<double>(count);
    count = std::max<size_t>(1, static_cast<size_t>(std::lround(tokens / per_letter)));
  }
  return letters(count);
}

enum class Where { kMemory, kDisk, kNoRoom, kNowhere };
constexpr const char* kWhere[] = {"cpu", "disk", "no room", "miss"};

enum class How { kPicked, kScanned, kComputed };

struct Timing {
  double ms = 0;        // to the first token
  double estimate = 0;  // of the same
  bool is_computed = false;
};

class Choices {
 public:
  Choices(const std::filesystem::path& folder, const std::string& model, int runs)
      : database_(folder), runs_(runs) {
    std::printf("Rates:\n");
    Printed printed;
    Session(&database_).Execute("ANALYZE;", printed);
    Run("CREATE MODEL m FROM " + QuoteText(model));
    budget_ = rep().pool.stats().budget_bytes;
  }

  void Measure(int most_tokens) {
    std::printf("\n%7s %-8s %10s %10s %10s  %-8s %8s %8s  %s\n", "tokens", "states", "scan ms",
                "compute ms", "pick ms", "pick", "to best", "to comp.", "estimate / time");
    for (int tokens = 16; tokens <= most_tokens; tokens *= 2) MeasureLength(tokens);
    std::printf(
        "\nThe pick was the best in %d of %d cases (within %.0f %%). Worst loss against the "
        "best: %.1f %%;\nagainst computing: %.1f %%. Misses, which are stored for later "
        "queries, cost up to %.1f ms more than computing alone.\n",
        best_, cases_, kNoise * 100, worst_to_best_ * 100, worst_to_computed_ * 100,
        worst_store_ms_);
    std::printf("Estimates over times: %.2f to %.2f, median %.2f; %d of %zu within 25 %%.\n",
                *std::min_element(ratios_.begin(), ratios_.end()),
                *std::max_element(ratios_.begin(), ratios_.end()), Median(ratios_), Close(),
                ratios_.size());
  }

 private:
  Database::Rep& rep() { return database_.rep(); }

  void Run(const std::string& statements) {
    QuietSink quiet;
    Session(&database_).Execute(statements, quiet);
  }

  QueryPlan Plan(How how, int max_tokens = 1) {
    QuietSink quiet;
    const std::string text = "SELECT GENERATE (max_tokens => " + std::to_string(max_tokens) +
                             ", ignore_eos => true) FROM s USE doc PROMPT " + QuoteText(question_) +
                             (how == How::kComputed ? " WITH (cache = off)" : "") + ";";
    const std::vector<ast::Statement> statements = Parse(text);
    const auto& select = std::get<ast::Select>(statements[0].node);
    schema_ = rep().Open(select.schema, quiet);
    const OpenModel& model = *schema_->model;
    PlanContext context = rep().ContextOf(model);
    context.may_recompute = how == How::kPicked;
    return PlanQuery(
        BindPrompt(select, schema_->definition, schema_->layout, model.tokenizer(),
                   model.chat_template(), model.config().context_length, QueryDefaults()),
        context);
  }

  // The module is the last segment before the new text.
  static size_t ModuleOf(const QueryPlan& plan) { return plan.prompt.segments.size() - 2; }

  void Prepare(Where where) {
    rep().pool.SetBudget(budget_);
    const QueryPlan plan = Plan(How::kScanned);
    const Digest& key = plan.scans[ModuleOf(plan)]->key;
    if (where == Where::kNowhere) {
      rep().cache.Erase(key);
      return;
    }
    if (where == Where::kMemory) {
      if (rep().cache.Probe(key).tier != Tier::kCpu) Run("WARM s");
      return;
    }
    // What stands before the module stays in memory: it has to be there for every alternative.
    rep().pool.EraseState(key);
    if (where == Where::kNoRoom) rep().pool.SetBudget(rep().pool.stats().used_bytes + 1000);
  }

  Timing Once(How how) {
    QuietSink quiet;
    const Stopwatch watch;
    const QueryPlan plan = Plan(how);
    const double planning_ms = watch.Milliseconds();
    const QueryOutcome outcome =
        RunQuery(plan, planning_ms, *schema_->model, rep().cache, false, quiet);
    Timing timing;
    timing.ms = outcome.ttft_ms;
    timing.estimate = plan.root->estimate_ms;
    timing.is_computed = plan.scans[ModuleOf(plan)] == nullptr;
    return timing;
  }

  struct Times {
    std::vector<double> ms;
    Timing last;

    void Add(const Timing& timing) {
      ms.push_back(timing.ms);
      last = timing;
    }
    double median() const { return Median(ms); }
    double ratio() const { return last.estimate / median(); }
  };

  void MeasureLength(int tokens) {
    Run("CREATE OR REPLACE SCHEMA s USING m (MODULE doc AS 'a')");
    const auto tokenizer = [&]() -> const Tokenizer& { return schema_->model->tokenizer(); };
    Plan(How::kComputed);  // opens the schema
    question_ = TextOf(kNewTokens, 2, tokenizer());
    Run("CREATE OR REPLACE SCHEMA s USING m (MODULE doc AS " +
        QuoteText(TextOf(tokens, 1, tokenizer())) + "); WARM s");
    const QueryPlan shown = Plan(How::kScanned);
    const int real = static_cast<int>(shown.prompt.segments[ModuleOf(shown)].tokens.size());

    Times computed;
    Once(How::kComputed);  // loads the weights, and brings memory and threads up
    double spent = 0;
    for (int run = 0; run < runs_ && (run < 2 || spent < kMostMs); ++run) {
      computed.Add(Once(How::kComputed));
      spent += computed.last.ms;
    }
    for (const Where where : {Where::kMemory, Where::kDisk, Where::kNoRoom, Where::kNowhere}) {
      Times scanned, picked;
      spent = 0;
      for (int run = 0; run < runs_ && (run < 2 || spent < kMostMs); ++run) {
        for (const How how : {How::kScanned, How::kPicked}) {
          Prepare(where);
          (how == How::kScanned ? scanned : picked).Add(Once(how));
          spent += (how == How::kScanned ? scanned : picked).last.ms;
        }
      }
      Report(real, where, scanned, computed, picked);
    }
    MeasureDecode(real);
  }

  void Report(int tokens, Where where, const Times& scanned, const Times& computed,
              const Times& picked) {
    const double best = std::min({scanned.median(), computed.median(), picked.median()});
    const double to_best = picked.median() / best - 1;
    const double to_computed = picked.median() / computed.median() - 1;
    std::printf("%7d %-8s %10.2f %10.2f %10.2f  %-8s %7.1f%% %7.1f%%  scan %.2f, compute %.2f\n",
                tokens, kWhere[static_cast<int>(where)], scanned.median(), computed.median(),
                picked.median(), picked.last.is_computed ? "compute" : "scan", to_best * 100,
                to_computed * 100, scanned.ratio(), computed.ratio());
    std::fflush(stdout);
    ratios_.push_back(scanned.ratio());
    if (where == Where::kMemory) ratios_.push_back(computed.ratio());
    // A miss that is stored costs more now, so that later queries cost less: no matter of choice.
    if (where == Where::kNowhere) {
      worst_store_ms_ = std::max(worst_store_ms_, picked.median() - computed.median());
      return;
    }
    ++cases_;
    best_ += to_best <= kNoise ? 1 : 0;
    worst_to_best_ = std::max(worst_to_best_, to_best);
    worst_to_computed_ = std::max(worst_to_computed_, to_computed);
  }

  void MeasureDecode(int tokens) {
    Prepare(Where::kMemory);
    QuietSink quiet;
    std::vector<double> ms;
    double estimate = 0;
    for (int run = 0; run < std::min(runs_, 3); ++run) {
      const QueryPlan plan = Plan(How::kPicked, kDecodedTokens);
      const QueryOutcome outcome = RunQuery(plan, 0, *schema_->model, rep().cache, false, quiet);
      ms.push_back(outcome.total_ms - outcome.ttft_ms);
      estimate = plan.decode->estimate_ms;
    }
    std::printf("%7d decode   %10.2f%58s %.2f\n", tokens, Median(ms), "", estimate / Median(ms));
    ratios_.push_back(estimate / Median(ms));
  }

  int Close() const {
    return static_cast<int>(std::count_if(ratios_.begin(), ratios_.end(), [](double ratio) {
      return ratio > 1 / 1.25 && ratio < 1.25;
    }));
  }

  Database database_;
  const int runs_;
  int64_t budget_ = 0;
  std::string question_ = "a";
  std::shared_ptr<const OpenSchema> schema_;
  int cases_ = 0, best_ = 0;
  double worst_to_best_ = 0, worst_to_computed_ = 0, worst_store_ms_ = 0;
  std::vector<double> ratios_;
};

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: plan_choice MODEL [RUNS [MOST_TOKENS]]\n");
    return 2;
  }
  const std::filesystem::path model = argv[1];
  const FolderBeside scratch(model, "plan_choice");
  const std::filesystem::path& folder = scratch.path();
  Choices(folder, std::filesystem::absolute(model).string(), argc > 2 ? std::atoi(argv[2]) : 7)
      .Measure(argc > 3 ? std::atoi(argv[3]) : 4096);
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv); }
