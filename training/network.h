// A decoder-only transformer of the Llama architecture, as libtorch trains it: RMSNorm, grouped-
// query attention with RoPE, SwiGLU, tied embeddings. In f32.
//
// Not thread-safe; a forward pass uses libtorch's threads.
#ifndef PROMPTDB_TRAINING_NETWORK_H_
#define PROMPTDB_TRAINING_NETWORK_H_

#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/bpe_vocabulary.h"
#include "training/training_batch.h"

namespace promptdb {

struct NetworkShape {
  int layers = 6;
  int dim = 192;
  int hidden = 384;  // inside the MLP
  int heads = 6;
  int kv_heads = 3;
  int vocab = 2048;
  int context = 2048;  // positions
  double rope_theta = 10000.0;
  // Pairs of a head's elements that RoPE turns, the fastest. What the slow ones carry is hard to
  // find again over a distance at which they have made a turn or two.
  int turned_pairs = 8;
  double norm_eps = 1e-5;

  int head_dim() const { return dim / heads; }
};

class Network : public torch::nn::Module {
 public:
  // Weights are drawn from libtorch's generator, with deviations of 1 / sqrt(inputs): with smaller
  // ones a model of this size finds out much later, or never, that it can copy.
  explicit Network(const NetworkShape& shape);

  const NetworkShape& shape() const { return shape_; }

  // The rows' last hidden states, normed: [rows, dim].
  torch::Tensor Forward(const TrainingBatch& batch);
  // Scores of the next token for hidden states: [rows, vocab].
  torch::Tensor Logits(const torch::Tensor& hidden) const;

  // All matrices, and all vectors: the one kind is decayed.
  std::vector<torch::Tensor> Matrices() const;
  std::vector<torch::Tensor> Vectors() const;

  // Writes a GGUF file with bf16 matrices, all or nothing.
  void WriteGguf(const BpeVocabulary& vocabulary, const std::string& name,
                 const std::filesystem::path& path) const;

 private:
  struct Layer {
    torch::Tensor attention_norm;  // [dim]
    torch::Tensor qkv;             // [(heads + 2 * kv_heads) * head_dim, dim]
    torch::Tensor output;          // [dim, heads * head_dim]
    torch::Tensor mlp_norm;        // [dim]
    torch::Tensor gate_up;         // [2 * hidden, dim]
    torch::Tensor down;            // [dim, hidden]
  };

  torch::Tensor AddMatrix(const std::string& name, int rows, int columns);
  torch::Tensor AddVector(const std::string& name, int size);

  NetworkShape shape_;
  torch::Tensor embedding_;    // [vocab, dim]
  torch::Tensor output_norm_;  // [dim]
  std::vector<Layer> layers_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TRAINING_NETWORK_H_
