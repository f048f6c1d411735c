// The central promise: whatever comes from the cache gives the answer of one slow, uncached pass
// with the block mask and position ids of the contract.
//
// Random schemas (texts, modules, unions, modules in modules, roles, parameters, scaffolds) and
// random prompts over them run through planner and operators four ways (computed and stored, from
// memory, from disk after a restart, and with cache = off), and each time the logits after the
// prompt are compared with ReferenceForward. PROMPTDB_SEED and PROMPTDB_CASES (a number of schemas
// an architecture) change what is run; the seed is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <random>
#include <set>
#include <utility>

#include "executor/database.h"
#include "executor/decode.h"
#include "executor/prefill.h"
#include "executor/query_state.h"
#include "executor/reference.h"
#include "executor/result.h"
#include "parser/parser.h"
#include "planner/module_path.h"
#include "planner/planner.h"
#include "tests/support/contract_mask.h"
#include "tests/support/random_cases.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

// Writes random schemas and queries as PromptQL, so that the parser and binder take part.
class RandomSchema {
 public:
  explicit RandomSchema(uint32_t seed) : random_(seed) {}

  std::string Create() {
    const int parts = 2 + Draw(4);
    for (int i = 0; i < parts; ++i) body_ += (i > 0 ? ", " : "") + Part("", 0, false);
    const int scaffolds = Draw(3);
    for (int i = 0; i < scaffolds; ++i) body_ += Scaffold("sc" + std::to_string(i));
    if (Draw(4) == 0) options_ = "WITH (portable = on) ";
    return "CREATE OR REPLACE SCHEMA s USING m " + options_ + "(" + body_ + ");";
  }

  // The same parts at other positions.
  std::string CreateMoved() const {
    return "CREATE OR REPLACE SCHEMA moved USING m " + options_ +
           "(MODULE before AS 'words that come first', " + body_ + ");";
  }

  // A valid selection with words of its own, or without when it ends in a module.
  std::string Query(const std::string& with) {
    std::string use;
    used_.clear();
    for (const Module& module : modules_) {
      if (Draw(4) == 0) continue;
      if (!module.parent.empty() && !used_.contains(module.parent)) continue;
      if (!module.union_name.empty() && !used_.insert("union " + module.union_name).second)
        continue;
      used_.insert(module.path);
      use += (use.empty() ? "" : ", ") + module.path;
      if (module.has_parameter && Draw(2) == 0) use += "(p => '" + std::to_string(Draw(99)) + "')";
    }
    if (Draw(3) == 0) use += (use.empty() ? "" : ", ") + QuoteText(Words());
    std::string query = "SELECT GENERATE (max_tokens => 4, ignore_eos => true) FROM s";
    if (!use.empty()) query += " USE " + use;
    if (use.empty() || Draw(4) != 0) query += " PROMPT " + QuoteText(Words());
    return query + with;
  }

  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }

 private:
  struct Module {
    std::string path, parent, union_name;
    bool has_parameter;
    std::set<std::string> unions;  // around it, at any depth
  };

  // Two or three modules that can stand in one prompt; nothing when they are not found at once.
  std::string Scaffold(const std::string& name) {
    std::set<std::string> members, unions;
    for (int tries = 0; tries < 6 && members.size() < 3 && !modules_.empty(); ++tries) {
      const Module& module = modules_[static_cast<size_t>(Draw(static_cast<int>(modules_.size())))];
      std::set<std::string> shared;
      std::set_intersection(unions.begin(), unions.end(), module.unions.begin(),
                            module.unions.end(), std::inserter(shared, shared.end()));
      if (!shared.empty()) continue;
      members.insert(module.path);
      unions.insert(module.unions.begin(), module.unions.end());
    }
    if (members.size() < 2) return "";
    std::string list;
    for (const std::string& member : members) list += (list.empty() ? "" : ", ") + member;
    return ", SCAFFOLD " + name + " (" + list + ")";
  }

  std::string Words() {
    static const char* kWords[] = {"the", "city", "a",      "river", "of",   "is", "and", "green",
                                   "in",  "old",  "Zürich", "42",    "said", "7",  "hot", "x"};
    std::string text;
    const int count = 1 + Draw(6);
    for (int i = 0; i < count; ++i) text += (i > 0 ? " " : "") + std::string(kWords[Draw(16)]);
    return text;
  }

  std::string Part(const std::string& parent, int depth, bool in_role) {
    const int kind = Draw(depth >= 2 ? 3 : in_role ? 5 : 6);
    switch (kind) {
      case 0:
        return "TEXT " + QuoteText(Words());
      case 1:
      case 2:
        return ModulePart(parent, "", depth, in_role);
      case 3: {
        const std::string name = "u" + std::to_string(next_name_++);
        std::string members;
        const int count = 2 + Draw(2);
        for (int i = 0; i < count; ++i) {
          members += (i > 0 ? ", " : "") + ModulePart(parent, name, depth + 1, in_role);
        }
        return "UNION " + name + " (" + members + ")";
      }
      case 4:
        return ModulePart(parent, "", depth, in_role);
      default: {
        static const char* kRoles[] = {"SYSTEM", "USER", "ASSISTANT"};
        const std::string role = kRoles[Draw(3)];
        if (Draw(2) == 0) return role + " " + QuoteText(Words());
        return role + " (" + Part(parent, depth + 1, true) + ", " + Part(parent, depth + 1, true) +
               ")";
      }
    }
  }

  std::string ModulePart(const std::string& parent, const std::string& union_name, int depth,
                         bool in_role) {
    const std::string name = "m" + std::to_string(next_name_++);
    const std::string path = parent.empty() ? name : parent + "." + name;
    modules_.push_back({path, parent, union_name, false, unions_around_});
    if (!union_name.empty()) modules_.back().unions.insert(union_name);
    if (Draw(4) == 0) {
      modules_.back().has_parameter = true;
      return "MODULE " + name + " (p TOKENS(" + std::to_string(8 + Draw(8)) +
             ") DEFAULT 'two') AS " +
             QuoteText(Draw(2) == 0 ? Words() + " {p} " + Words() : Words() + " {p}");
    }
    if (depth >= 2 || Draw(3) != 0) return "MODULE " + name + " AS " + QuoteText(Words());
    std::string head = "MODULE " + name, text = Words();
    if (Draw(3) == 0) {
      modules_.back().has_parameter = true;
      head += " (p TOKENS(8) DEFAULT 'two')";
      text += " {p} " + Words();
    }
    const std::set<std::string> outside = unions_around_;
    if (!union_name.empty()) unions_around_.insert(union_name);
    const std::string inside = Part(path, depth + 1, in_role);
    unions_around_ = outside;
    return head + " AS (TEXT " + QuoteText(text) + ", " + inside + ", TEXT " + QuoteText(Words()) +
           ")";
  }

  std::mt19937 random_;
  std::string body_;
  std::string options_;  // of CREATE SCHEMA, each way
  std::vector<Module> modules_;
  std::set<std::string> used_;
  std::set<std::string> unions_around_;  // the module that is being written
  int next_name_ = 0;
};

