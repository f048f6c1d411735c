// Written to be read: plain loops, double sums, no sharing of code with the fast path.
#include "executor/reference.h"

#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>

#include "base/error.h"

namespace promptdb {
namespace {

struct Matrix {
  int rows = 0;
  int columns = 0;
  std::vector<float> values;

  Matrix(int r, int c) : rows(r), columns(c), values(static_cast<size_t>(r) * c) {}
  float& At(int row, int column) { return values[static_cast<size_t>(row) * columns + column]; }
  float At(int row, int column) const {
    return values[static_cast<size_t>(row) * columns + column];
  }
};

class ReferenceModel {
 public:
  explicit ReferenceModel(const Checkpoint& checkpoint)
      : checkpoint_(checkpoint), config_(checkpoint.config()) {}

  std::vector<float> Forward(const std::vector<int32_t>& tokens,
                             const std::vector<int32_t>& positions,
                             const AttentionMask& mask) const {
    const int n = static_cast<int>(tokens.size());
    Matrix x(n, config_.dim);
    const Matrix embedding = Load("token_embd.weight");
    for (int i = 0; i < n; ++i) {
      for (int d = 0; d < config_.dim; ++d) x.At(i, d) = embedding.At(tokens[i], d);
    }
    if (config_.positions == PositionScheme::kLearned) {
      const Matrix learned = Load("position_embd.weight");
      for (int i = 0; i < n; ++i) {
        for (int d = 0; d < config_.dim; ++d) x.At(i, d) += learned.At(positions[i], d);
      }
    }
    for (int layer = 0; layer < config_.layers; ++layer) {
      const std::string blk = "blk." + std::to_string(layer) + ".";
      const Matrix h = Norm(x, blk + (config_.two_norms ? "attn_norm_2" : "attn_norm"));
      Matrix q = Product(h, blk + "attn_q");
      Matrix k = Product(h, blk + "attn_k");
      Matrix v = Product(h, blk + "attn_v");
      for (Matrix* projected : {&q, &k, &v}) Clip(*projected);
      NormHeads(q, blk + "attn_q_norm.weight");
      NormHeads(k, blk + "attn_k_norm.weight");
      if (config_.positions == PositionScheme::kRope) {
        Rotate(q, positions);
        Rotate(k, positions);
      }
      const Matrix attended = Product(Attention(q, k, v, positions, mask), blk + "attn_output");
      if (config_.parallel) {
        Add(x, Mlp(Norm(x, blk + "attn_norm"), blk));
        Add(x, attended);
      } else {
        Add(x, attended);
        Add(x, Mlp(Norm(x, blk + "ffn_norm"), blk));
      }
    }
    x = Norm(x, "output_norm");
    const bool untied = checkpoint_.Find("output.weight") != nullptr;
    return Product(x, untied ? "output" : "token_embd").values;
  }

 private:
  Matrix Load(const std::string& name) const {
    const TensorView& tensor = checkpoint_.Get(name);
    Matrix matrix(static_cast<int>(tensor.shape[0]), static_cast<int>(tensor.shape[1]));
    CopyAsFloat(tensor, matrix.values);
    return matrix;
  }

  // Empty when the checkpoint has no such tensor.
  std::vector<float> Vector(const std::string& name) const {
    const TensorView* tensor = checkpoint_.Find(name);
    if (tensor == nullptr) return {};
    std::vector<float> values(static_cast<size_t>(tensor->elements()));
    CopyAsFloat(*tensor, values);
    return values;
  }

  // x Wᵀ + b of the tensors name.weight and name.bias.
  Matrix Product(const Matrix& x, const std::string& name) const {
    const Matrix w = Load(name + ".weight");
    const std::vector<float> bias = Vector(name + ".bias");
    Matrix y(x.rows, w.rows);
    for (int i = 0; i < x.rows; ++i) {
      for (int o = 0; o < w.rows; ++o) {
        double sum = bias.empty() ? 0.0 : bias[o];
        for (int d = 0; d < x.columns; ++d) sum += static_cast<double>(x.At(i, d)) * w.At(o, d);
        y.At(i, o) = static_cast<float>(sum);
      }
    }
    return y;
  }

