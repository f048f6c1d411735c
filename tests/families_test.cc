// Every model family against llama.cpp, token for token: tests/data/families.json has what it wrote
// greedily on the very GGUF files that are made here (bench/families.mjs says how).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "executor/transformer.h"
#include "tests/support/tiny_checkpoint.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

// llama.cpp reads GELU off a table of f16 values, which moves logits by some 1e-3. Where two tokens
// are nearer than this, it may have taken the other one.
constexpr float kNearTie = 2e-3f;

nlohmann::json Fixture() {
  std::ifstream file(std::filesystem::path(PROMPTDB_SOURCE_DIR) / "tests/data/families.json");
  return nlohmann::json::parse(file);
}

std::vector<TokenId> PromptTokens(const Checkpoint& checkpoint, const std::string& text) {
  const auto tokenizer = checkpoint.gguf_vocabulary() != nullptr
                             ? Tokenizer::FromGguf(*checkpoint.gguf_vocabulary())
                             : Tokenizer::FromHuggingFace(checkpoint.path());
  std::vector<TokenId> tokens;
  if (tokenizer->adds_bos()) tokens.push_back(tokenizer->bos_id().value());
  for (const TokenId token : tokenizer->Encode(text)) tokens.push_back(token);
  return tokens;
}

// The logits of the last of `tokens`, which follow what `own` holds.
std::vector<float> Extend(const Transformer& model, const std::vector<TokenId>& tokens,
                          KvSegment& own) {
  ForwardBatch batch;
  batch.tokens = tokens;
  batch.positions.resize(tokens.size());
  std::iota(batch.positions.begin(), batch.positions.end(), own.tokens());
  batch.groups = {{static_cast<int>(tokens.size()), {}, &own}};
  batch.logits_of = {static_cast<int32_t>(tokens.size()) - 1};
  return model.Forward(batch);
}

// How many of `wanted` are not the likeliest after the prompt and those before them; each of these
// must be a near tie. None: greedy text is `wanted`.
int NearTies(const Transformer& model, const std::vector<TokenId>& prompt,
             const std::vector<TokenId>& wanted) {
  KvSegment own(model.kv_shape(), 0, static_cast<int>(prompt.size() + wanted.size()));
  std::vector<TokenId> next = prompt;
  int near_ties = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const std::vector<float> logits = Extend(model, next, own);
    const auto best = std::max_element(logits.begin(), logits.end());
    const float gap = *best - logits[static_cast<size_t>(wanted[i])];
    if (best - logits.begin() != wanted[i]) {
      EXPECT_LT(gap, kNearTie) << "token " << i << " is " << best - logits.begin() << " and not "
                               << wanted[i];
      ++near_ties;
    }
    next = {wanted[i]};
  }
  return near_ties;
}

TEST(Families, GreedyTokensEqualLlamaCpps) {
  const nlohmann::json fixture = Fixture();
  const std::string text = fixture["text"];
  std::set<std::string> families;
  int runs = 0, near_ties = 0;
  for (const nlohmann::json& run : fixture["runs"]) {
    const std::string family = run["family"];
    SCOPED_TRACE(family + ", seed " + std::to_string(run["seed"].get<int>()));
    families.insert(family);
    TinyModel tiny = TinyModel::Of(family);
    tiny.seed = run["seed"];
    const auto wanted = run["tokens"].get<std::vector<TokenId>>();
    EXPECT_EQ(wanted.size(), 64u);
    // A model that repeats itself would prove little.
    EXPECT_GT(std::set<TokenId>(wanted.begin(), wanted.end()).size(), 12u);

    const TemporaryFolder folder("families");
    WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
    WriteHuggingFace(tiny, folder / "m", TensorDtype::kF32);
    std::vector<int> ties;
    for (const char* name : {"m.gguf", "m"}) {
      SCOPED_TRACE(name);
      const std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::Open(folder / name);
      const std::vector<TokenId> prompt = PromptTokens(*checkpoint, text);
      EXPECT_EQ(prompt, run["prompt_tokens"].get<std::vector<TokenId>>());
      const auto model = Transformer::Load(
          checkpoint, {.dtype = WeightDtype::kF32, .kv_dtype = KvDtype::kF32}, nullptr);
      ties.push_back(NearTies(*model, prompt, wanted));
    }
    EXPECT_EQ(ties[0], ties[1]);
    ++runs;
    near_ties += ties[0];
  }
  for (const std::string& family : TinyModel::Families()) {
    EXPECT_TRUE(families.contains(family)) << family << " is not in the fixture";
  }
  EXPECT_LE(near_ties, 4);
  std::printf("%d families, %d runs of 64 tokens, %d tokens of which are near ties\n",
              static_cast<int>(families.size()), runs, near_ties);
}

// Words, numbers, marks and spaces as the pre-tokenizers of all families cut them.
TEST(Families, BothFormsHaveTheSameTokens) {
  const std::vector<std::string> texts = {
      "The town's 12345 boats, 7 of them old: (a+b)=c!",
      "  two  spaces\n\nand\tlines \r\n end  ",
      "it's 3.14159 or 2026-11-25 ... \"quoted\" `code` ~tilde~ $5",
      "Zürich — naïve café, 東京 42 км½",
      "don't WE'LL they'd'Ve",
  };
  for (const std::string& family : TinyModel::Families()) {
    SCOPED_TRACE(family);
    const TemporaryFolder folder("families");
    const TinyModel tiny = TinyModel::Of(family);
    WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
    WriteHuggingFace(tiny, folder / "m", TensorDtype::kF32);
    const auto gguf = Checkpoint::Open(folder / "m.gguf");
    const auto hugging_face = Checkpoint::Open(folder / "m");
    for (const std::string& text : texts) {
      EXPECT_EQ(PromptTokens(*gguf, text), PromptTokens(*hugging_face, text)) << text;
    }
  }
}

// What a position scheme promises, apart from any reference: with RoPE and ALiBi only distances
// count, and with learned positions the place itself.
TEST(Families, MovingAPromptChangesOnlyLearnedPositions) {
  const std::map<std::string, bool> moves = {
      {"llama", false}, {"falcon", false}, {"mpt", false}, {"gpt2", true}};
  for (const auto& [family, changes] : moves) {
    SCOPED_TRACE(family);
    const TemporaryFolder folder("families");
    WriteGguf(TinyModel::Of(family), folder / "m.gguf", TensorDtype::kF32);
    const auto model = Transformer::Load(Checkpoint::Open(folder / "m.gguf"),
                                         {.dtype = {}, .kv_dtype = KvDtype::kF32}, nullptr);
    // Two segments, the second with a gap before it.
    const auto logits_at = [&](int start, int gap) {
      KvSegment first(model->kv_shape(), start, 3), second(model->kv_shape(), start + 3 + gap, 2);
      ForwardBatch batch;
      batch.tokens = {70, 80, 90, 75, 85};
      batch.positions = {start, start + 1, start + 2, start + 3 + gap, start + 4 + gap};
      batch.groups = {{3, {}, &first}, {2, {{&first, 0, 3}}, &second}};
      batch.logits_of = {4};
      return model->Forward(batch);
    };
    const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
      float most = 0;
      for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
      return most;
    };
    const std::vector<float> here = logits_at(0, 5);
    EXPECT_EQ(distance(logits_at(200, 5), here) > 1e-3f, changes);
    EXPECT_GT(distance(logits_at(0, 40), here), 1e-3f) << "the gap counts";
  }
}

}  // namespace
}  // namespace promptdb
