#include "tokenizer/gguf_pre_tokenizer.h"

#include <initializer_list>
#include <string>

#include "base/error.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

// The building blocks. Contractions in either case are spelled out: under (?i) a long s would
// match.
#define PROMPTDB_CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr const char* kLlama3 = PROMPTDB_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 = PROMPTDB_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen35 =
    PROMPTDB_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
                          R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// llama.cpp takes every letter that isn't a-z for "upper case or caseless" and every one that isn't
// A-Z for "lower case or caseless"; [^\P{L}a-z] says "a letter, but not a-z".
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+)" PROMPTDB_CONTRACTIONS
    R"(?|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*)" PROMPTDB_CONTRACTIONS
    R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kSeedCoder = PROMPTDB_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kMiniCpm = PROMPTDB_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kBailing =
    R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeekWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeekCjk = "[一-龥\u3040-ゟ゠-ヿ]+";
constexpr const char* kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

#undef PROMPTDB_CONTRACTIONS

struct Recipe {
  std::initializer_list<std::string_view> names;
  std::initializer_list<const char*> patterns;
  bool ignores_merges = false;
  bool adds_bos = false;
};

const Recipe kRecipes[] = {
    {{"", "default"}, {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    {{"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en",
      "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0", "mellum", "modern-bert", "mpt", "olmo",
      "jais", "trillion", "granite-docling", "exaone4"},
     {kGpt2}},
    {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      "jina-v5-nano"},
     {kLlama3},
     true,
     true},
    {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, {kLlama3}},
    {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "megrez", "hunyuan",
      "solar-open", "grok-2"},
     {kQwen2}},
    {{"qwen35"}, {kQwen35}},
    {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {kGpt4o}},
    {{"tekken"}, {kTekken}, true, true},
    {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
     {R"(\p{N})", kGpt2}},
    {{"falcon"}, {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
    {{"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
     {R"(\p{N}{1,3})", kDeepSeekCjk, kDeepSeekWords}},
    {{"deepseek-coder"},
     {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-\uD7FF]+", R"(\p{N})"}},
    {{"seed-coder"}, {kSeedCoder}},
    {{"minicpm5"}, {R"(\p{N}{1,3})", kMiniCpm}, true},
    {{"bailingmoe", "bailingmoe2", "llada-moe"}, {kBailing}},
    {{"poro-chat", "bloom", "gpt3-finnish"}, {kBloom}},
    {{"viking"}, {kBloom, R"(\p{N})"}},
};

const Recipe* FindRecipe(std::string_view pre) {
  for (const Recipe& recipe : kRecipes) {
    for (const std::string_view name : recipe.names) {
      if (name == pre) return &recipe;
    }
  }
  return nullptr;
}

}  // namespace

GgufPreTokenizer::GgufPreTokenizer(std::string_view pre) {
  const Recipe* const recipe = FindRecipe(pre);
  if (recipe == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                "tokenizer.ggml.pre: unknown pre-tokenizer " + QuotedName(pre));
  }
  ignores_merges_ = recipe->ignores_merges;
  adds_bos_ = recipe->adds_bos;
  for (const char* const pattern : recipe->patterns) {
    steps_.push_back(std::make_unique<Regex>(pattern, "tokenizer.ggml.pre"));
  }
}

std::vector<TextSpan> GgufPreTokenizer::Split(std::string_view text) const {
  std::vector<TextSpan> words = {{0, static_cast<uint32_t>(text.size())}};
  std::vector<TextSpan> matches, cut;
  for (const std::unique_ptr<Regex>& step : steps_) {
    RegexMatcher matcher(*step);
    cut.clear();
    for (const TextSpan word : words) {
      matches.clear();
      matcher.FindAll(text.substr(word.begin, word.size()), matches);
      uint32_t at = word.begin;
      const auto keep = [&](uint32_t end) {
        if (end > at) cut.push_back({at, end});
        at = end;
      };
      for (const TextSpan match : matches) {
        keep(word.begin + match.begin);
        keep(word.begin + match.end);
      }
      keep(word.end);
    }
    words.swap(cut);
  }
  return words;
}

}  // namespace promptdb
