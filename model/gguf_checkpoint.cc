#include "model/gguf_checkpoint.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "model/fused_tensors.h"
#include "model/model_family.h"
#include "model/model_validation.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

// The hyperparameters of a GGUF file, whose keys start with the architecture's name.
class GgufHyperparameters {
 public:
  GgufHyperparameters(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  std::string Key(std::string_view name) const { return architecture_ + "." + std::string(name); }

  std::optional<int> FindInteger(std::string_view name) const {
    const std::string key = Key(name);
    // Some writers store one number for each layer.
    if (file_.IsArray(key)) {
      const std::vector<int64_t> per_layer = *file_.Integers(key);
      if (per_layer.empty()) file_.Corrupt("metadata key " + QuotedName(key) + " is empty");
      for (const int64_t value : per_layer) {
        if (value != per_layer.front()) {
          file_.Unsupported("metadata key " + QuotedName(key) + " differs between layers");
        }
      }
      return Narrow(key, per_layer.front());
    }
    const std::optional<int64_t> value = file_.Integer(key);
    if (!value.has_value()) return std::nullopt;
    return Narrow(key, *value);
  }

  int Integer(std::string_view name) const {
    const std::optional<int> value = FindInteger(name);
    if (!value.has_value()) file_.Corrupt("metadata key " + QuotedName(Key(name)) + " is missing");
    return *value;
  }

  std::optional<double> FindReal(std::string_view name) const { return file_.Real(Key(name)); }
  double Real(std::string_view name) const {
    const std::optional<double> value = FindReal(name);
    if (!value.has_value()) file_.Corrupt("metadata key " + QuotedName(Key(name)) + " is missing");
    return *value;
  }

 private:
  int Narrow(const std::string& key, int64_t value) const {
    if (value < 0 || value > std::numeric_limits<int32_t>::max()) {
      file_.Corrupt("metadata key " + QuotedName(key) + " is out of range, " +
                    std::to_string(value));
    }
    return static_cast<int>(value);
  }

  const GgufFile& file_;
  std::string architecture_;
};

void ReadRopeScaling(const GgufFile& file, const GgufHyperparameters& parameters,
                     RopeScaling& scaling) {
  const std::string key = parameters.Key("rope.scaling.type");
  std::optional<double> factor = parameters.FindReal("rope.scaling.factor");
  if (!factor.has_value()) factor = parameters.FindReal("rope.scale_linear");  // its older name
  // Where the type is not said, a factor means linear scaling.
  const std::string type = file.Text(key).value_or(factor.value_or(0) != 0 ? "linear" : "none");
  if (type == "none") return;
  if (type != "linear") {
    file.Unsupported("RoPE scaling of type " + QuotedName(type) + " is not supported",
                     "Supported are linear and llama3 scaling.");
  }
  // 0 stands for "no scaling" in files of some writers.
  if (!factor.has_value() || *factor == 0 || *factor == 1) return;
  scaling.kind = RopeScaling::Kind::kLinear;
  scaling.factor = *factor;
}

void RefuseWhatWouldBeIgnored(const GgufFile& file, const GgufHyperparameters& parameters) {
  if (file.Integer("split.count").value_or(1) > 1) {
    file.Unsupported("the model is split over several GGUF files",
                     "Join them with llama-gguf-split --merge.");
  }
  if (parameters.FindInteger("expert_count").value_or(0) > 0) {
    file.Unsupported("a mixture of experts is not supported");
  }
  if (!file.Flag(parameters.Key("attention.causal")).value_or(true)) {
    file.Unsupported("a model whose attention is not causal is not supported");
  }
}

ModelConfig ReadConfig(const GgufFile& file) {
  const std::optional<std::string> architecture = file.Text("general.architecture");
  if (!architecture.has_value()) {
    file.Corrupt("metadata key \"general.architecture\" is missing");
  }
  // Mistral files say "llama"; a file that says "mistral" is of a kind that we do not know.
  ModelConfig config =
      DescribeFamily(*architecture == "mistral" ? "mistral (GGUF)" : *architecture, file.path());
  const GgufHyperparameters parameters(file, *architecture);
  config.layers = parameters.Integer("block_count");
  config.dim = parameters.Integer("embedding_length");
  config.hidden = parameters.Integer("feed_forward_length");
  config.heads = parameters.Integer("attention.head_count");
  config.kv_heads = parameters.FindInteger("attention.head_count_kv").value_or(config.heads);
  config.context_length = parameters.Integer("context_length");
  LimitToSlidingWindow(parameters.FindInteger("attention.sliding_window").value_or(0), config);
  const std::optional<int> key_length = parameters.FindInteger("attention.key_length");
  if (!key_length.has_value() && (config.heads == 0 || config.dim % config.heads != 0)) {
    file.Corrupt("metadata key " + QuotedName(parameters.Key("attention.head_count")) +
                 " does not divide the width of " + std::to_string(config.dim) + ", " +
                 std::to_string(config.heads));
  }
  config.head_dim = key_length.has_value() ? *key_length : config.dim / config.heads;
  const int value_length =
      parameters.FindInteger("attention.value_length").value_or(config.head_dim);
  if (value_length != config.head_dim) {
    file.Unsupported("keys and values of different width are not supported, " +
                     std::to_string(config.head_dim) + " and " + std::to_string(value_length));
  }
  config.norm_eps =
      parameters.Real(config.norm == NormKind::kRms ? "attention.layer_norm_rms_epsilon"
                                                    : "attention.layer_norm_epsilon");
  config.qkv_clip = parameters.FindReal("attention.clamp_kqv").value_or(0.0);
  if (config.positions == PositionScheme::kRope) {
    config.rope_dims = parameters.FindInteger("rope.dimension_count").value_or(config.head_dim);
    config.rope_theta = parameters.FindReal("rope.freq_base").value_or(10000.0);
    config.rope_pairing = *architecture == "llama" ? RopePairing::kAdjacent : RopePairing::kHalves;
    ReadRopeScaling(file, parameters, config.rope_scaling);
  } else if (config.positions == PositionScheme::kAlibi) {
    config.alibi_max_bias = parameters.FindReal("attention.max_alibi_bias").value_or(0.0);
    if (config.alibi_max_bias == 0) {
      file.Unsupported("a model of architecture " + QuotedName(*architecture) +
                       " without ALiBi is not supported");
    }
  }
  RefuseWhatWouldBeIgnored(file, parameters);
  return config;
}

}  // namespace