struct Answer {
  std::vector<float> logits;
  BoundPrompt prompt;
  int cached_tokens = 0;
  std::shared_ptr<const OpenSchema> schema;
  std::set<std::string> used;  // paths of modules
  std::vector<TokenId> generated;
};

Answer Ask(Database& database, const std::string& text) {
  QuietSink sink;
  const std::vector<ast::Statement> statements = Parse(text);
  const auto& select = std::get<ast::Select>(statements[0].node);
  const auto schema = database.rep().Open(select.schema, sink);
  const OpenModel& model = *schema->model;
  BoundPrompt prompt =
      BindPrompt(select, schema->definition, schema->layout, model.tokenizer(),
                 model.chat_template(), model.config().context_length, QueryDefaults());
  Answer answer;
  answer.prompt = prompt;
  answer.schema = schema;
  for (const ast::UseItem& item : select.use) {
    if (item.kind == ast::UseItem::Kind::kModule) answer.used.insert(JoinPath(item.path));
  }
  const PlanContext context = database.rep().ContextOf(model);
  const QueryPlan plan = PlanQuery(std::move(prompt), context);
  QueryState query(plan, model.Scheduler(&sink), model, database.rep().cache, sink);
  answer.logits = RunPrompt(query);
  answer.generated = RunDecode(*plan.decode, answer.logits, Stopwatch(), false, query).tokens;
  answer.cached_tokens = query.cached_tokens;
  return answer;
}

// The last row of one uncached f32 pass over the prompt's tokens.
// `generated` stands after the prompt.
std::vector<float> Truth(const Checkpoint& checkpoint, const Answer& answer,
                         const std::vector<TokenId>& generated = {}) {
  BoundPrompt prompt = answer.prompt;
  if (!generated.empty()) {
    PromptSegment& answered = prompt.segments.emplace_back();
    answered.tokens = generated;
    answered.start = prompt.end_position;
    answered.is_new = true;
  }
  std::vector<int32_t> tokens, positions;
  for (const PromptSegment& segment : prompt.segments) {
    for (size_t i = 0; i < segment.tokens.size(); ++i) {
      tokens.push_back(segment.tokens[i]);
      positions.push_back(segment.start + static_cast<int>(i));
    }
  }
  const AttentionMask mask = ContractMask(answer.schema->definition, answer.used,
                                          answer.schema->model->chat_template(), prompt);
  const std::vector<float> logits = ReferenceForward(checkpoint, tokens, positions, mask);
  // The row of the last position that is no placeholder's.
  size_t last = 0, row = 0;
  for (const PromptSegment& segment : prompt.segments) {
    for (int i = 0; i < static_cast<int>(segment.tokens.size()); ++i, ++row) {
      const auto holds = [&](const ParameterPlace& place) {
        return i >= place.begin && i < place.begin + place.tokens;
      };
      const bool is_placeholder =
          std::any_of(segment.placeholders.begin(), segment.placeholders.end(), holds);
      if (!is_placeholder && positions[row] >= positions[last]) last = row;
    }
  }
  const auto begin = logits.begin() + static_cast<long>(last) * checkpoint.config().vocab;
  return {begin, begin + checkpoint.config().vocab};
}

