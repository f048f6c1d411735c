#include "model/huggingface_config.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "model/json_file.h"
#include "model/model_family.h"
#include "model/model_validation.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

using nlohmann::json;

// One object of config.json. A key with value null is a key that is absent.
class ConfigObject {
 public:
  ConfigObject(const json& object, const std::filesystem::path& path)
      : object_(&object), path_(&path) {}

  const json* Find(const char* key) const {
    const auto it = object_->find(key);
    return it == object_->end() || it->is_null() ? nullptr : &*it;
  }

  std::optional<int> FindInteger(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_unsigned() ||
        value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
      Bad(key, "an integer of 0 to 2147483647");
    }
    return static_cast<int>(value->get<uint64_t>());
  }
  int Integer(const char* key) const { return Required(FindInteger(key), key); }

  std::optional<double> FindReal(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) Bad(key, "a number");
    return value->get<double>();
  }
  double Real(const char* key) const { return Required(FindReal(key), key); }

  std::optional<bool> FindFlag(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) Bad(key, "true or false");
    return value->get<bool>();
  }

  std::optional<std::string> FindText(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) Bad(key, "a string");
    return value->get<std::string>();
  }

  std::optional<ConfigObject> FindObject(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) Bad(key, "an object");
    return ConfigObject(*value, *path_);
  }

  [[noreturn]] void Unsupported(const std::string& message, const std::string& hint = "") const {
    throw Error(ErrorCode::kUnsupported, message + ": " + path_->string(), hint);
  }

 private:
  template <typename T>
  T Required(std::optional<T> value, const char* key) const {
    if (!value.has_value()) {
      throw Error(ErrorCode::kCorrupt,
                  "the key " + QuotedName(key) + " is missing: " + path_->string());
    }
    return *value;
  }

  [[noreturn]] void Bad(const char* key, const char* kind) const {
    throw Error(ErrorCode::kCorrupt,
                "the key " + QuotedName(key) + " should be " + kind + ": " + path_->string());
  }

  const json* object_;
  const std::filesystem::path* path_;
};

// Three spellings are in use: rope_scaling with "type", rope_scaling with "rope_type", and the
// newer rope_parameters, which holds rope_theta as well.
void ReadRope(const ConfigObject& config, ModelConfig& model) {
  model.rope_theta = config.FindReal("rope_theta").value_or(10000.0);
  std::optional<ConfigObject> rope = config.FindObject("rope_parameters");
  if (rope.has_value()) {
    model.rope_theta = rope->FindReal("rope_theta").value_or(model.rope_theta);
  } else {
    rope = config.FindObject("rope_scaling");
  }
  if (config.FindReal("partial_rotary_factor").value_or(1.0) != 1.0 ||
      (rope.has_value() && rope->FindReal("partial_rotary_factor").value_or(1.0) != 1.0)) {
    config.Unsupported("RoPE over a part of a head (partial_rotary_factor) is not supported");
  }
  if (!rope.has_value()) return;

  std::optional<std::string> type = rope->FindText("rope_type");
  if (!type.has_value()) type = rope->FindText("type");
  if (!type.has_value()) {
    // Without a type an object with no factor scales nothing; one with a factor we cannot read.
    if (rope->Find("factor") == nullptr) return;
    config.Unsupported("RoPE scaling without a type is not supported");
  }
  RopeScaling& scaling = model.rope_scaling;
  if (*type == "default" || *type == "none") return;
  if (*type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
    scaling.factor = rope->Real("factor");
  } else if (*type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    scaling.factor = rope->Real("factor");
    scaling.low_freq_factor = rope->Real("low_freq_factor");
    scaling.high_freq_factor = rope->Real("high_freq_factor");
    scaling.original_context = rope->Integer("original_max_position_embeddings");
  } else {
    config.Unsupported("RoPE scaling of type " + QuotedName(*type) + " is not supported",
                       "Supported are linear and llama3 scaling.");
  }
}

void ReadSlidingWindow(const ConfigObject& config, ModelConfig& model) {
  // Mistral's window holds whenever it is there; Qwen's only when it is switched on.
  bool in_use = model.architecture == "mistral";
  if (model.architecture.starts_with("qwen")) {
    in_use = config.FindFlag("use_sliding_window").value_or(false);
  }
  const json* layer_types = config.Find("layer_types");
  if (layer_types != nullptr && layer_types->is_array()) {
    for (const json& type : *layer_types) {
      if (type != "full_attention") in_use = true;
    }
  }
  if (!in_use) return;
  LimitToSlidingWindow(config.FindInteger("sliding_window").value_or(0), model);
}

