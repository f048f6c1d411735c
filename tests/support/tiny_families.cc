#include "tests/support/tiny_families.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"

namespace promptdb {
namespace {

using nlohmann::ordered_json;

int64_t Columns(const TinyTensor& tensor) { return tensor.shape.size() == 2 ? tensor.shape[1] : 1; }

void AppendRows(const TinyTensor& from, int64_t first, int64_t count, TinyTensor& to) {
  const auto begin = from.values.begin() + first * Columns(from);
  to.values.insert(to.values.end(), begin, begin + count * Columns(from));
}

// Joins Q, K and V, which follow one another in `tensors`.
std::vector<TinyTensor> Fuse(const TinyModel& model, std::vector<TinyTensor> tensors,
                             bool grouped) {
  std::vector<TinyTensor> fused;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t at = tensors[i].name.find(".attn_q.");
    if (at == std::string::npos) {
      fused.push_back(std::move(tensors[i]));
      continue;
    }
    // Weights of all three come first, then their biases.
    const TinyTensor &q = tensors[i], &k = tensors[i + 1], &v = tensors[i + 2];
    Check(k.name.find(".attn_k.") == at && v.name.find(".attn_v.") == at, "Q, K and V adjoin");
    TinyTensor all{q.name.substr(0, at) + ".attn_qkv." + q.name.substr(at + 8),
                   q.hugging_face_name,
                   q.shape,
                   {}};
    all.shape[0] = q.shape[0] + k.shape[0] + v.shape[0];
    const int64_t groups = grouped ? model.kv_heads : 1;
    for (int64_t group = 0; group < groups; ++group) {
      for (const TinyTensor* part : {&q, &k, &v}) {
        const int64_t rows = part->shape[0] / groups;
        AppendRows(*part, group * rows, rows, all);
      }
    }
    fused.push_back(std::move(all));
    i += 2;
  }
  return fused;
}

void Transpose(TinyTensor& tensor) {
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  std::vector<float> values(tensor.values.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < columns; ++c) {
      values[c * rows + row] = tensor.values[row * columns + c];
    }
  }
  tensor.values = std::move(values);
  std::swap(tensor.shape[0], tensor.shape[1]);
}

}  // namespace

const std::vector<std::string>& TinyModel::Families() {
  static const std::vector<std::string> kFamilies = {"llama",     "llama3", "codellama", "mistral",
                                                     "smollm",    "qwen2",  "qwen3",     "falcon",
                                                     "falcon40b", "mpt",    "gpt2"};
  return kFamilies;
}

TinyModel TinyModel::WithLargeStates() {
  TinyModel tiny = Of("llama");
  tiny.layers = 4;
  tiny.heads = 4;
  tiny.kv_heads = 4;
  tiny.head_dim = 64;
  tiny.dim = 64;
  tiny.context = 4096;
  return tiny;
}

TinyModel TinyModel::Of(const std::string& family) {
  TinyModel model;
  const bool is_llama = family == "llama3" || family == "codellama" || family == "smollm";
  const std::string architecture = is_llama ? "llama" : family == "falcon40b" ? "falcon" : family;
  model.architecture = architecture;
  if (family == "llama3") {
    model.rope_theta = 5e5;
    // Wavelengths below 16, from 16 to 64 and above 64 positions: all three cases occur.
    model.rope_scaling = {RopeScaling::Kind::kLlama3, 8.0, 1.0, 4.0, 64};
    model.vocabulary = TinyVocabularyKind::kByteLevel;
    model.pre = "llama-bpe";
  } else if (family == "codellama") {
    model.rope_theta = 1e6;
  } else if (family == "smollm") {
    model.dim = 96;
    model.hidden = 256;
    model.heads = 9;
    model.kv_heads = 3;
    model.head_dim = 16;
    model.tied = true;
    model.vocabulary = TinyVocabularyKind::kByteLevel;
    model.pre = "smollm";
  }
  model.qkv_bias = architecture == "qwen2";
  model.qk_norm = architecture == "qwen3";
  if (HasFusedQkv(architecture)) {
    model.vocabulary = TinyVocabularyKind::kByteLevel;
    model.pre = architecture == "gpt2" ? "gpt-2" : architecture;
    model.kv_heads = architecture != "falcon" ? model.heads : family == "falcon40b" ? 2 : 1;
    model.two_norms = family == "falcon40b";
    model.tied = true;
    model.norm_bias = architecture != "mpt";
    model.qkv_bias = model.output_bias = model.mlp_bias = architecture == "gpt2";
  }
  if (architecture.starts_with("qwen")) {
    model.vocabulary = TinyVocabularyKind::kByteLevel;
    model.chat_template =
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
        "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\\n' }}{% endif %}";
  }
  return model;
}

