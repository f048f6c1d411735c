#include "training/network.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "model/gguf_writer.h"
#include "training/group_attention.h"
#include "training/row_kernels.h"

namespace promptdb {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// libtorch 1.13 has none: composed of its operators it would go over the rows several times.
class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        double eps) {
    const Tensor out = torch::empty_like(x);
    const Tensor factors = torch::empty({x.size(0)});
    const int size = static_cast<int>(x.size(1));
    at::parallel_for(0, x.size(0), 64, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        factors.data_ptr<float>()[row] =
            RmsNormRow(x.data_ptr<float>() + row * size, weight.data_ptr<float>(),
                       static_cast<float>(eps), size, out.data_ptr<float>() + row * size);
      }
    });
    context->save_for_backward({x, weight, factors});
    return out;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor gradient = gradients[0].contiguous();
    const Tensor x_gradient = torch::zeros_like(saved[0]);
    const int64_t rows = saved[0].size(0);
    const int size = static_cast<int>(saved[0].size(1));
    // Sums over rows are taken in pieces that do not depend on the number of threads.
    constexpr int64_t kPiece = 256;
    const int64_t pieces = (rows + kPiece - 1) / kPiece;
    const Tensor weight_gradients = torch::zeros({pieces, size});
    at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece) {
        for (int64_t row = piece * kPiece; row < std::min(rows, (piece + 1) * kPiece); ++row) {
          RmsNormGradientRow(saved[0].data_ptr<float>() + row * size, saved[1].data_ptr<float>(),
                             gradient.data_ptr<float>() + row * size,
                             saved[2].data_ptr<float>()[row], size,
                             x_gradient.data_ptr<float>() + row * size,
                             weight_gradients.data_ptr<float>() + piece * size);
        }
      }
    });
    return {x_gradient, weight_gradients.sum(0), Tensor()};
  }
};

// A frequency divided by this turns no pair of elements by anything that can be seen.
constexpr float kNoTurn = 1e10f;

std::vector<double> RopeFrequencies(const NetworkShape& shape) {
  std::vector<double> frequencies;
  for (int i = 0; i < shape.head_dim() / 2; ++i) {
    frequencies.push_back(
        i < shape.turned_pairs ? std::pow(shape.rope_theta, -2.0 * i / shape.head_dim()) : 0.0);
  }
  return frequencies;
}

std::span<const float> ValuesOf(const Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

}  // namespace

Network::Network(const NetworkShape& shape) : shape_(shape) {
  const int head_dim = shape.head_dim();
  embedding_ = AddMatrix("embedding", shape.vocab, shape.dim);
  for (int i = 0; i < shape.layers; ++i) {
    const std::string prefix = "layer" + std::to_string(i) + "_";
    layers_.push_back(
        {.attention_norm = AddVector(prefix + "attention_norm", shape.dim),
         .qkv = AddMatrix(prefix + "qkv", (shape.heads + 2 * shape.kv_heads) * head_dim, shape.dim),
         .output = AddMatrix(prefix + "output", shape.dim, shape.heads * head_dim),
         .mlp_norm = AddVector(prefix + "mlp_norm", shape.dim),
         .gate_up = AddMatrix(prefix + "gate_up", 2 * shape.hidden, shape.dim),
         .down = AddMatrix(prefix + "down", shape.dim, shape.hidden)});
  }
  output_norm_ = AddVector("output_norm", shape.dim);
}

Tensor Network::AddMatrix(const std::string& name, int rows, int columns) {
  return register_parameter(name, torch::randn({rows, columns}) / std::sqrt(columns));
}

Tensor Network::AddVector(const std::string& name, int size) {
  return register_parameter(name, torch::ones({size}));
}

