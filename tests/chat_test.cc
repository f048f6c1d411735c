// Chats: whatever was kept, forked, evicted or lost, the next turn is that of one slow, uncached
// pass over the same tokens, and its tokens are the template's words around what was said.
//
// PROMPTDB_SEED and PROMPTDB_CASES (a number of chats an architecture) change what is run; the seed
// is printed.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "executor/prefill.h"
#include "executor/query_state.h"
#include "planner/chat_binder.h"
#include "planner/planner.h"
#include "tests/chat_bench.h"
#include "tests/support/random_cases.h"

namespace promptdb {
namespace {

double Worst(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, static_cast<double>(std::fabs(a[i] - b[i])));
  }
  return worst;
}

double Relative(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(a[i] - b[i], 2);
    size += std::pow(b[i], 2);
  }
  return std::sqrt(difference / size);
}

// The logits after a turn's prompt, from what is cached; the chat stays as it is.
std::vector<float> LogitsOfTurn(Database& database, const std::string& statement,
                                std::vector<TokenId>& turn_tokens) {
  RecordingSink sink;
  const std::vector<ast::Statement> statements = Parse(statement);
  const auto& node = std::get<ast::ContinueChat>(statements[0].node);
  const ChatDefinition chat = ChatNamed(database, node.name.text);
  const auto definition = database.rep().catalog.FindModel(chat.model);
  const auto model = database.rep().Open(*definition, {}, sink);
  BoundPrompt prompt = BindTurn(node, chat, model->tokenizer(), model->chat_template(),
                                model->config(), QueryDefaults());
  turn_tokens = prompt.segments.back().tokens;
  const PlanContext context = database.rep().ContextOf(*model);
  const QueryPlan plan = PlanQuery(std::move(prompt), context);
  QueryState query(plan, model->Scheduler(&sink), *model, database.rep().cache, sink);
  return RunPrompt(query);
}

struct Case {
  std::string architecture;
  bool is_gguf;
  std::string kv_dtype;
  double tolerance;  // against the f32 reference: of each logit in f32, relative in bf16
};

class ChatEqualityTest : public testing::TestWithParam<Case> {
 protected:
  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }

  std::string Words() {
    static const char* kWords[] = {"the", "city", "a",      "river", "of",   "is", "and", "green",
                                   "in",  "old",  "Zürich", "42",    "said", "7",  "hot", "x"};
    std::string text;
    const int count = 1 + Draw(7);
    for (int i = 0; i < count; ++i) text += (i > 0 ? " " : "") + std::string(kWords[Draw(16)]);
    return QuoteText(text);
  }

  std::mt19937 random_;
};