TinyModel TinyModel::SmallestOf(const std::string& family) {
  TinyModel model = Of(family);
  model.layers = 1;
  model.dim = 32;
  model.hidden = 32;
  model.heads = 2;
  model.kv_heads = family == "gpt2" ? 2 : 1;
  model.head_dim = 16;
  model.vocab = model.vocabulary == TinyVocabularyKind::kSentencePiece ? 360 : 270;
  return model;
}

std::string PreTokenizerOf(const TinyModel& model) {
  if (!model.pre.empty()) return model.pre;
  return model.vocabulary == TinyVocabularyKind::kSentencePiece ? "default" : "qwen2";
}

bool HasFusedQkv(const std::string& architecture) {
  return architecture == "falcon" || architecture == "mpt" || architecture == "gpt2";
}

std::string FusedFamilyTensorName(const TinyModel& model, const std::string& canonical) {
  static const std::map<std::string, std::map<std::string, std::string>> kNames = {
      {"falcon",
       {{"token_embd", "word_embeddings"},
        {"output_norm", "ln_f"},
        {"attn_norm", "input_layernorm"},
        {"attn_norm_2", "ln_attn"},
        {"attn_q", "self_attention.query_key_value"},
        {"attn_k", "self_attention.query_key_value"},
        {"attn_v", "self_attention.query_key_value"},
        {"attn_output", "self_attention.dense"},
        {"ffn_up", "mlp.dense_h_to_4h"},
        {"ffn_down", "mlp.dense_4h_to_h"}}},
      {"mpt",
       {{"token_embd", "wte"},
        {"output_norm", "norm_f"},
        {"attn_norm", "norm_1"},
        {"ffn_norm", "norm_2"},
        {"attn_q", "attn.Wqkv"},
        {"attn_k", "attn.Wqkv"},
        {"attn_v", "attn.Wqkv"},
        {"attn_output", "attn.out_proj"},
        {"ffn_up", "ffn.up_proj"},
        {"ffn_down", "ffn.down_proj"}}},
      {"gpt2",
       {{"token_embd", "wte"},
        {"position_embd", "wpe"},
        {"output_norm", "ln_f"},
        {"attn_norm", "ln_1"},
        {"ffn_norm", "ln_2"},
        {"attn_q", "attn.c_attn"},
        {"attn_k", "attn.c_attn"},
        {"attn_v", "attn.c_attn"},
        {"attn_output", "attn.c_proj"},
        {"ffn_up", "mlp.c_fc"},
        {"ffn_down", "mlp.c_proj"}}},
  };
  if (canonical == "output.weight") return "lm_head.weight";
  std::string rest = canonical, layer;
  if (rest.starts_with("blk.")) {
    const size_t dot = rest.find('.', 4);
    layer = (model.architecture == "mpt" ? "blocks." : "h.") + rest.substr(4, dot - 3);
    rest = rest.substr(dot + 1);
  }
  const size_t dot = rest.rfind('.');
  const std::string name = rest.substr(0, dot), kind = rest.substr(dot);
  if (model.two_norms && name == "attn_norm") return "transformer." + layer + "ln_mlp" + kind;
  return "transformer." + layer + kNames.at(model.architecture).at(name) + kind;
}

