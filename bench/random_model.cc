// Writes a Llama of any shape with random weights and the vocabulary of a real model, to measure
// with real texts:
//
//   random_model OUT.gguf VOCABULARY.gguf LAYERS DIM HIDDEN HEADS KV_HEADS [DTYPE [CONTEXT]]
//
// DTYPE: f32, f16, bf16 (default), q8_0, q4_0, q4_k or q6_k. What such a model writes means
// nothing; how long it takes does.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/program.h"
#include "model/checkpoint.h"
#include "model/gguf_writer.h"

namespace promptdb {
namespace {

class RandomTensors {
 public:
  RandomTensors(TensorDtype dtype, GgufWriter& writer) : dtype_(dtype), writer_(writer) {
    std::normal_distribution<float> normal(0, 1);
    for (float& value : normals_) value = normal(random_);
  }

  // Deviations of 1 / √inputs, so that activations keep their size. The same numbers come again
  // after some millions, each time from another one on: a large model is written in seconds.
  void AddMatrix(const std::string& name, int64_t out, int64_t in) {
    const float deviation = 1 / std::sqrt(static_cast<float>(in));
    std::vector<float> values(static_cast<size_t>(out * in));
    size_t next = random_() % normals_.size();
    for (float& value : values) {
      value = deviation * normals_[next];
      if (++next == normals_.size()) next = 0;
    }
    const int64_t shape[] = {out, in};
    writer_.AddTensor(name, shape, dtype_, values);
  }

  void AddOnes(const std::string& name, int64_t size) {
    writer_.AddTensor(name, {&size, 1}, TensorDtype::kF32,
                      std::vector<float>(static_cast<size_t>(size), 1.0f));
  }

 private:
  const TensorDtype dtype_;
  GgufWriter& writer_;
  std::mt19937 random_{1};
  std::vector<float> normals_ = std::vector<float>((size_t{4} << 20) + 1);
};

void WriteModel(const ModelConfig& shape, const GgufVocabulary& vocabulary, TensorDtype dtype,
                const std::string& path) {
  GgufWriter writer;
  writer.AddText("general.architecture", "llama");
  AddLlamaConfig(shape, writer);
  AddGgufVocabulary(vocabulary, writer);

  const int64_t kv = int64_t{shape.kv_heads} * shape.head_dim;
  RandomTensors tensors(dtype, writer);
  tensors.AddMatrix("token_embd.weight", shape.vocab, shape.dim);
  tensors.AddOnes("output_norm.weight", shape.dim);
  tensors.AddMatrix("output.weight", shape.vocab, shape.dim);
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    tensors.AddOnes(prefix + "attn_norm.weight", shape.dim);
    tensors.AddMatrix(prefix + "attn_q.weight", shape.dim, shape.dim);
    tensors.AddMatrix(prefix + "attn_k.weight", kv, shape.dim);
    tensors.AddMatrix(prefix + "attn_v.weight", kv, shape.dim);
    tensors.AddMatrix(prefix + "attn_output.weight", shape.dim, shape.dim);
    tensors.AddOnes(prefix + "ffn_norm.weight", shape.dim);
    tensors.AddMatrix(prefix + "ffn_gate.weight", shape.hidden, shape.dim);
    tensors.AddMatrix(prefix + "ffn_up.weight", shape.hidden, shape.dim);
    tensors.AddMatrix(prefix + "ffn_down.weight", shape.dim, shape.hidden);
  }
  writer.Write(path);
}

int Main(int argc, char** argv) {
  if (argc < 8) {
    std::fprintf(stderr,
                 "usage: random_model OUT.gguf VOCABULARY.gguf LAYERS DIM HIDDEN HEADS KV_HEADS "
                 "[DTYPE [CONTEXT]]\n");
    return 2;
  }
  const GgufVocabulary vocabulary = ReadGgufVocabulary(argv[2]);
  const auto number = [&](int i) { return std::atoi(argv[i]); };
  ModelConfig shape;
  shape.layers = number(3);
  shape.dim = number(4);
  shape.hidden = number(5);
  shape.heads = number(6);
  shape.kv_heads = number(7);
  shape.vocab = static_cast<int>(vocabulary.tokens.size());
  shape.context_length = argc > 9 ? number(9) : 8192;
  if (shape.layers < 1 || shape.dim < 1 || shape.hidden < 1 || shape.heads < 1 ||
      shape.kv_heads < 1 || shape.context_length < 1 || shape.heads % shape.kv_heads != 0 ||
      shape.dim % (2 * shape.heads) != 0) {
    std::fprintf(stderr,
                 "random_model: sizes are at least 1, and heads must share out dim, and KV heads "
                 "the heads, evenly\n");
    return 2;
  }
  shape.head_dim = shape.dim / shape.heads;
  const std::string wanted = argc > 8 ? argv[8] : "bf16";
  const std::optional<TensorDtype> dtype = TensorDtypeOf(wanted);
  if (!dtype) {
    std::fprintf(stderr, "random_model: no dtype is called %s\n", wanted.c_str());
    return 2;
  }
  const auto block = static_cast<int>(BlockOf(*dtype).elements);
  if (shape.dim % block != 0 || shape.hidden % block != 0) {
    std::fprintf(stderr, "random_model: %s needs widths that are multiples of %d\n", wanted.c_str(),
                 block);
    return 2;
  }
  WriteModel(shape, vocabulary, *dtype, argv[1]);
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv); }