TEST_P(ChatEqualityTest, EveryTurnIsThatOfOneUncachedPass) {
  const Case& param = GetParam();
  const auto seed = static_cast<uint32_t>(FromEnvironment("PROMPTDB_SEED", 20261125));
  const int cases = FromEnvironment("PROMPTDB_CASES", 4);
  std::printf("seed %u, %d chats (PROMPTDB_SEED, PROMPTDB_CASES)\n", seed, cases);
  Bench bench(Tiny(param.architecture, 2048), " WITH (kv_dtype = '" + param.kv_dtype + "')",
              param.is_gguf);
  const auto checkpoint = Checkpoint::Open(bench.path());
  const bool is_exact = param.kv_dtype == "f32";

  double worst = 0;
  int turns = 0, answered = 0, turns_from_cache = 0;
  for (int i = 0; i < cases; ++i) {
    random_.seed(seed + static_cast<uint32_t>(i));
    const char* kModes[] = {"modular", "modular", "exact", "none"};
    const std::string mode = kModes[i % 4];
    SCOPED_TRACE("chat " + std::to_string(i) + ", reuse " + mode);
    bench.Run("CREATE OR REPLACE SCHEMA s USING m (SYSTEM " + Words() + ", MODULE a AS " + Words() +
              ", UNION u (MODULE b AS " + Words() + ", MODULE c AS " + Words() +
              "), MODULE p (v TOKENS(6) DEFAULT 'two') AS 'a {v} b', TEXT " + Words() + ");");
    const char* kUses[] = {"a, b", "c, p", "a, p(v => '7'), ", "b, p, 'free', USER "};
    std::string use = kUses[Draw(4)];
    if (use.ends_with(' ')) use += Words();
    bench.Run("BEGIN CHAT c FROM s USE " + use + " WITH (reuse = '" + mode + "');");
    std::set<std::string> chats = {"c"};
    for (int turn = 0; turn < 5; ++turn) {
      switch (Draw(6)) {
        case 0:
          bench.Restart();
          break;
        case 1:
          bench.EraseStates([&] { return Draw(2) == 0; });
          break;
        case 2:
          if (chats.size() == 1) {
            bench.Run("FORK c AS d;");
            chats.insert("d");
          }
          break;
        case 3:
          // Chats keep what they began with.
          bench.Run("CREATE OR REPLACE SCHEMA s USING m (TEXT " + Words() + ");");
          break;
        default:
          break;
      }
      for (const std::string& chat : chats) {
        const ChatDefinition before = bench.Chat(chat);
        const std::string prompt = " PROMPT " + Words();
        const int max_tokens = 1 + Draw(6);
        SCOPED_TRACE("turn " + std::to_string(turn) + " of " + chat + prompt);
        std::vector<TokenId> said;
        const std::vector<float> logits =
            LogitsOfTurn(bench.database(), "CONTINUE " + chat + prompt, said);
        const RecordingSink answer = bench.Run("CONTINUE " + chat + " (max_tokens => " +
                                               std::to_string(max_tokens) + ")" + prompt + ";");
        EXPECT_TRUE(answer.notices.empty());
        ++turns;
        if (CachedTokens(answer) > 0) ++turns_from_cache;
        if (mode == "none") {
          EXPECT_EQ(CachedTokens(answer), 0);
        }

        // Nothing that was there has changed, and the turn follows it. (`said` begins with what was
        // pending.)
        const ChatDefinition after = bench.Chat(chat);
        const std::vector<TokenId> old_tokens = TokensOf(before);
        const std::vector<TokenId> tokens = TokensOf(after);
        ASSERT_TRUE(std::equal(old_tokens.begin(), old_tokens.end(), tokens.begin()));
        const size_t prompt_tokens = old_tokens.size() - before.pending.size() + said.size();
        ASSERT_TRUE(std::equal(
            said.begin(), said.end(),
            tokens.begin() + static_cast<long>(old_tokens.size() - before.pending.size())));
        ASSERT_EQ(static_cast<int64_t>(tokens.size() - prompt_tokens),
                  std::get<int64_t>(answer.rows[0][4]));

        const SlowPass truth(*checkpoint, after, {});
        ASSERT_EQ(truth.tokens, tokens);
        const std::vector<float> expected = truth.Row(prompt_tokens - 1);
        const double distance = is_exact ? Worst(logits, expected) : Relative(logits, expected);
        ASSERT_LT(distance, param.tolerance);
        worst = std::max(worst, distance);
        for (size_t row = prompt_tokens; row < tokens.size(); ++row) {
          const std::vector<float> before_token = truth.Row(row - 1);
          const float best = *std::max_element(before_token.begin(), before_token.end());
          const float chosen = before_token[static_cast<size_t>(tokens[row])];
          // Equal, but for ties within the tolerance.
          ASSERT_LE(best - chosen, is_exact ? 2 * param.tolerance : 0.2) << "token " << row;
          ++answered;
        }
        // A turn more that nothing was kept for.
        if (turn == 4 && is_exact) {
          bench.Run("FORK " + chat + " AS e;");
          const std::string again = " PROMPT " + Words();
          const std::string kept = TextOf(bench.Run("CONTINUE " + chat + again));
          EXPECT_EQ(TextOf(bench.Run("CONTINUE e" + again + " WITH (cache = off)")), kept);
          bench.Run("END CHAT e;");
        }
      }
    }
    bench.ExpectNoStateIsLeftOver();
    for (const std::string& chat : chats) bench.Run("END CHAT " + chat + ";");
    bench.ExpectNoStateIsLeftOver();
    for (const StateManifest& state : bench.cache().List()) EXPECT_FALSE(state.of_chat);
  }
  EXPECT_GT(turns_from_cache, turns / 3);
  std::printf(
      "%d turns, %d with tokens from the cache, %d tokens generated; worst distance of logits to "
      "the reference: %.2g\n",
      turns, turns_from_cache, answered, worst);
}

INSTANTIATE_TEST_SUITE_P(
    Architectures, ChatEqualityTest,
    testing::Values(Case{"llama", true, "f32", 1e-4}, Case{"mistral", false, "f32", 1e-4},
                    Case{"qwen2", true, "f32", 1e-4}, Case{"qwen3", false, "f32", 1e-4},
                    Case{"falcon", true, "f32", 1e-4}, Case{"mpt", false, "f32", 1e-4},
                    Case{"gpt2", true, "f32", 1e-4}, Case{"llama", true, "bf16", 0.03}),
    [](const testing::TestParamInfo<Case>& info) {
      return info.param.architecture + (info.param.is_gguf ? "_gguf_" : "_hf_") +
             info.param.kv_dtype;
    });

// ---- What a turn says --------------------------------------------------------------------------