// How many of the answer's tokens are those that greedy decoding by the reference picks; counting
// ends where two of its logits are nearly equal. `*compared`: how many were looked at.
int GreedyTokensLikeReference(const Checkpoint& checkpoint, const Answer& answer, int* compared) {
  std::vector<TokenId> generated;
  for (const TokenId token : answer.generated) {
    std::vector<float> logits = Truth(checkpoint, answer, generated);
    const auto best = std::max_element(logits.begin(), logits.end());
    const float most = std::exchange(*best, -INFINITY);
    if (most - *std::max_element(logits.begin(), logits.end()) < 1e-3f) break;
    ++*compared;
    if (token != best - logits.begin()) return static_cast<int>(generated.size());
    generated.push_back(token);
  }
  return static_cast<int>(generated.size());
}

double WorstDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, static_cast<double>(std::fabs(a[i] - b[i])));
  }
  return worst;
}

// ‖a − b‖ / ‖b‖: what rounding of K and V does to the logits as a whole.
double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(a[i] - b[i], 2);
    size += std::pow(b[i], 2);
  }
  return std::sqrt(difference / size);
}

struct Case {
  std::string architecture;
  bool is_gguf;
  KvDtype kv_dtype;
  double tolerance;  // against the f32 reference: of each logit in f32, relative in bf16

  double Distance(const std::vector<float>& logits, const std::vector<float>& truth) const {
    return kv_dtype == KvDtype::kF32 ? WorstDifference(logits, truth)
                                     : RelativeDifference(logits, truth);
  }
};

class ReuseTest : public testing::TestWithParam<Case> {};

