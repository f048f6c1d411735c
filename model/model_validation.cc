#include "model/model_validation.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

void CheckRange(std::string_view what, int64_t value, int64_t least, int64_t most,
                const std::filesystem::path& path) {
  if (value >= least && value <= most) return;
  throw Error(ErrorCode::kCorrupt, "the configuration's " + std::string(what) + " is outside " +
                                       std::to_string(least) + " to " + std::to_string(most) +
                                       ", " + std::to_string(value) + ": " + path.string());
}

void CheckReal(std::string_view what, double value, double least, double most,
               const std::filesystem::path& path) {
  if (value >= least && value <= most) return;  // false for NaN
  throw Error(ErrorCode::kCorrupt, "the configuration's " + std::string(what) +
                                       " is out of range, " + std::to_string(value) + ": " +
                                       path.string());
}

std::string BlockPrefix(int layer) { return "blk." + std::to_string(layer) + "."; }

}  // namespace

void CheckModelConfig(const ModelConfig& config, const std::filesystem::path& path) {
  CheckRange("number of layers", config.layers, 1, 1000, path);
  CheckRange("width", config.dim, 1, 1 << 20, path);
  CheckRange("MLP width", config.hidden, 1, 1 << 22, path);
  CheckRange("number of attention heads", config.heads, 1, 1 << 14, path);
  CheckRange("number of key-value heads", config.kv_heads, 1, config.heads, path);
  CheckRange("head width", config.head_dim, 2, 1 << 12, path);
  CheckRange("vocabulary size", config.vocab, 1, 1 << 22, path);
  CheckRange("context length", config.context_length, 1, 1 << 26, path);
  CheckReal("norm's epsilon", config.norm_eps, 0.0, 1.0, path);
  CheckReal("clamp of Q, K and V", config.qkv_clip, 0.0, 1e30, path);
  if (config.heads % config.kv_heads != 0) {
    throw Error(ErrorCode::kCorrupt, "the configuration's " + std::to_string(config.heads) +
                                         " attention heads are not a multiple of its " +
                                         std::to_string(config.kv_heads) +
                                         " key-value heads: " + path.string());
  }
  if (config.head_dim % 2 != 0) {
    throw Error(ErrorCode::kCorrupt, "the configuration's head width is odd, " +
                                         std::to_string(config.head_dim) + ": " + path.string());
  }
  Check(config.norm == NormKind::kLayer || !config.norm_bias, "only LayerNorm has a bias");
  if (config.positions == PositionScheme::kAlibi) {
    CheckReal("ALiBi bias", config.alibi_max_bias, 1e-3, 1e3, path);
  }
  if (config.positions != PositionScheme::kRope) return;
  CheckReal("RoPE base", config.rope_theta, 1.0, 1e12, path);
  if (config.rope_dims != config.head_dim) {
    throw Error(ErrorCode::kUnsupported,
                "RoPE over a part of a head is not supported, " + std::to_string(config.rope_dims) +
                    " of " + std::to_string(config.head_dim) + " dimensions: " + path.string());
  }
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind == RopeScaling::Kind::kNone) return;
  CheckReal("RoPE scaling factor", scaling.factor, 1e-3, 1e6, path);
  if (scaling.kind != RopeScaling::Kind::kLlama3) return;
  CheckReal("RoPE scaling's low_freq_factor", scaling.low_freq_factor, 1e-3, 1e6, path);
  CheckReal("RoPE scaling's high_freq_factor", scaling.high_freq_factor, 1e-3, 1e6, path);
  CheckRange("RoPE scaling's original context", scaling.original_context, 1, 1 << 26, path);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    throw Error(
        ErrorCode::kCorrupt,
        "the configuration's high_freq_factor is not above its low_freq_factor: " + path.string());
  }
}

void DetectOptionalTensors(const TensorMap& tensors, ModelConfig& config) {
  const auto any = [&](int layer, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (tensors.contains(BlockPrefix(layer) + name)) return true;
    }
    return false;
  };
  for (int layer = 0; layer < config.layers; ++layer) {
    config.qkv_bias |= any(layer, {"attn_q.bias", "attn_k.bias", "attn_v.bias"});
    config.output_bias |= any(layer, {"attn_output.bias"});
    if (config.mlp != MlpKind::kSwiGlu) config.mlp_bias |= any(layer, {"ffn_up.bias"});
    if (config.norm == NormKind::kRms) {
      config.qk_norm |= any(layer, {"attn_q_norm.weight", "attn_k_norm.weight"});
    } else {
      config.norm_bias |= any(layer, {"attn_norm.bias", "ffn_norm.bias"});
    }
    if (config.parallel) config.two_norms |= any(layer, {"attn_norm_2.weight"});
  }
}