  static void Add(Matrix& x, const Matrix& y) {
    for (size_t i = 0; i < x.values.size(); ++i) x.values[i] += y.values[i];
  }

  // Falcon's and MPT's GELU is x Φ(x), GPT-2's an approximation of it.
  double Gelu(double x) const {
    if (config_.mlp == MlpKind::kGeluErf) return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
    return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }

  Matrix Mlp(const Matrix& m, const std::string& blk) const {
    Matrix hidden = Product(m, blk + "ffn_up");
    if (config_.mlp == MlpKind::kSwiGlu) {
      const Matrix gate = Product(m, blk + "ffn_gate");
      for (size_t i = 0; i < hidden.values.size(); ++i) {
        const double g = gate.values[i];
        hidden.values[i] = static_cast<float>(g / (1 + std::exp(-g)) * hidden.values[i]);
      }
    } else {
      for (float& value : hidden.values) value = static_cast<float>(Gelu(value));
    }
    return Product(hidden, blk + "ffn_down");
  }

  void Clip(Matrix& x) const {
    const float limit = static_cast<float>(config_.qkv_clip);
    if (limit == 0) return;
    for (float& value : x.values) value = std::fmin(std::fmax(value, -limit), limit);
  }

  void NormRun(float* x, const std::vector<float>& weight) const {
    double squares = 0;
    for (size_t d = 0; d < weight.size(); ++d) squares += static_cast<double>(x[d]) * x[d];
    const double scale =
        1 / std::sqrt(squares / static_cast<double>(weight.size()) + config_.norm_eps);
    for (size_t d = 0; d < weight.size(); ++d) x[d] = static_cast<float>(x[d] * scale * weight[d]);
  }

  // By the tensors name.weight and name.bias.
  Matrix Norm(Matrix x, const std::string& name) const {
    const std::vector<float> weight = Vector(name + ".weight");
    const std::vector<float> bias = Vector(name + ".bias");
    for (int i = 0; i < x.rows; ++i) {
      if (config_.norm == NormKind::kRms) {
        NormRun(&x.At(i, 0), weight);
        continue;
      }
      double mean = 0, variance = 0;
      for (int d = 0; d < x.columns; ++d) mean += x.At(i, d) / static_cast<double>(x.columns);
      for (int d = 0; d < x.columns; ++d) {
        variance += (x.At(i, d) - mean) * (x.At(i, d) - mean) / x.columns;
      }
      const double deviation = std::sqrt(variance + config_.norm_eps);
      for (int d = 0; d < x.columns; ++d) {
        x.At(i, d) = static_cast<float>((x.At(i, d) - mean) / deviation * weight[d] +
                                        (bias.empty() ? 0.0 : bias[d]));
      }
    }
    return x;
  }

  // Each head by itself, where the model does so (Qwen3).
  void NormHeads(Matrix& x, const std::string& name) const {
    const std::vector<float> weight = Vector(name);
    if (weight.empty()) return;
    for (int i = 0; i < x.rows; ++i) {
      for (int c = 0; c < x.columns; c += config_.head_dim) NormRun(&x.At(i, c), weight);
    }
  }

