// What this program writes where another has written something, greedily: bench/families.mjs sets
// the two side by side.
//
//   greedy MODEL TEXT TOKEN…
//
// TOKENs are the other program's. Weights and states are f32. Prints one JSON object: the prompt's
// tokens by the model's tokenizer, as many tokens as were given, and of the first that differs its
// place and how much likelier ours is, in logits.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/program.h"
#include "executor/transformer.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

// The logits of the last token.
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

int Main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: greedy MODEL TEXT TOKEN...\n");
    return 2;
  }
  const std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::Open(argv[1]);
  const auto tokenizer = checkpoint->gguf_vocabulary() != nullptr
                             ? Tokenizer::FromGguf(*checkpoint->gguf_vocabulary())
                             : Tokenizer::FromHuggingFace(checkpoint->path());
  const auto model = Transformer::Load(
      checkpoint, {.dtype = WeightDtype::kF32, .kv_dtype = KvDtype::kF32}, nullptr);
  std::vector<TokenId> prompt;
  if (tokenizer->adds_bos()) prompt.push_back(tokenizer->bos_id().value());
  for (const TokenId token : tokenizer->Encode(argv[2])) prompt.push_back(token);
  std::vector<TokenId> theirs;
  for (int i = 3; i < argc; ++i) theirs.push_back(std::atoi(argv[i]));

  nlohmann::ordered_json out;
  out["prompt_tokens"] = prompt;
  out["first_difference"] = nullptr;
  out["gap"] = nullptr;
  std::vector<TokenId> ours, next = prompt;
  KvSegment own(model->kv_shape(), 0, static_cast<int>(prompt.size() + theirs.size()));
  for (const TokenId other : theirs) {
    const std::vector<float> logits = Extend(*model, next, own);
    const auto best = std::max_element(logits.begin(), logits.end());
    ours.push_back(static_cast<TokenId>(best - logits.begin()));
    if (ours.back() != other && out["gap"].is_null()) {
      if (other < 0 || other >= model->config().vocab) {
        throw Error(ErrorCode::kInvalidArgument, "the model has no token " + std::to_string(other));
      }
      out["first_difference"] = ours.size() - 1;
      out["gap"] = *best - logits[static_cast<size_t>(other)];
    }
    next = {ours.back()};
  }
  out["tokens"] = ours;
  std::printf("%s\n", out.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv); }
