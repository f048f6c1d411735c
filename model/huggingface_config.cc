#include "model/huggingface_config.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "model/json_file.h"
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

void RefuseSlidingWindow(const ConfigObject& config, const ModelConfig& model) {
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
  const std::optional<int> window = config.FindInteger("sliding_window");
  if (window.has_value() && *window < model.context_length) {
    config.Unsupported("sliding-window attention is not supported, sliding_window " +
                       std::to_string(*window) + " is smaller than the context of " +
                       std::to_string(model.context_length) + " tokens");
  }
}

}  // namespace

ModelConfig ReadHuggingFaceConfig(const std::filesystem::path& path) {
  const json parsed = ReadJsonObject(path);
  const ConfigObject config(parsed, path);
  ModelConfig model;
  model.architecture = config.FindText("model_type").value_or("");
  CheckArchitecture(model.architecture, path);
  if (config.Find("quantization_config") != nullptr) {
    config.Unsupported("quantized weights (quantization_config) are not supported",
                       "Use the model's F32, F16 or BF16 form.");
  }
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
  model.vocab = config.Integer("vocab_size");
  model.context_length = config.Integer("max_position_embeddings");
  model.norm_eps = config.FindReal("rms_norm_eps").value_or(1e-6);

  std::optional<int> head_dim = config.FindInteger("head_dim");
  // Qwen3's own default, whatever the width.
  if (!head_dim.has_value() && model.architecture == "qwen3") head_dim = 128;
  if (!head_dim.has_value()) {
    if (model.heads == 0 || model.dim % model.heads != 0) {
      throw Error(ErrorCode::kCorrupt, "num_attention_heads does not divide hidden_size, " +
                                           std::to_string(model.heads) + " and " +
                                           std::to_string(model.dim) + ": " + path.string());
    }
    head_dim = model.dim / model.heads;
  }
  model.head_dim = *head_dim;
  model.rope_dims = model.head_dim;
  model.rope_pairing = RopePairing::kHalves;
  model.tied_embeddings = config.FindFlag("tie_word_embeddings").value_or(false);
  model.qkv_bias = model.architecture == "qwen2";
  model.qk_norm = model.architecture == "qwen3";
  if (model.architecture == "llama" || model.architecture == "qwen3") {
    const bool bias = config.FindFlag("attention_bias").value_or(false);
    model.qkv_bias |= bias;
    model.output_bias |= bias;
  }
  ReadRope(config, model);
  RefuseSlidingWindow(config, model);
  CheckModelConfig(model, path);
  return model;
}

}  // namespace promptdb