TEST_P(ReuseTest, EveryWayToReuseEqualsTheSlowPass) {
  const Case& param = GetParam();
  const auto seed = static_cast<uint32_t>(FromEnvironment("PROMPTDB_SEED", 20261124));
  const int cases = FromEnvironment("PROMPTDB_CASES", 25);
  std::printf("seed %u, %d schemas (PROMPTDB_SEED, PROMPTDB_CASES)\n", seed, cases);

  const TemporaryFolder folder("reuse");
  TinyModel tiny = TinyModel::Of(param.architecture);
  tiny.context = 1024;
  const std::string path = (folder / (param.is_gguf ? "m.gguf" : "m")).string();
  if (param.is_gguf) {
    WriteGguf(tiny, path, TensorDtype::kF32);
  } else {
    WriteHuggingFace(tiny, path, TensorDtype::kF32);
  }
  const auto checkpoint = Checkpoint::Open(path);
  auto database = std::make_unique<Database>(folder / "db");
  QuietSink sink;
  Session(database.get())
      .Execute("CREATE MODEL m FROM " + QuoteText(path) + " WITH (kv_dtype = '" +
                   std::string(KvDtypeName(param.kv_dtype)) + "')",
               sink);

  double worst_truth = 0, worst_reuse = 0;
  int moved_prompts = 0;
  int prompts = 0, prompts_from_cache = 0, prompts_with_scaffold = 0, greedy_tokens = 0;
  const char* kModes[] = {"modular", "exact", "none"};
  for (int i = 0; i < cases; ++i) {
    RandomSchema random(seed + static_cast<uint32_t>(i));
    const std::string create = random.Create();
    SCOPED_TRACE(create);
    Session(database.get()).Execute(create, sink);
    for (int q = 0; q < 3; ++q) {
      const std::string mode = kModes[q == 0 ? 0 : random.Draw(3)];
      const std::string query = random.Query(" WITH (reuse = '" + mode + "'");
      SCOPED_TRACE(query);
      const Answer stored = Ask(*database, query + ")");
      const Answer from_memory = Ask(*database, query + ")");
      const Answer off = Ask(*database, query + ", cache = off)");
      const std::vector<float> truth = Truth(*checkpoint, stored);
      ASSERT_LT(param.Distance(stored.logits, truth), param.tolerance);
      ASSERT_LT(param.Distance(from_memory.logits, truth), param.tolerance);
      ASSERT_LT(param.Distance(off.logits, truth), param.tolerance);
      worst_truth = std::max(worst_truth, param.Distance(from_memory.logits, truth));
      worst_reuse = std::max(worst_reuse, WorstDifference(from_memory.logits, off.logits));
      if (param.kv_dtype == KvDtype::kF32) {
        EXPECT_EQ(stored.generated, off.generated);
        EXPECT_EQ(from_memory.generated, off.generated);
        if (q == 0) {
          int compared = 0;
          EXPECT_EQ(GreedyTokensLikeReference(*checkpoint, from_memory, &compared), compared);
          greedy_tokens += compared;
        }
      }
      EXPECT_EQ(off.cached_tokens, 0);
      if (mode == "none") {
        EXPECT_EQ(from_memory.cached_tokens, 0);
      }
      ++prompts;
      if (from_memory.cached_tokens > 0) ++prompts_from_cache;
      const auto& segments = stored.prompt.segments;
      if (std::any_of(segments.begin(), segments.end(), [](const PromptSegment& segment) {
            return segment.label.find(" in scaffold ") != std::string::npos;
          })) {
        ++prompts_with_scaffold;
      }
      if (mode == "modular" && q == 0) {
        // The first time that the other schema is asked, and what the cache has is at other places.
        Session(database.get()).Execute(random.CreateMoved(), sink);
        std::string moved = query;
        moved.replace(moved.find("FROM s"), 6, "FROM moved");
        const Answer answer = Ask(*database, moved + ")");
        ASSERT_LT(param.Distance(answer.logits, Truth(*checkpoint, answer)), param.tolerance);
        if (answer.cached_tokens > 0) ++moved_prompts;
      }
      if (q == 0 && i % 5 == 0) {
        database.reset();
        database = std::make_unique<Database>(folder / "db");
        const Answer from_disk = Ask(*database, query + ")");
        ASSERT_LT(param.Distance(from_disk.logits, truth), param.tolerance);
        EXPECT_EQ(from_disk.cached_tokens, from_memory.cached_tokens);
      }
    }
  }
  EXPECT_GT(prompts_from_cache, prompts / 2);
  // Modules that nothing is certain to stand before are moved where positions are relative; there
  // always is something in models with a beginning-of-sequence token, whose states alone are found.
  EXPECT_GT(moved_prompts, param.architecture == "gpt2" ? -1 : cases / 5);
  std::printf(
      "%s %s: %d prompts, %d with tokens from the cache, %d with scaffolds, %d over states of "
      "another schema; worst distance of "
      "logits: %.2g to the reference (%s), %.2g to cache = off; %d greedy tokens as the "
      "reference's\n",
      param.architecture.c_str(), std::string(KvDtypeName(param.kv_dtype)).c_str(), prompts,
      prompts_from_cache, prompts_with_scaffold, moved_prompts, worst_truth,
      param.kv_dtype == KvDtype::kF32 ? "largest of a logit" : "relative", worst_reuse,
      greedy_tokens);
}

// bf16 keeps 8 bits of K and V, a relative error of up to 0.4 % in each; the logits' relative error
// stays below 3 %.
INSTANTIATE_TEST_SUITE_P(
    Architectures, ReuseTest,
    testing::Values(
        Case{"llama", true, KvDtype::kF32, 1e-4}, Case{"llama", false, KvDtype::kF32, 1e-4},
        Case{"qwen2", true, KvDtype::kF32, 1e-4}, Case{"qwen3", false, KvDtype::kF32, 1e-4},
        Case{"falcon", true, KvDtype::kF32, 1e-4}, Case{"mpt", false, KvDtype::kF32, 1e-4},
        Case{"gpt2", true, KvDtype::kF32, 1e-4}, Case{"llama", true, KvDtype::kBf16, 0.03},
        Case{"qwen2", false, KvDtype::kBf16, 0.03}, Case{"qwen3", true, KvDtype::kBf16, 0.03},
        Case{"falcon", false, KvDtype::kBf16, 0.03}, Case{"mpt", true, KvDtype::kBf16, 0.03},
        Case{"gpt2", false, KvDtype::kBf16, 0.03}, Case{"llama", true, KvDtype::kInt8, 0.05},
        Case{"qwen2", false, KvDtype::kInt8, 0.05}, Case{"mpt", true, KvDtype::kInt8, 0.05},
        Case{"llama", false, KvDtype::kInt4, 0.5}, Case{"qwen3", true, KvDtype::kInt4, 0.5},
        Case{"gpt2", true, KvDtype::kInt4, 0.5}),
    [](const testing::TestParamInfo<Case>& info) {
      return info.param.architecture + (info.param.is_gguf ? "_gguf_" : "_hf_") +
             std::string(KvDtypeName(info.param.kv_dtype));
    });

}  // namespace
}  // namespace promptdb