TEST(ChatTest, TemplateWordsStandBetweenTurns) {
  Bench bench(Tiny("qwen2", 512));  // with a ChatML template
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a; CONTINUE c (max_tokens => 3) PROMPT 'one';");
  bench.Run("CONTINUE c (max_tokens => 3) PROMPT 'two';");
  RecordingSink sink;
  const auto model =
      bench.database().rep().Open(*bench.database().rep().catalog.FindModel("m"), {}, sink);
  const ChatDefinition chat = bench.Chat("c");
  ASSERT_EQ(chat.turns.size(), 2u);
  const std::vector<TokenId> first =
      model->tokenizer().Encode("<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n");
  const std::vector<TokenId> second = model->tokenizer().Encode(
      "<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n");
  const std::vector<TokenId>& turn = chat.turns[1].tokens;
  // Two of three tokens have states; the third stands first in the next turn.
  ASSERT_EQ(chat.turns[0].tokens.size(), first.size() + 2);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), chat.turns[0].tokens.begin()));
  ASSERT_EQ(turn.size(), 1 + second.size() + 2);
  EXPECT_TRUE(std::equal(second.begin(), second.end(), turn.begin() + 1));
  EXPECT_EQ(chat.turns[1].start,
            chat.turns[0].start + static_cast<int>(chat.turns[0].tokens.size()));
}

TEST(ChatTest, AnEndTokenIsNotSaidTwice) {
  for (const bool has_words : {false, true}) {
    Bench bench(Tiny("qwen2", 512),
                has_words ? " WITH (chat_template = 'chatml')" : " WITH (chat_template = 'plain')");
    bench.Run(kSchema);
    bench.Run("BEGIN CHAT c FROM s;");
    RecordingSink sink;
    const auto model =
        bench.database().rep().Open(*bench.database().rep().catalog.FindModel("m"), {}, sink);
    const Tokenizer& tokenizer = model->tokenizer();
    const std::vector<TokenId> end = tokenizer.Encode("<|im_end|>");
    ASSERT_EQ(end.size(), 1u);
    const auto bind = [&](const ChatDefinition& chat, const std::string& text) {
      const std::vector<ast::Statement> statements =
          Parse("CONTINUE c PROMPT " + QuoteText(text) + ";");
      return BindTurn(std::get<ast::ContinueChat>(statements[0].node), chat, tokenizer,
                      model->chat_template(), model->config(), QueryDefaults())
          .segments.back();
    };
    const PromptSegment asked = bind(bench.Chat("c"), "one");
    TurnAnswer answer{tokenizer.Encode("yes"), 0, end[0]};
    answer.states = static_cast<int>(asked.tokens.size() + answer.tokens.size());
    const ChatDefinition chat = AfterTurn(bench.Chat("c"), asked, answer);
    EXPECT_TRUE(chat.pending.empty());

    const auto ends_in = [&](const std::string& text) {
      const std::vector<TokenId> tokens = bind(chat, text).tokens;
      return std::count(tokens.begin(), tokens.end(), end[0]);
    };
    const std::vector<TokenId> next = bind(chat, "two").tokens;
    EXPECT_EQ(next.front(), end[0]);
    // ChatML closes the answer and the user's turn; plain has only the model's own end.
    EXPECT_EQ(ends_in("two"), has_words ? 2 : 1);
    EXPECT_EQ(ends_in("<|im_end|>two"), has_words ? 3 : 1);
  }
}

TEST(ChatTest, WhatTheStopTextHidesIsNoPartOfTheChat) {
  Bench bench(Tiny("llama", 1024));
  bench.Run(kSchema);
  bench.Run("BEGIN CHAT c FROM s USE a; FORK c AS d;");
  const std::string whole =
      TextOf(bench.Run("CONTINUE c (max_tokens => 40, ignore_eos => on) PROMPT 'tell me';"));
  ASSERT_GT(whole.size(), 30u);
  const std::string stop = whole.substr(17, 6);
  const std::string shown =
      TextOf(bench.Run("CONTINUE d (max_tokens => 40, ignore_eos => on, stop => " +
                       QuoteText(stop) + ") PROMPT 'tell me';"));
  EXPECT_EQ(shown, whole.substr(0, whole.find(stop)));
  const std::vector<TokenId> all = TokensOf(bench.Chat("c"));
  const std::vector<TokenId> kept = TokensOf(bench.Chat("d"));
  ASSERT_LT(kept.size(), all.size());
  EXPECT_TRUE(std::equal(kept.begin(), kept.end(), all.begin()));
  // One token fewer would not hold what was shown.
  RecordingSink sink;
  const auto model =
      bench.database().rep().Open(*bench.database().rep().catalog.FindModel("m"), {}, sink);
  const auto text_of = [&](size_t answer_tokens) {
    const size_t asked = all.size() - 40;
    StreamDecoder decoder(model->tokenizer());
    std::string text;
    for (size_t i = 0; i < answer_tokens; ++i) text += decoder.Push(all[asked + i]);
    return text + decoder.Finish();
  };
  const size_t answer = kept.size() - (all.size() - 40);
  EXPECT_TRUE(text_of(answer).starts_with(shown));
  EXPECT_FALSE(answer > 0 && text_of(answer - 1).starts_with(shown));
  // And it goes on from there.
  bench.Run("CONTINUE d (max_tokens => 2) PROMPT 'more';");
}

}  // namespace
}  // namespace promptdb