// Width of a head where the file does not say it.
int HeadWidth(const ModelConfig& model, const char* heads_key, const char* width_key,
              const std::filesystem::path& path) {
  if (model.heads == 0 || model.dim % model.heads != 0) {
    throw Error(ErrorCode::kCorrupt, std::string(heads_key) + " does not divide " + width_key +
                                         ", " + std::to_string(model.heads) + " and " +
                                         std::to_string(model.dim) + ": " + path.string());
  }
  return model.dim / model.heads;
}

// 4 times the width is what all of these families say by default.
int FourTimes(int dim) {
  return static_cast<int>(std::min<int64_t>(int64_t{4} * dim, std::numeric_limits<int32_t>::max()));
}

void RefuseFlag(const ConfigObject& config, const char* key) {
  if (config.FindFlag(key).value_or(false)) {
    config.Unsupported("a model with " + std::string(key) + " is not supported");
  }
}

void ReadActivation(const ConfigObject& config, const char* key, ModelConfig& model) {
  const std::string activation =
      config.FindText(key).value_or(model.mlp == MlpKind::kGeluTanh ? "gelu_new" : "gelu");
  if (activation == "gelu") {
    model.mlp = MlpKind::kGeluErf;
  } else if (activation == "gelu_new" || activation == "gelu_pytorch_tanh" ||
             activation == "gelu_fast") {
    model.mlp = MlpKind::kGeluTanh;
  } else {
    config.Unsupported("the activation " + QuotedName(activation) + " is not supported",
                       "Supported are gelu and gelu_new.");
  }
}

void ReadLlama(const ConfigObject& config, const std::filesystem::path& path, ModelConfig& model) {
  const std::string activation = config.FindText("hidden_act").value_or("silu");
  if (activation != "silu") {
    config.Unsupported("the activation " + QuotedName(activation) + " is not supported",
                       "Supported is silu.");
  }
  model.layers = config.Integer("num_hidden_layers");
  model.dim = config.Integer("hidden_size");
  model.hidden = config.Integer("intermediate_size");
  model.heads = config.Integer("num_attention_heads");
  model.kv_heads = config.FindInteger("num_key_value_heads").value_or(model.heads);
  model.context_length = config.Integer("max_position_embeddings");
  model.norm_eps = config.FindReal("rms_norm_eps").value_or(1e-6);

  std::optional<int> head_dim = config.FindInteger("head_dim");
  // Qwen3's own default, whatever the width.
  if (!head_dim.has_value() && model.architecture == "qwen3") head_dim = 128;
  model.head_dim = head_dim.has_value()
                       ? *head_dim
                       : HeadWidth(model, "num_attention_heads", "hidden_size", path);
  model.tied_embeddings = config.FindFlag("tie_word_embeddings").value_or(false);
  if (model.architecture == "llama" || model.architecture == "qwen3") {
    const bool bias = config.FindFlag("attention_bias").value_or(false);
    model.qkv_bias |= bias;
    model.output_bias |= bias;
  }
  ReadSlidingWindow(config, model);
}

void ReadFalcon(const ConfigObject& config, const std::filesystem::path& path, ModelConfig& model) {
  RefuseFlag(config, "alibi");
  ReadActivation(config, "activation", model);
  model.layers = config.Integer("num_hidden_layers");
  model.dim = config.Integer("hidden_size");
  model.hidden = config.FindInteger("ffn_hidden_size").value_or(FourTimes(model.dim));
  model.heads = config.Integer("num_attention_heads");
  // Falcon 40B says how many key-value heads there are; 7B has one, and the first ones one each.
  if (config.FindFlag("new_decoder_architecture").value_or(false)) {
    model.kv_heads = config.FindInteger("num_kv_heads").value_or(model.heads);
  } else {
    model.kv_heads = config.FindFlag("multi_query").value_or(true) ? 1 : model.heads;
    if (!config.FindFlag("parallel_attn").value_or(true)) {
      config.Unsupported("a Falcon without parallel_attn is not supported");
    }
  }
  model.context_length = config.FindInteger("max_position_embeddings").value_or(2048);
  model.norm_eps = config.FindReal("layer_norm_epsilon").value_or(1e-5);
  model.head_dim = HeadWidth(model, "num_attention_heads", "hidden_size", path);
  model.tied_embeddings = config.FindFlag("tie_word_embeddings").value_or(true);
  const bool bias = config.FindFlag("bias").value_or(false);
  model.qkv_bias = model.output_bias = model.mlp_bias = bias;
}

