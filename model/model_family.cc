#include "model/model_family.h"

#include "base/error.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

struct Family {
  std::string_view architecture;
  NormKind norm;
  PositionScheme positions;
  MlpKind mlp;
  bool parallel;
  // What every model of the family has. Others may have them, too: their tensors show it.
  bool qkv_bias;
  bool output_bias;
  bool mlp_bias;
  bool norm_bias;
  bool qk_norm;
};

using enum PositionScheme;
using enum MlpKind;
constexpr NormKind kRms = NormKind::kRms;
constexpr NormKind kLayer = NormKind::kLayer;

// Falcon and MPT were trained with the exact GELU, GPT-2 with the approximation by a tanh.
constexpr Family kFamilies[] = {
    //          norm    positions  MLP        parallel biases of QKV, output, MLP, norm   qk_norm
    {"llama", kRms, kRope, kSwiGlu, false, false, false, false, false, false},
    {"mistral", kRms, kRope, kSwiGlu, false, false, false, false, false, false},
    {"qwen2", kRms, kRope, kSwiGlu, false, true, false, false, false, false},
    {"qwen3", kRms, kRope, kSwiGlu, false, false, false, false, false, true},
    {"falcon", kLayer, kRope, kGeluErf, true, false, false, false, true, false},
    {"mpt", kLayer, kAlibi, kGeluErf, false, false, false, false, false, false},
    {"gpt2", kLayer, kLearned, kGeluTanh, false, true, true, true, true, false},
};

constexpr std::string_view kEncoders[] = {
    "albert",          "bert",         "deberta",    "deberta-v2",  "distilbert", "electra",
    "gemma-embedding", "jina-bert-v2", "modernbert", "modern-bert", "neo-bert",   "nomic-bert",
    "nomic_bert",      "roberta",      "t5encoder",  "xlm-roberta"};

}  // namespace

ModelConfig DescribeFamily(std::string_view architecture, const std::filesystem::path& path) {
  for (const Family& family : kFamilies) {
    if (architecture != family.architecture) continue;
    ModelConfig config;
    config.architecture = architecture;
    config.norm = family.norm;
    config.positions = family.positions;
    config.mlp = family.mlp;
    config.parallel = family.parallel;
    config.qkv_bias = family.qkv_bias;
    config.output_bias = family.output_bias;
    config.mlp_bias = family.mlp_bias;
    config.norm_bias = family.norm_bias;
    config.qk_norm = family.qk_norm;
    return config;
  }
  for (const std::string_view encoder : kEncoders) {
    if (architecture != encoder) continue;
    throw Error(ErrorCode::kUnsupported,
                "the model is an encoder and cannot generate text, its architecture is " +
                    QuotedName(architecture) + ": " + path.string(),
                "Only decoders are supported, whose tokens attend to those before them.");
  }
  std::string known;
  for (const Family& family : kFamilies) {
    if (!known.empty()) known += &family == std::end(kFamilies) - 1 ? " and " : ", ";
    known += family.architecture;
  }
  throw Error(ErrorCode::kUnsupported,
              "the model's architecture " + QuotedName(architecture) +
                  " is not supported: " + path.string(),
              "Supported are " + known + ".");
}

}  // namespace promptdb