std::vector<RequiredTensor> RequiredTensors(const ModelConfig& config) {
  const int64_t dim = config.dim;
  const int64_t hidden = config.hidden;
  const int64_t query_dim = int64_t{config.heads} * config.head_dim;
  const int64_t kv_dim = int64_t{config.kv_heads} * config.head_dim;
  std::vector<RequiredTensor> required = {{"token_embd.weight", {config.vocab, dim}}};
  const auto norm = [&](const std::string& name) {
    required.push_back({name + ".weight", {dim}});
    if (config.norm_bias) required.push_back({name + ".bias", {dim}});
  };
  if (config.positions == PositionScheme::kLearned) {
    required.push_back({"position_embd.weight", {config.context_length, dim}});
  }
  norm("output_norm");
  if (!config.tied_embeddings) required.push_back({"output.weight", {config.vocab, dim}});
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string block = BlockPrefix(layer);
    norm(block + "attn_norm");
    if (config.two_norms) norm(block + "attn_norm_2");
    if (!config.parallel) norm(block + "ffn_norm");
    required.push_back({block + "attn_q.weight", {query_dim, dim}});
    required.push_back({block + "attn_k.weight", {kv_dim, dim}});
    required.push_back({block + "attn_v.weight", {kv_dim, dim}});
    if (config.qkv_bias) {
      required.push_back({block + "attn_q.bias", {query_dim}});
      required.push_back({block + "attn_k.bias", {kv_dim}});
      required.push_back({block + "attn_v.bias", {kv_dim}});
    }
    if (config.qk_norm) {
      required.push_back({block + "attn_q_norm.weight", {config.head_dim}});
      required.push_back({block + "attn_k_norm.weight", {config.head_dim}});
    }
    required.push_back({block + "attn_output.weight", {dim, query_dim}});
    if (config.output_bias) required.push_back({block + "attn_output.bias", {dim}});
    if (config.mlp == MlpKind::kSwiGlu) {
      required.push_back({block + "ffn_gate.weight", {hidden, dim}});
    }
    required.push_back({block + "ffn_up.weight", {hidden, dim}});
    required.push_back({block + "ffn_down.weight", {dim, hidden}});
    if (config.mlp_bias) {
      required.push_back({block + "ffn_up.bias", {hidden}});
      required.push_back({block + "ffn_down.bias", {dim}});
    }
  }
  return required;
}

void CheckShape(const TensorView& tensor, std::vector<int64_t> shape,
                const std::filesystem::path& path) {
  if (tensor.shape == shape) return;
  std::vector<int64_t> stored = tensor.shape;
  if (tensor.layout.transposed > 0) {
    // The message speaks of the file.
    std::reverse(shape.begin(), shape.end());
    std::reverse(stored.begin(), stored.end());
  }
  throw Error(ErrorCode::kCorrupt, "tensor " + QuotedName(tensor.file_name) +
                                       " should have shape " + ShapeText(shape) + " and has " +
                                       ShapeText(stored) + ": " + path.string());
}

void CheckTensors(const ModelConfig& config, const TensorMap& tensors,
                  const std::filesystem::path& path,
                  const std::function<std::string(std::string_view)>& file_name) {
  std::set<std::string, std::less<>> placed;
  if (config.positions == PositionScheme::kRope) placed.insert("rope_freqs.weight");
  for (const RequiredTensor& required : RequiredTensors(config)) {
    const auto found = tensors.find(required.name);
    if (found == tensors.end()) {
      throw Error(ErrorCode::kCorrupt, "tensor " + QuotedName(file_name(required.name)) +
                                           " of shape " + ShapeText(required.shape) +
                                           " is missing: " + path.string());
    }
    CheckShape(found->second, required.shape, path);
    placed.insert(required.name);
  }
  for (const auto& [name, tensor] : tensors) {
    if (placed.contains(name)) continue;
    throw Error(ErrorCode::kUnsupported, "tensor " + QuotedName(tensor.file_name) +
                                             " has no place in a " + config.architecture +
                                             " model of " + std::to_string(config.layers) +
                                             " layers: " + path.string());
  }
  const auto frequencies = tensors.find(std::string_view("rope_freqs.weight"));
  if (frequencies == tensors.end()) return;
  const TensorView& tensor = frequencies->second;
  CheckShape(tensor, {config.rope_dims / 2}, path);
  std::vector<float> divisors(tensor.elements());
  CopyAsFloat(tensor, divisors);
  for (const float divisor : divisors) {
    // Rotation frequencies are divided by these.
    if (!(divisor > 0.0f) || !std::isfinite(divisor)) {
      throw Error(ErrorCode::kCorrupt, "tensor " + QuotedName(tensor.file_name) +
                                           " holds a value that is not positive: " + path.string());
    }
  }
}

}  // namespace promptdb