  // Radians per position of pair `pair`.
  double Frequency(int pair) const {
    double frequency = std::pow(config_.rope_theta, -2.0 * pair / config_.rope_dims);
    const std::vector<float> factors = Vector("rope_freqs.weight");
    const RopeScaling& scaling = config_.rope_scaling;
    if (!factors.empty()) frequency /= factors[pair];
    if (scaling.kind == RopeScaling::Kind::kLinear) frequency /= scaling.factor;
    if (scaling.kind == RopeScaling::Kind::kLlama3 && factors.empty()) {
      const double wavelength = 2 * std::numbers::pi / frequency;
      const double longest = scaling.original_context / scaling.low_freq_factor;
      const double shortest = scaling.original_context / scaling.high_freq_factor;
      if (wavelength > longest) return frequency / scaling.factor;
      if (wavelength < shortest) return frequency;
      const double smooth = (scaling.original_context / wavelength - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
    }
    return frequency;
  }

  void Rotate(Matrix& x, const std::vector<int32_t>& positions) const {
    const int pairs = config_.rope_dims / 2;
    for (int pair = 0; pair < pairs; ++pair) {
      const double frequency = Frequency(pair);
      const bool adjacent = config_.rope_pairing == RopePairing::kAdjacent;
      const int first = adjacent ? 2 * pair : pair;
      const int second = adjacent ? 2 * pair + 1 : pair + pairs;
      for (int i = 0; i < x.rows; ++i) {
        const double angle = positions[i] * frequency;
        for (int head = 0; head < x.columns; head += config_.head_dim) {
          const double a = x.At(i, head + first), b = x.At(i, head + second);
          x.At(i, head + first) = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
          x.At(i, head + second) = static_cast<float>(b * std::cos(angle) + a * std::sin(angle));
        }
      }
    }
  }

  // What a step of distance costs head `head` (0 without ALiBi), as MPT says it: for the next power
  // of two n, the slopes are 1 / 2^(max i / n), i = 1 … n; where there are fewer heads than n,
  // those with even i come first, and then those with odd i.
  double Slope(int head) const {
    if (config_.positions != PositionScheme::kAlibi) return 0;
    int n = 1;
    while (n < config_.heads) n *= 2;
    std::vector<int> order;
    if (n == config_.heads) {
      for (int i = 1; i <= n; ++i) order.push_back(i);
    } else {
      for (int i = 2; i <= n; i += 2) order.push_back(i);
      for (int i = 1; i <= n; i += 2) order.push_back(i);
    }
    return 1 / std::pow(2.0, config_.alibi_max_bias * order[static_cast<size_t>(head)] / n);
  }

  Matrix Attention(const Matrix& q, const Matrix& k, const Matrix& v,
                   const std::vector<int32_t>& positions, const AttentionMask& mask) const {
    const int n = q.rows, head_dim = config_.head_dim;
    Matrix out(n, q.columns);
    std::vector<double> weights(n);
    for (int head = 0; head < config_.heads; ++head) {
      const int from = head * head_dim;
      const int kv_from = head / (config_.heads / config_.kv_heads) * head_dim;
      const double slope = Slope(head);
      for (int i = 0; i < n; ++i) {
        double most = -INFINITY;
        for (int j = 0; j < n; ++j) {
          double score = 0;
          for (int d = 0; d < head_dim; ++d) {
            score += static_cast<double>(q.At(i, from + d)) * k.At(j, kv_from + d);
          }
          score = score / std::sqrt(static_cast<double>(head_dim)) -
                  slope * (positions[i] - positions[j]);
          weights[j] = mask[i][j] ? score : -INFINITY;
          if (weights[j] > most) most = weights[j];
        }
        double total = 0;
        for (double& weight : weights) {
          weight = std::exp(weight - most);
          total += weight;
        }
        for (int d = 0; d < head_dim; ++d) {
          double sum = 0;
          for (int j = 0; j < n; ++j) sum += weights[j] / total * v.At(j, kv_from + d);
          out.At(i, from + d) = static_cast<float>(sum);
        }
      }
    }
    return out;
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
};

}  // namespace

AttentionMask CausalMask(int tokens) {
  AttentionMask mask(tokens, std::vector<bool>(tokens, false));
  for (int i = 0; i < tokens; ++i) {
    for (int j = 0; j <= i; ++j) mask[i][j] = true;
  }
  return mask;
}

std::vector<float> ReferenceForward(const Checkpoint& checkpoint,
                                    const std::vector<int32_t>& tokens,
                                    const std::vector<int32_t>& positions,
                                    const AttentionMask& mask) {
  Check(positions.size() == tokens.size() && mask.size() == tokens.size(),
        "every token has a position and a row of the mask");
  for (size_t i = 0; i < mask.size(); ++i) Check(mask[i][i], "a token attends to itself");
  return ReferenceModel(checkpoint).Forward(tokens, positions, mask);
}

}  // namespace promptdb
