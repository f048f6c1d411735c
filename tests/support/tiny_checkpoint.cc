#include "tests/support/tiny_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <random>

#include "base/error.h"
#include "model/gguf_writer.h"
#include "tests/support/tiny_families.h"

namespace promptdb {
namespace {

using nlohmann::ordered_json;

// std::normal_distribution differs between standard libraries; this does not.
class Normal {
 public:
  explicit Normal(uint32_t seed) : engine_(seed) {}

  double Next() {
    const double u = (static_cast<double>(engine_()) + 1.0) / 4294967297.0;
    const double v = static_cast<double>(engine_()) / 4294967296.0;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

 private:
  std::mt19937 engine_;
};

// Every tensor has a seed of its own, so that one more layer leaves the others as they are.
uint32_t SeedOf(const TinyModel& model, const std::string& name) {
  uint32_t hash = 2166136261u ^ (model.seed * 0x9e3779b9u);
  for (unsigned char c : name) hash = (hash ^ c) * 16777619u;
  return hash;
}

class WeightMaker {
 public:
  explicit WeightMaker(const TinyModel& model) : model_(model) {}

  void Matrix(const std::string& name, const std::string& file_name, int rows, int columns,
              double scale) {
    Normal normal(SeedOf(model_, name));
    TinyTensor tensor{name, file_name, {rows, columns}, {}};
    tensor.values.resize(static_cast<size_t>(rows) * columns);
    for (float& value : tensor.values) value = static_cast<float>(normal.Next() * scale);
    tensors_.push_back(std::move(tensor));
  }

  // Multiples of `step`, near `mean`: exact in f16 and bf16.
  void Vector(const std::string& name, const std::string& file_name, int size, double mean,
              double deviation, double step) {
    Normal normal(SeedOf(model_, name));
    TinyTensor tensor{name, file_name, {size}, {}};
    for (int i = 0; i < size; ++i) {
      const double value = mean + std::clamp(normal.Next(), -3.0, 3.0) * deviation;
      tensor.values.push_back(static_cast<float>(std::round(value / step) * step));
    }
    tensors_.push_back(std::move(tensor));
  }

  void ScaleRows(const std::vector<bool>& keep, float scale) {
    TinyTensor& tensor = tensors_.back();
    const int64_t columns = tensor.shape[1];
    for (int64_t row = 0; row < tensor.shape[0]; ++row) {
      if (keep[row]) continue;
      for (int64_t i = 0; i < columns; ++i) tensor.values[row * columns + i] *= scale;
    }
  }

  // Makes every row sum up to 0. GELU's outputs are positive on average, which would otherwise add
  // the same vector to every token and drown what is different between them.
  void CenterRows() {
    TinyTensor& tensor = tensors_.back();
    const int64_t columns = tensor.shape[1];
    for (int64_t row = 0; row < tensor.shape[0]; ++row) {
      float* values = tensor.values.data() + row * columns;
      double mean = 0;
      for (int64_t i = 0; i < columns; ++i) mean += values[i] / static_cast<double>(columns);
      for (int64_t i = 0; i < columns; ++i) values[i] -= static_cast<float>(mean);
    }
  }

  std::vector<TinyTensor> Take() { return std::move(tensors_); }