void ReadMpt(const ConfigObject& config, const std::filesystem::path& path, ModelConfig& model) {
  model.layers = config.Integer("n_layers");
  model.dim = config.Integer("d_model");
  const int64_t hidden = int64_t{config.FindInteger("expansion_ratio").value_or(4)} * model.dim;
  model.hidden = static_cast<int>(std::min<int64_t>(hidden, std::numeric_limits<int32_t>::max()));
  model.heads = model.kv_heads = config.Integer("n_heads");
  model.context_length = config.Integer("max_seq_len");
  model.norm_eps = config.FindReal("layer_norm_epsilon").value_or(1e-5);
  model.head_dim = HeadWidth(model, "n_heads", "d_model", path);
  model.tied_embeddings = config.FindFlag("tie_word_embeddings").value_or(true);
  const std::string norm = config.FindText("norm_type").value_or("low_precision_layernorm");
  if (norm != "low_precision_layernorm" && norm != "layernorm") {
    config.Unsupported("the norm " + QuotedName(norm) + " is not supported");
  }
  if (config.Find("logit_scale") != nullptr) {
    config.Unsupported("a model with logit_scale is not supported");
  }
  model.alibi_max_bias = 8;
  const std::optional<ConfigObject> attention = config.FindObject("attn_config");
  if (!attention.has_value()) return;
  const std::string type = attention->FindText("attn_type").value_or("multihead_attention");
  if (type == "multiquery_attention") {
    model.kv_heads = 1;
  } else if (type == "grouped_query_attention") {
    model.kv_heads = attention->Integer("kv_n_heads");
  } else if (type != "multihead_attention") {
    config.Unsupported("attention of type " + QuotedName(type) + " is not supported");
  }
  if (!attention->FindFlag("alibi").value_or(true)) {
    config.Unsupported("a model of architecture \"mpt\" without ALiBi is not supported");
  }
  RefuseFlag(*attention, "qk_ln");
  RefuseFlag(*attention, "prefix_lm");
  RefuseFlag(*attention, "rope");
  if (attention->Find("softmax_scale") != nullptr) {
    config.Unsupported("a model with softmax_scale is not supported");
  }
  model.alibi_max_bias = attention->FindReal("alibi_bias_max").value_or(8.0);
  model.qkv_clip = attention->FindReal("clip_qkv").value_or(0.0);
}

void ReadGpt2(const ConfigObject& config, const std::filesystem::path& path, ModelConfig& model) {
  ReadActivation(config, "activation_function", model);
  model.layers = config.Integer("n_layer");
  model.dim = config.Integer("n_embd");
  model.hidden = config.FindInteger("n_inner").value_or(FourTimes(model.dim));
  model.heads = model.kv_heads = config.Integer("n_head");
  model.context_length = config.Integer("n_positions");
  model.norm_eps = config.FindReal("layer_norm_epsilon").value_or(1e-5);
  model.head_dim = HeadWidth(model, "n_head", "n_embd", path);
  model.tied_embeddings = config.FindFlag("tie_word_embeddings").value_or(true);
  RefuseFlag(config, "scale_attn_by_inverse_layer_idx");
  RefuseFlag(config, "add_cross_attention");
  if (!config.FindFlag("scale_attn_weights").value_or(true)) {
    config.Unsupported("a model without scale_attn_weights is not supported");
  }
}

}  // namespace

HuggingFaceConfig ReadHuggingFaceConfig(const std::filesystem::path& path) {
  const json parsed = ReadJsonObject(path);
  const ConfigObject config(parsed, path);
  HuggingFaceConfig read;
  ModelConfig& model = read.model;
  model = DescribeFamily(config.FindText("model_type").value_or(""), path);
  if (config.Find("quantization_config") != nullptr) {
    config.Unsupported("quantized weights (quantization_config) are not supported",
                       "Use the model's F32, F16 or BF16 form.");
  }
  model.vocab = config.Integer("vocab_size");
  if (model.architecture == "falcon") {
    ReadFalcon(config, path, model);
    // With one key-value head for all there is one group, so that both orders are the same.
    read.fused_qkv = FusedQkv::kGrouped;
  } else if (model.architecture == "mpt") {
    ReadMpt(config, path, model);
  } else if (model.architecture == "gpt2") {
    ReadGpt2(config, path, model);
    read.is_transposed = true;
  } else {
    ReadLlama(config, path, model);
  }
  if (model.positions == PositionScheme::kRope) {
    model.rope_dims = model.head_dim;
    model.rope_pairing = RopePairing::kHalves;
    ReadRope(config, model);
  }
  CheckModelConfig(model, path);
  return read;
}

}  // namespace promptdb
