// Writes a tiny random model for shell tests and the tour of the README.
//
//   make_tiny_model OUT.gguf|OUT_FOLDER [--arch FAMILY] [--dtype f32|f16|bf16|q8_0|q4_0|q4_k|q6_k]
//   [--seed N]
//   [--layers N] [--dim N] [--hidden N]
//                   [--heads N] [--kv-heads N]
//                   [--head-dim N] [--vocab N] [--context N] [--shards N] [--tied]
//
// FAMILY is one of TinyModel::Families().
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/tiny_checkpoint.h"

namespace {

constexpr char kUsage[] =
    "usage: make_tiny_model OUT.gguf|OUT_FOLDER\n"
    "  [--arch llama|llama3|codellama|mistral|smollm|qwen2|qwen3|falcon|falcon40b|mpt|gpt2]\n"
    "  [--dtype f32|f16|bf16|q8_0|q4_0|q4_k|q6_k] [--seed N] [--layers N] [--dim N] [--hidden N] "
    "[--heads N]\n"
    "  [--kv-heads N] [--head-dim N] [--vocab N] [--context N] [--shards N] [--tied]\n";

int Usage() {
  std::cerr << kUsage;
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using promptdb::TensorDtype;
  std::string out;
  std::map<std::string, std::string> options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::cout << kUsage;
      return 0;
    }
    if (argument == "--tied") {
      options[argument] = "1";
    } else if (argument.starts_with("--")) {
      if (i + 1 == argc) return Usage();
      options[argument] = argv[++i];
    } else if (out.empty()) {
      out = argument;
    } else {
      return Usage();
    }
  }
  if (out.empty()) return Usage();

  std::string architecture = "llama";
  if (options.contains("--arch")) architecture = options["--arch"];
  const std::vector<std::string>& families = promptdb::TinyModel::Families();
  if (std::ranges::find(families, architecture) == families.end()) return Usage();
  promptdb::TinyModel model = promptdb::TinyModel::Of(architecture);
  TensorDtype dtype = TensorDtype::kF32;
  int seed = 1;
  int shards = 1;
  const std::map<std::string, int*> numbers = {
      {"--seed", &seed},         {"--layers", &model.layers},
      {"--dim", &model.dim},     {"--hidden", &model.hidden},
      {"--heads", &model.heads}, {"--kv-heads", &model.kv_heads},
      {"--vocab", &model.vocab}, {"--head-dim", &model.head_dim},
      {"--shards", &shards},     {"--context", &model.context}};
  for (const auto& [name, value] : options) {
    if (name == "--arch") continue;
    if (name == "--tied") {
      model.tied = true;
    } else if (name == "--dtype") {
      const auto named = promptdb::TensorDtypeOf(value);
      if (!named) return Usage();
      dtype = *named;
    } else if (numbers.contains(name)) {
      char* end = nullptr;
      const long number = std::strtol(value.c_str(), &end, 10);
      if (end == value.c_str() || *end != '\0' || number < (name == "--seed" ? 0 : 1) ||
          number > 1'000'000) {
        return Usage();
      }
      *numbers.at(name) = static_cast<int>(number);
    } else {
      return Usage();
    }
  }
  model.seed = static_cast<uint32_t>(seed);
  const bool sentence_piece = model.vocabulary == promptdb::TinyVocabularyKind::kSentencePiece;
  if (model.vocab < (sentence_piece ? 360 : 260)) {
    std::cerr << "make_tiny_model: --vocab is too small; llama needs 360 tokens, the others 260\n";
    return 2;
  }
  const int64_t block = promptdb::BlockOf(dtype).elements;
  if (model.dim % block != 0 || model.hidden % block != 0 ||
      model.heads * model.head_dim % block != 0) {
    std::cerr << "make_tiny_model: " << promptdb::TensorDtypeName(dtype)
              << " needs widths that are multiples of " << block << '\n';
    return 2;
  }
  const bool gguf = out.ends_with(".gguf");
  if (!gguf && promptdb::IsQuantized(dtype)) {
    std::cerr << "make_tiny_model: a Hugging Face folder has no quantized weights; write a .gguf "
                 "file\n";
    return 2;
  }
  try {
    if (gguf) {
      promptdb::WriteGguf(model, out, dtype);
    } else {
      promptdb::WriteHuggingFace(model, out, dtype, shards);
    }
  } catch (const promptdb::Error& error) {
    std::cerr << "make_tiny_model: " << error.message() << "\n";
    return 1;
  }
  return 0;
}