 private:
  const TinyModel& model_;
  std::vector<TinyTensor> tensors_;
};

// What GGUF divides each rotation frequency by, for llama3 scaling.
std::vector<float> Llama3FrequencyDivisors(const TinyModel& model) {
  const RopeScaling& scaling = model.rope_scaling;
  std::vector<float> divisors;
  for (int i = 0; i < model.head_dim / 2; ++i) {
    const double frequency = std::pow(model.rope_theta, -2.0 * i / model.head_dim);
    const double wave_length = 2.0 * std::numbers::pi / frequency;
    double divisor = 1.0;
    if (wave_length > scaling.original_context / scaling.low_freq_factor) {
      divisor = scaling.factor;
    } else if (wave_length >= scaling.original_context / scaling.high_freq_factor) {
      const double smooth = (scaling.original_context / wave_length - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      divisor = 1.0 / ((1.0 - smooth) / scaling.factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

template <typename T>
void AppendRaw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void WriteFile(const std::filesystem::path& path, const std::string& contents) {
  std::ofstream file(path, std::ios::binary);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  file.close();
  Check(file.good(), "a tiny checkpoint could not be written");
}

void AddModelMetadata(const TinyModel& model, GgufWriter& writer) {
  // Mistral has no architecture of its own in GGUF.
  const std::string architecture = model.architecture == "mistral" ? "llama" : model.architecture;
  const auto key = [&](const char* name) { return architecture + "." + name; };
  writer.AddText("general.architecture", architecture);
  writer.AddText("general.name", "tiny");
  writer.AddU32(key("context_length"), model.context);
  writer.AddU32(key("embedding_length"), model.dim);
  writer.AddU32(key("block_count"), model.layers);
  writer.AddU32(key("feed_forward_length"), model.hidden);
  writer.AddU32(key("attention.head_count"), model.heads);
  writer.AddU32(key("attention.head_count_kv"), model.kv_heads);
  if (HasFusedQkv(architecture)) {
    // Their converters write no more than this.
    writer.AddF32(key("attention.layer_norm_epsilon"), model.norm_eps);
    if (architecture == "falcon") writer.AddText(key("tensor_data_layout"), "jploski");
    if (architecture == "mpt") {
      writer.AddF32(key("attention.max_alibi_bias"), model.alibi_max_bias);
      if (model.qkv_clip > 0) writer.AddF32(key("attention.clamp_kqv"), model.qkv_clip);
    }
    return;
  }
  writer.AddU32(key("attention.key_length"), model.head_dim);
  writer.AddU32(key("attention.value_length"), model.head_dim);
  writer.AddU32(key("rope.dimension_count"), model.head_dim);
  writer.AddU32(key("vocab_size"), model.vocab);
  writer.AddF32(key("attention.layer_norm_rms_epsilon"), model.norm_eps);
  writer.AddF32(key("rope.freq_base"), model.rope_theta);
  if (model.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    writer.AddText(key("rope.scaling.type"), "linear");
    writer.AddF32(key("rope.scaling.factor"), model.rope_scaling.factor);
  }
}

GgufVocabulary VocabularyOf(const TinyModel& model) {
  const TinyVocabulary tiny = MakeTinyVocabulary(model.vocabulary, model.vocab);
  const bool sentence_piece = tiny.kind == TinyVocabularyKind::kSentencePiece;
  GgufVocabulary vocabulary;
  vocabulary.model = sentence_piece ? "llama" : "gpt2";
  vocabulary.pre = PreTokenizerOf(model);
  vocabulary.tokens = tiny.tokens;
  vocabulary.token_types = tiny.token_types;
  vocabulary.scores = tiny.scores;
  if (!sentence_piece) {
    for (const auto& [left, right] : tiny.merges) vocabulary.merges.push_back(left + " " + right);
  }
  const auto id_or_none = [](int32_t id) {
    return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
  };
  vocabulary.bos_id = id_or_none(tiny.bos_id);
  vocabulary.eos_id = id_or_none(tiny.eos_id);
  vocabulary.unk_id = id_or_none(tiny.unk_id);
  vocabulary.pad_id = id_or_none(tiny.pad_id);
  vocabulary.add_bos = sentence_piece;
  vocabulary.add_eos = false;
  vocabulary.chat_template = model.chat_template;
  return vocabulary;
}

ordered_json ConfigJson(const TinyModel& model) {
  if (HasFusedQkv(model.architecture)) return FusedFamilyConfigJson(model);
  const bool qwen = model.architecture.starts_with("qwen");
  std::string class_name = "LlamaForCausalLM";
  if (model.architecture == "mistral") class_name = "MistralForCausalLM";
  if (model.architecture == "qwen2") class_name = "Qwen2ForCausalLM";
  if (model.architecture == "qwen3") class_name = "Qwen3ForCausalLM";
  ordered_json json = {{"architectures", ordered_json::array({class_name})},
                       {"head_dim", model.head_dim},
                       {"hidden_act", "silu"},
                       {"hidden_size", model.dim},
                       {"intermediate_size", model.hidden},
                       {"max_position_embeddings", model.context},
                       {"model_type", model.architecture},
                       {"num_attention_heads", model.heads},
                       {"num_hidden_layers", model.layers},
                       {"num_key_value_heads", model.kv_heads},
                       {"rms_norm_eps", model.norm_eps},
                       {"rope_scaling", nullptr},
                       {"rope_theta", model.rope_theta},
                       {"tie_word_embeddings", model.tied},
                       {"vocab_size", model.vocab}};
  if (model.architecture != "qwen2") json["attention_bias"] = model.output_bias || model.qkv_bias;
  if (model.architecture == "mistral") json["sliding_window"] = nullptr;
  if (qwen) json["use_sliding_window"] = false;
  const RopeScaling& scaling = model.rope_scaling;
  if (scaling.kind == RopeScaling::Kind::kLinear) {
    json["rope_scaling"] = {{"type", "linear"}, {"factor", scaling.factor}};
  } else if (scaling.kind == RopeScaling::Kind::kLlama3) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", scaling.factor},
                            {"low_freq_factor", scaling.low_freq_factor},
                            {"high_freq_factor", scaling.high_freq_factor},
                            {"original_max_position_embeddings", scaling.original_context}};
  }
  return json;
}

std::string SafetensorsBytes(const std::vector<TinyTensor>& tensors, size_t first, size_t last,
                             TensorDtype dtype) {
  const char* dtype_name = dtype == TensorDtype::kF32   ? "F32"
                           : dtype == TensorDtype::kF16 ? "F16"
                                                        : "BF16";
  ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (size_t i = first; i < last; ++i) {
    const size_t begin = data.size();
    data += EncodeTensor(tensors[i].values, dtype);
    header[tensors[i].hugging_face_name] = {
        {"dtype", dtype_name},
        {"shape", tensors[i].shape},
        {"data_offsets", ordered_json::array({begin, data.size()})}};
  }
  std::string text = header.dump();
  while (text.size() % 8 != 0) text += ' ';
  std::string bytes;
  AppendRaw(bytes, static_cast<uint64_t>(text.size()));
  return bytes + text + data;
}

// Falcon, MPT and GPT-2: LayerNorm, an MLP of two matrices.
std::vector<TinyTensor> FusedFamilyWeights(const TinyModel& model) {
  const TinyVocabulary vocabulary = MakeTinyVocabulary(model.vocabulary, model.vocab);
  WeightMaker make(model);
  const int query_dim = model.heads * model.head_dim;
  const int kv_dim = model.kv_heads * model.head_dim;
  const double in = 1.0 / std::sqrt(model.dim);
  const auto matrix = [&](const std::string& name, int rows, int columns, double scale) {
    make.Matrix(name, FusedFamilyTensorName(model, name), rows, columns, scale);
  };
  const auto bias = [&](bool has, const std::string& name, int size) {
    if (has) make.Vector(name, FusedFamilyTensorName(model, name), size, 0, 0.2, 1.0 / 256);
  };
  const auto norm = [&](const std::string& name) {
    const std::string weight = name + ".weight";
    make.Vector(weight, FusedFamilyTensorName(model, weight), model.dim, 1.0, 0.1, 1.0 / 64);
    bias(model.norm_bias, name + ".bias", model.dim);
  };
  matrix("token_embd.weight", model.vocab, model.dim, model.tied ? 0.25 : 1.0);
  if (model.tied) make.ScaleRows(vocabulary.printable, 0.05f);
  if (model.architecture == "gpt2") {
    matrix("position_embd.weight", model.context, model.dim, model.tied ? 0.25 : 1.0);
  }
  for (int n = 0; n < model.layers; ++n) {
    const std::string block = "blk." + std::to_string(n) + ".";
    norm(block + "attn_norm");
    if (model.two_norms) norm(block + "attn_norm_2");
    if (model.architecture != "falcon") norm(block + "ffn_norm");
    matrix(block + "attn_q.weight", query_dim, model.dim, 2.0 * in);
    matrix(block + "attn_k.weight", kv_dim, model.dim, 2.0 * in);
    matrix(block + "attn_v.weight", kv_dim, model.dim, 1.5 * in);
    bias(model.qkv_bias, block + "attn_q.bias", query_dim);
    bias(model.qkv_bias, block + "attn_k.bias", kv_dim);
    bias(model.qkv_bias, block + "attn_v.bias", kv_dim);
    matrix(block + "attn_output.weight", model.dim, query_dim, 2.0 / std::sqrt(query_dim));
    bias(model.output_bias, block + "attn_output.bias", model.dim);
    matrix(block + "ffn_up.weight", model.hidden, model.dim, 2.5 * in);
    bias(model.mlp_bias, block + "ffn_up.bias", model.hidden);
    matrix(block + "ffn_down.weight", model.dim, model.hidden, 3.0 / std::sqrt(model.hidden));
    make.CenterRows();
    bias(model.mlp_bias, block + "ffn_down.bias", model.dim);
  }
  norm("output_norm");
  if (!model.tied) {
    matrix("output.weight", model.vocab, model.dim, 3.0 * in);
    make.ScaleRows(vocabulary.printable, 0.05f);
  }
  return make.Take();
}

}  // namespace

std::vector<TinyTensor> TinyWeights(const TinyModel& model) {
  if (HasFusedQkv(model.architecture)) return FusedFamilyWeights(model);
  const TinyVocabulary vocabulary = MakeTinyVocabulary(model.vocabulary, model.vocab);
  WeightMaker make(model);
  const int query_dim = model.heads * model.head_dim;
  const int kv_dim = model.kv_heads * model.head_dim;
  const double in = 1.0 / std::sqrt(model.dim);
  // The blocks must outweigh the embedding in the residual stream, or a tied head would only repeat
  // the token it was given; so the embeddings are small, and the values written back are not.
  make.Matrix("token_embd.weight", "model.embed_tokens.weight", model.vocab, model.dim,
              model.tied ? 0.25 : 1.0);
  if (model.tied) make.ScaleRows(vocabulary.printable, 0.05f);
  for (int n = 0; n < model.layers; ++n) {
    const std::string block = "blk." + std::to_string(n) + ".";
    const std::string layer = "model.layers." + std::to_string(n) + ".";
    make.Vector(block + "attn_norm.weight", layer + "input_layernorm.weight", model.dim, 1.0, 0.1,
                1.0 / 64);
    // A little more than 1/sqrt(fan_in), so that attention picks some tokens out.
    make.Matrix(block + "attn_q.weight", layer + "self_attn.q_proj.weight", query_dim, model.dim,
                1.5 * in);
    make.Matrix(block + "attn_k.weight", layer + "self_attn.k_proj.weight", kv_dim, model.dim,
                1.5 * in);
    make.Matrix(block + "attn_v.weight", layer + "self_attn.v_proj.weight", kv_dim, model.dim,
                1.5 * in);
    if (model.qkv_bias) {
      make.Vector(block + "attn_q.bias", layer + "self_attn.q_proj.bias", query_dim, 0, 0.2,
                  1.0 / 256);
      make.Vector(block + "attn_k.bias", layer + "self_attn.k_proj.bias", kv_dim, 0, 0.2,
                  1.0 / 256);
      make.Vector(block + "attn_v.bias", layer + "self_attn.v_proj.bias", kv_dim, 0, 0.2,
                  1.0 / 256);
    }
    if (model.qk_norm) {
      make.Vector(block + "attn_q_norm.weight", layer + "self_attn.q_norm.weight", model.head_dim,
                  1.0, 0.2, 1.0 / 64);
      make.Vector(block + "attn_k_norm.weight", layer + "self_attn.k_norm.weight", model.head_dim,
                  1.0, 0.2, 1.0 / 64);
    }
    make.Matrix(block + "attn_output.weight", layer + "self_attn.o_proj.weight", model.dim,
                query_dim, 2.0 / std::sqrt(query_dim));
    if (model.output_bias) {
      make.Vector(block + "attn_output.bias", layer + "self_attn.o_proj.bias", model.dim, 0, 0.1,
                  1.0 / 256);
    }
    make.Vector(block + "ffn_norm.weight", layer + "post_attention_layernorm.weight", model.dim,
                1.0, 0.1, 1.0 / 64);
    make.Matrix(block + "ffn_gate.weight", layer + "mlp.gate_proj.weight", model.hidden, model.dim,
                1.5 * in);
    make.Matrix(block + "ffn_up.weight", layer + "mlp.up_proj.weight", model.hidden, model.dim,
                1.5 * in);
    make.Matrix(block + "ffn_down.weight", layer + "mlp.down_proj.weight", model.dim, model.hidden,
                1.5 / std::sqrt(model.hidden));
  }
  make.Vector("output_norm.weight", "model.norm.weight", model.dim, 1.0, 0.1, 1.0 / 64);
  if (!model.tied) {
    make.Matrix("output.weight", "lm_head.weight", model.vocab, model.dim, 3.0 * in);
    make.ScaleRows(vocabulary.printable, 0.05f);
  }
  return make.Take();
}

std::vector<float> PermuteToAdjacent(const std::vector<float>& values, int heads, int head_dim) {
  const size_t columns = values.size() / (static_cast<size_t>(heads) * head_dim);
  std::vector<float> permuted(values.size());
  for (int head = 0; head < heads; ++head) {
    for (int row = 0; row < head_dim; ++row) {
      const int from = row / 2 + (row % 2) * (head_dim / 2);
      std::copy_n(values.begin() + (static_cast<size_t>(head) * head_dim + from) * columns, columns,
                  permuted.begin() + (static_cast<size_t>(head) * head_dim + row) * columns);
    }
  }
  return permuted;
}

void WriteGguf(const TinyModel& model, const std::filesystem::path& path, TensorDtype dtype) {
  GgufWriter writer;
  AddModelMetadata(model, writer);
  AddGgufVocabulary(VocabularyOf(model), writer);

  std::vector<TinyTensor> tensors = TinyWeights(model);
  if (model.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    tensors.push_back(
        {"rope_freqs.weight", "", {model.head_dim / 2}, Llama3FrequencyDivisors(model)});
  }
  const bool permuted = model.architecture == "llama" || model.architecture == "mistral";
  if (HasFusedQkv(model.architecture)) tensors = FuseForGguf(model, std::move(tensors));
  for (TinyTensor& tensor : tensors) {
    if (permuted && tensor.name.find(".attn_q.") != std::string::npos) {
      tensor.values = PermuteToAdjacent(tensor.values, model.heads, model.head_dim);
    } else if (permuted && tensor.name.find(".attn_k.") != std::string::npos) {
      tensor.values = PermuteToAdjacent(tensor.values, model.kv_heads, model.head_dim);
    }
    const TensorDtype stored = tensor.shape.size() == 1 ? TensorDtype::kF32 : dtype;
    writer.AddTensor(tensor.name, tensor.shape, stored, tensor.values);
  }
  writer.Write(path);
}

void WriteHuggingFace(const TinyModel& model, const std::filesystem::path& folder,
                      TensorDtype dtype, int shards) {
  Check(!IsQuantized(dtype), "safetensors has no quantized forms");
  Check(shards >= 1, "a checkpoint has at least one shard");
  std::filesystem::create_directories(folder);
  const TinyVocabulary vocabulary = MakeTinyVocabulary(model.vocabulary, model.vocab);
  ordered_json config = ConfigJson(model);
  if (vocabulary.bos_id >= 0) config["bos_token_id"] = vocabulary.bos_id;
  if (vocabulary.eos_id >= 0) config["eos_token_id"] = vocabulary.eos_id;
  WriteFile(folder / "config.json", config.dump(2) + "\n");
  WriteFile(folder / "tokenizer.json",
            TinyTokenizerJson(vocabulary, PreTokenizerOf(model)).dump(1) + "\n");
  WriteFile(folder / "tokenizer_config.json",
            TinyTokenizerConfigJson(vocabulary, model.chat_template).dump(2) + "\n");

  std::vector<TinyTensor> tensors = TinyWeights(model);
  if (HasFusedQkv(model.architecture)) tensors = FuseForHuggingFace(model, std::move(tensors));
  if (shards == 1) {
    WriteFile(folder / "model.safetensors", SafetensorsBytes(tensors, 0, tensors.size(), dtype));
    return;
  }
  ordered_json weight_map = ordered_json::object();
  uint64_t total = 0;
  for (int shard = 0; shard < shards; ++shard) {
    char name[64];
    std::snprintf(name, sizeof(name), "model-%05d-of-%05d.safetensors", shard + 1, shards);
    const size_t first = tensors.size() * shard / shards;
    const size_t last = tensors.size() * (shard + 1) / shards;
    const std::string bytes = SafetensorsBytes(tensors, first, last, dtype);
    for (size_t i = first; i < last; ++i) {
      weight_map[tensors[i].hugging_face_name] = name;
      total += EncodeTensor(tensors[i].values, dtype).size();
    }
    WriteFile(folder / name, bytes);
  }
  const ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
  WriteFile(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace promptdb