Tensor Network::Forward(const TrainingBatch& batch) {
  const auto plan = std::make_shared<const AttentionPlan>(
      batch, AttentionShape{shape_.heads, shape_.kv_heads, shape_.head_dim()},
      RopeFrequencies(shape_));
  const Tensor tokens =
      torch::from_blob(const_cast<int64_t*>(batch.tokens.data()), {batch.rows()}, torch::kLong);
  Tensor x = torch::embedding(embedding_, tokens);
  for (const Layer& layer : layers_) {
    const Tensor attended = GroupAttention(
        RmsNormFunction::apply(x, layer.attention_norm, shape_.norm_eps).mm(layer.qkv.t()), plan);
    x = torch::addmm(x, attended, layer.output.t());
    const auto gate_up = RmsNormFunction::apply(x, layer.mlp_norm, shape_.norm_eps)
                             .mm(layer.gate_up.t())
                             .chunk(2, 1);
    x = torch::addmm(x, torch::silu(gate_up[0]) * gate_up[1], layer.down.t());
  }
  return RmsNormFunction::apply(x, output_norm_, shape_.norm_eps);
}

Tensor Network::Logits(const Tensor& hidden) const { return hidden.mm(embedding_.t()); }

std::vector<Tensor> Network::Matrices() const {
  std::vector<Tensor> matrices;
  for (const Tensor& parameter : parameters()) {
    if (parameter.dim() == 2) matrices.push_back(parameter);
  }
  return matrices;
}

std::vector<Tensor> Network::Vectors() const {
  std::vector<Tensor> vectors;
  for (const Tensor& parameter : parameters()) {
    if (parameter.dim() == 1) vectors.push_back(parameter);
  }
  return vectors;
}

void Network::WriteGguf(const BpeVocabulary& vocabulary, const std::string& name,
                        const std::filesystem::path& path) const {
  GgufWriter writer;
  writer.AddText("general.architecture", "llama");
  writer.AddText("general.name", name);
  ModelConfig config;
  config.context_length = shape_.context;
  config.dim = shape_.dim;
  config.layers = shape_.layers;
  config.hidden = shape_.hidden;
  config.heads = shape_.heads;
  config.kv_heads = shape_.kv_heads;
  config.head_dim = shape_.head_dim();
  config.rope_theta = shape_.rope_theta;
  config.norm_eps = shape_.norm_eps;
  config.vocab = shape_.vocab;
  AddLlamaConfig(config, writer);
  AddGgufVocabulary(ToGgufVocabulary(vocabulary), writer);

  const torch::NoGradGuard no_gradients;
  const auto add = [&](const std::string& tensor_name, const Tensor& tensor) {
    const TensorDtype dtype = tensor.dim() == 1 ? TensorDtype::kF32 : TensorDtype::kBf16;
    const Tensor values = tensor.contiguous();
    writer.AddTensor(tensor_name,
                     std::vector<int64_t>(values.sizes().begin(), values.sizes().end()), dtype,
                     ValuesOf(values));
  };
  add("token_embd.weight", embedding_);
  add("output_norm.weight", output_norm_);
  const Tensor factors = torch::ones({shape_.head_dim() / 2});
  factors.slice(0, std::min<int64_t>(shape_.turned_pairs, factors.size(0))).fill_(kNoTurn);
  add("rope_freqs.weight", factors);
  const int query_rows = shape_.heads * shape_.head_dim();
  const int key_rows = shape_.kv_heads * shape_.head_dim();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const std::string prefix = "blk." + std::to_string(i) + ".";
    add(prefix + "attn_norm.weight", layer.attention_norm);
    add(prefix + "attn_q.weight", layer.qkv.narrow(0, 0, query_rows));
    add(prefix + "attn_k.weight", layer.qkv.narrow(0, query_rows, key_rows));
    add(prefix + "attn_v.weight", layer.qkv.narrow(0, query_rows + key_rows, key_rows));
    add(prefix + "attn_output.weight", layer.output);
    add(prefix + "ffn_norm.weight", layer.mlp_norm);
    add(prefix + "ffn_gate.weight", layer.gate_up.narrow(0, 0, shape_.hidden));
    add(prefix + "ffn_up.weight", layer.gate_up.narrow(0, shape_.hidden, shape_.hidden));
    add(prefix + "ffn_down.weight", layer.down);
  }
  writer.Write(path);
}

}  // namespace promptdb