std::vector<TinyTensor> FuseForGguf(const TinyModel& model, std::vector<TinyTensor> tensors) {
  return Fuse(model, std::move(tensors), false);
}

std::vector<TinyTensor> FuseForHuggingFace(const TinyModel& model,
                                           std::vector<TinyTensor> tensors) {
  std::vector<TinyTensor> fused = Fuse(model, std::move(tensors), model.architecture == "falcon");
  if (model.architecture != "gpt2") return fused;
  for (TinyTensor& tensor : fused) {
    if (tensor.name.starts_with("blk.") && tensor.shape.size() == 2) Transpose(tensor);
  }
  return fused;
}

ordered_json FusedFamilyConfigJson(const TinyModel& model) {
  if (model.architecture == "falcon") {
    const bool is_new = model.two_norms || (model.kv_heads > 1 && model.kv_heads < model.heads);
    ordered_json json = {{"architectures", ordered_json::array({"FalconForCausalLM"})},
                         {"activation", "gelu"},
                         {"alibi", false},
                         {"bias", model.qkv_bias},
                         {"ffn_hidden_size", model.hidden},
                         {"hidden_size", model.dim},
                         {"layer_norm_epsilon", model.norm_eps},
                         {"max_position_embeddings", model.context},
                         {"model_type", "falcon"},
                         {"multi_query", model.kv_heads == 1},
                         {"new_decoder_architecture", is_new},
                         {"num_attention_heads", model.heads},
                         {"num_hidden_layers", model.layers},
                         {"parallel_attn", true},
                         {"rope_scaling", nullptr},
                         {"rope_theta", model.rope_theta},
                         {"tie_word_embeddings", model.tied},
                         {"vocab_size", model.vocab}};
    if (is_new) {
      json["num_kv_heads"] = model.kv_heads;
      json["num_ln_in_parallel_attn"] = model.two_norms ? 2 : 1;
    }
    return json;
  }
  if (model.architecture == "mpt") {
    Check(model.hidden % model.dim == 0, "MPT's MLP is a multiple of its width");
    ordered_json attention = {{"alibi", true},
                              {"alibi_bias_max", model.alibi_max_bias},
                              {"attn_type", "multihead_attention"},
                              {"clip_qkv", nullptr},
                              {"prefix_lm", false},
                              {"qk_ln", false},
                              {"softmax_scale", nullptr}};
    if (model.qkv_clip > 0) attention["clip_qkv"] = model.qkv_clip;
    if (model.kv_heads != model.heads) {
      attention["attn_type"] = "grouped_query_attention";
      attention["kv_n_heads"] = model.kv_heads;
    }
    return {{"architectures", ordered_json::array({"MptForCausalLM"})},
            {"attn_config", attention},
            {"d_model", model.dim},
            {"expansion_ratio", model.hidden / model.dim},
            {"layer_norm_epsilon", model.norm_eps},
            {"logit_scale", nullptr},
            {"max_seq_len", model.context},
            {"model_type", "mpt"},
            {"n_heads", model.heads},
            {"n_layers", model.layers},
            {"no_bias", !model.norm_bias},
            {"norm_type", "low_precision_layernorm"},
            {"tie_word_embeddings", model.tied},
            {"vocab_size", model.vocab}};
  }
  return {{"activation_function", "gelu_new"},
          {"architectures", ordered_json::array({"GPT2LMHeadModel"})},
          {"layer_norm_epsilon", model.norm_eps},
          {"model_type", "gpt2"},
          {"n_ctx", model.context},
          {"n_embd", model.dim},
          {"n_head", model.heads},
          {"n_inner", model.hidden},
          {"n_layer", model.layers},
          {"n_positions", model.context},
          {"tie_word_embeddings", model.tied},
          {"vocab_size", model.vocab}};
}

}  // namespace promptdb