GgufCheckpoint::GgufCheckpoint(const std::filesystem::path& path) : file_(path) {
  format_ = Format::kGguf;
  path_ = path;
  config_ = ReadConfig(file_);
  vocabulary_ = FindGgufVocabulary(file_);

  for (const GgufTensor& tensor : file_.tensors()) {
    if (!tensor.dtype.has_value()) {
      file_.Unsupported("tensor " + QuotedName(tensor.name) + " has the unsupported type " +
                            GgmlTypeName(tensor.type_code),
                        "Supported are F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K.");
    }
    tensors_.emplace(
        tensor.name,
        TensorView{tensor.name, tensor.name, *tensor.dtype, tensor.shape, tensor.data, {}});
  }
  const TensorView* embeddings = Find("token_embd.weight");
  if (embeddings == nullptr) file_.Corrupt("tensor \"token_embd.weight\" is missing");
  // The file says how large the vocabulary is up to three times over; all must agree.
  std::optional<int64_t> vocab = file_.Integer(config_.architecture + ".vocab_size");
  if (vocabulary_.has_value()) {
    const auto tokens = static_cast<int64_t>(vocabulary_->tokens.size());
    if (vocab.value_or(tokens) != tokens) {
      file_.Corrupt("the vocabulary has " + std::to_string(tokens) + " tokens, but vocab_size is " +
                    std::to_string(*vocab));
    }
    vocab = tokens;
  }
  const int64_t size = vocab.value_or(embeddings->shape.front());
  config_.vocab = static_cast<int>(
      std::min<int64_t>(std::max<int64_t>(size, 0), std::numeric_limits<int>::max()));
  config_.tied_embeddings = Find("output.weight") == nullptr;

  CheckModelConfig(config_, path);
  SplitFusedQkv(FusedQkv::kConcatenated, config_, path, tensors_);
  DetectOptionalTensors(tensors_, config_);
  CheckTensors(config_, tensors_, path, [](std::string_view name) { return std::string(name); });
}

Digest GgufCheckpoint::ContentDigest() const { return DigestMapped(file_.bytes()); }

}  // namespace promptdb
