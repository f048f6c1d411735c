// Checkpoints in both forms, against the values that were written and against real files.
#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/bfloat16.h"
#include "base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/text_file.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

// What a value becomes when it is stored as `dtype` in a row of the file.
std::vector<float> Rounded(const std::vector<float>& values, TensorDtype dtype) {
  std::vector<float> rounded = values;
  switch (dtype) {
    case TensorDtype::kF32:
      break;
    case TensorDtype::kF16:
      for (float& value : rounded) value = FloatFromF16(F16FromFloat(value));
      break;
    case TensorDtype::kBf16:
      for (float& value : rounded) value = FloatFromBf16(Bf16FromFloat(value));
      break;
    case TensorDtype::kQ8_0:
      for (size_t block = 0; block < rounded.size(); block += 32) {
        float largest = 0;
        for (size_t i = block; i < block + 32; ++i) {
          largest = std::max(largest, std::fabs(values[i]));
        }
        const float scale = FloatFromF16(F16FromFloat(largest / 127.0f));
        for (size_t i = block; i < block + 32; ++i) {
          rounded[i] = scale * std::min(127.0f, std::max(-127.0f, std::round(values[i] / scale)));
        }
      }
      break;
    default:  // tests/quantized_test.cc
      std::fill(rounded.begin(), rounded.end(), NAN);
  }
  return rounded;
}

std::vector<float> ValuesOf(const TensorView& tensor) {
  std::vector<float> values(tensor.elements());
  CopyAsFloat(tensor, values);
  return values;
}

// The rows of Q and K as GGUF's llama stores them: row 2i of a head is row i of the halves-paired
// order, row 2i+1 is row i + head_dim/2.
std::vector<float> AdjacentRows(const TinyTensor& tensor, int head_dim) {
  const int64_t rows = tensor.shape[0];
  const int64_t columns = tensor.shape.size() == 2 ? tensor.shape[1] : 1;
  std::vector<float> result;
  for (int64_t head = 0; head < rows / head_dim; ++head) {
    for (int i = 0; i < head_dim / 2; ++i) {
      for (const int64_t row : {head * head_dim + i, head * head_dim + i + head_dim / 2}) {
        const auto begin = tensor.values.begin() + row * columns;
        result.insert(result.end(), begin, begin + columns);
      }
    }
  }
  return result;
}

void ExpectEqualConfigs(const ModelConfig& config, const TinyModel& model) {
  EXPECT_EQ(config.layers, model.layers);
  EXPECT_EQ(config.dim, model.dim);
  EXPECT_EQ(config.hidden, model.hidden);
  EXPECT_EQ(config.heads, model.heads);
  EXPECT_EQ(config.kv_heads, model.kv_heads);
  EXPECT_EQ(config.head_dim, model.head_dim);
  EXPECT_EQ(config.rope_dims, config.positions == PositionScheme::kRope ? model.head_dim : 0);
  EXPECT_EQ(config.vocab, model.vocab);
  EXPECT_EQ(config.context_length, model.context);
  EXPECT_FLOAT_EQ(config.norm_eps, model.norm_eps);
  EXPECT_FLOAT_EQ(config.rope_theta, model.rope_theta);
  EXPECT_EQ(config.tied_embeddings, model.tied);
  EXPECT_EQ(config.qkv_bias, model.qkv_bias);
  EXPECT_EQ(config.output_bias, model.output_bias);
  EXPECT_EQ(config.qk_norm, model.qk_norm);
  EXPECT_EQ(config.mlp_bias, model.mlp_bias);
  EXPECT_EQ(config.norm_bias, model.norm_bias);
  EXPECT_EQ(config.two_norms, model.two_norms);
  EXPECT_FLOAT_EQ(config.qkv_clip, model.qkv_clip);
  const bool is_mpt = model.architecture == "mpt";
  EXPECT_FLOAT_EQ(config.alibi_max_bias, is_mpt ? model.alibi_max_bias : 0);
}

// Falcon, MPT and GPT-2, with every order that a fused projection is stored in.
std::vector<TinyModel> FusedKinds() {
  std::vector<TinyModel> models;
  for (const char* architecture : {"falcon", "mpt", "gpt2"}) {
    models.push_back(TinyModel::Of(architecture));
    models.push_back(models.back());
    models.back().tied = false;
    models.back().context = 100;
  }
  TinyModel falcon40b = TinyModel::Of("falcon");
  falcon40b.kv_heads = 2;
  falcon40b.two_norms = true;
  models.push_back(falcon40b);
  falcon40b.two_norms = false;  // 11B: key-value heads for groups, one norm
  models.push_back(falcon40b);
  TinyModel biased = TinyModel::Of("falcon");
  biased.kv_heads = biased.heads;  // the first ones: a key-value head for each query head
  biased.qkv_bias = biased.output_bias = biased.mlp_bias = true;
  models.push_back(biased);
  TinyModel clipped = TinyModel::Of("mpt");
  clipped.kv_heads = 2;
  clipped.qkv_clip = 0.75;
  clipped.alibi_max_bias = 4;
  clipped.norm_bias = clipped.qkv_bias = clipped.output_bias = clipped.mlp_bias = true;
  models.push_back(clipped);
  return models;
}

std::vector<TinyModel> AllKinds() {
  std::vector<TinyModel> models;
  for (const char* architecture : {"llama", "mistral", "qwen2", "qwen3"}) {
    models.push_back(TinyModel::Of(architecture));
    models.back().context = 100;
    models.push_back(models.back());
    models.back().tied = true;
    models.back().seed = 7;
  }
  TinyModel biased = TinyModel::Of("llama");
  biased.qkv_bias = true;
  biased.output_bias = true;
  models.push_back(biased);
  TinyModel wide_heads = TinyModel::Of("qwen3");
  wide_heads.head_dim = 32;  // heads * head_dim is not dim
  wide_heads.rope_theta = 1e6;
  wide_heads.norm_eps = 1e-6;
  models.push_back(wide_heads);
  for (TinyModel& model : FusedKinds()) models.push_back(std::move(model));
  return models;
}

std::string Describe(const TinyModel& model) {
  return model.architecture + (model.tied ? " tied" : "") + (model.output_bias ? " biased" : "") +
         (model.two_norms ? " two norms" : "") + " head_dim " + std::to_string(model.head_dim) +
         " kv_heads " + std::to_string(model.kv_heads);
}

TEST(CheckpointTest, GgufHoldsWhatWasWritten) {
  const TemporaryFolder folder("checkpoint");
  for (const TinyModel& model : AllKinds()) {
    const bool adjacent = model.architecture == "llama" || model.architecture == "mistral";
    for (const TensorDtype dtype :
         {TensorDtype::kF32, TensorDtype::kF16, TensorDtype::kBf16, TensorDtype::kQ8_0}) {
      SCOPED_TRACE(Describe(model) + " " + std::string(TensorDtypeName(dtype)));
      WriteGguf(model, folder / "tiny.gguf", dtype);
      const auto checkpoint = Checkpoint::Open(folder / "tiny.gguf");
      EXPECT_EQ(checkpoint->format(), Checkpoint::Format::kGguf);
      EXPECT_EQ(checkpoint->weight_dtype(), dtype);
      ExpectEqualConfigs(checkpoint->config(), model);
      EXPECT_EQ(checkpoint->config().architecture,
                model.architecture == "mistral" ? "llama" : model.architecture);
      EXPECT_EQ(checkpoint->config().rope_pairing,
                adjacent ? RopePairing::kAdjacent : RopePairing::kHalves);
      const std::vector<TinyTensor> written = TinyWeights(model);
      EXPECT_EQ(checkpoint->tensors().size(), written.size());
      for (const TinyTensor& tensor : written) {
        const TensorView& read = checkpoint->Get(tensor.name);
        EXPECT_EQ(read.shape, tensor.shape) << tensor.name;
        const bool rotated = tensor.name.find(".attn_q.") != std::string::npos ||
                             tensor.name.find(".attn_k.") != std::string::npos;
        const std::vector<float> expected =
            adjacent && rotated ? AdjacentRows(tensor, model.head_dim) : tensor.values;
        EXPECT_EQ(ValuesOf(read),
                  Rounded(expected, tensor.shape.size() == 1 ? TensorDtype::kF32 : dtype))
            << tensor.name;
      }
    }
  }
}

TEST(CheckpointTest, HuggingFaceFolderHoldsWhatWasWritten) {
  for (const TinyModel& model : AllKinds()) {
    for (const TensorDtype dtype : {TensorDtype::kF32, TensorDtype::kF16, TensorDtype::kBf16}) {
      for (const int shards : {1, 2, 3}) {
        SCOPED_TRACE(Describe(model) + " " + std::string(TensorDtypeName(dtype)) + " in " +
                     std::to_string(shards));
        const TemporaryFolder folder("checkpoint");
        WriteHuggingFace(model, folder.path(), dtype, shards);
        const auto checkpoint = Checkpoint::Open(folder.path());
        EXPECT_EQ(checkpoint->format(), Checkpoint::Format::kHuggingFace);
        EXPECT_EQ(checkpoint->weight_dtype(), dtype);
        EXPECT_EQ(checkpoint->gguf_vocabulary(), nullptr);
        ExpectEqualConfigs(checkpoint->config(), model);
        EXPECT_EQ(checkpoint->config().architecture, model.architecture);
        EXPECT_EQ(checkpoint->config().rope_pairing, RopePairing::kHalves);
        const std::vector<TinyTensor> written = TinyWeights(model);
        EXPECT_EQ(checkpoint->tensors().size(), written.size());
        for (const TinyTensor& tensor : written) {
          const TensorView& read = checkpoint->Get(tensor.name);
          EXPECT_EQ(read.file_name, tensor.hugging_face_name);
          EXPECT_EQ(read.shape, tensor.shape) << tensor.name;
          EXPECT_EQ(ValuesOf(read), Rounded(tensor.values, dtype)) << tensor.name;
        }
      }
    }
  }
}

// GGUF keeps one-dimensional tensors in f32 and safetensors does not: both forms can only give
// equal logits if rounding leaves those alone.
TEST(CheckpointTest, VectorsOfTinyModelsSurviveRounding) {
  for (const TinyModel& model : AllKinds()) {
    for (const TinyTensor& tensor : TinyWeights(model)) {
      if (tensor.shape.size() != 1) continue;
      EXPECT_EQ(Rounded(tensor.values, TensorDtype::kF16), tensor.values) << tensor.name;
      EXPECT_EQ(Rounded(tensor.values, TensorDtype::kBf16), tensor.values) << tensor.name;
    }
  }
}

TEST(CheckpointTest, RowsAndBf16CopiesEqualTheWholeTensor) {
  const TemporaryFolder folder("checkpoint");
  const TinyModel model;
  for (const TensorDtype dtype :
       {TensorDtype::kF32, TensorDtype::kF16, TensorDtype::kBf16, TensorDtype::kQ8_0}) {
    SCOPED_TRACE(TensorDtypeName(dtype));
    WriteGguf(model, folder / "tiny.gguf", dtype);
    const auto checkpoint = Checkpoint::Open(folder / "tiny.gguf");
    const TensorView& tensor = checkpoint->Get("token_embd.weight");
    const std::vector<float> all = ValuesOf(tensor);
    std::vector<float> rows(3 * model.dim);
    CopyRowsAsFloat(tensor, 5, 3, rows);
    EXPECT_EQ(rows, std::vector<float>(all.begin() + 5 * model.dim, all.begin() + 8 * model.dim));
    CopyRowsAsFloat(tensor, model.vocab - 3, 3, rows);
    EXPECT_EQ(rows, std::vector<float>(all.end() - 3 * model.dim, all.end()));
    std::vector<uint16_t> bits(all.size());
    CopyAsBf16(tensor, bits);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(bits[i], Bf16FromFloat(all[i])) << i;
  }
}

TEST(CheckpointTest, EveryHalfPrecisionPatternBecomesItsValue) {
  std::vector<uint16_t> patterns(65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  // One byte off, as safetensors allows.
  std::vector<std::byte> bytes(patterns.size() * 2 + 1);
  std::memcpy(bytes.data() + 1, patterns.data(), patterns.size() * 2);
  TensorView tensor;
  tensor.shape = {65536};
  tensor.data = std::span<const std::byte>(bytes).subspan(1);
  std::vector<float> values(patterns.size());

  tensor.dtype = TensorDtype::kF16;
  CopyAsFloat(tensor, values);
  for (size_t i = 0; i < patterns.size(); ++i) {
    const float expected = FloatFromF16(patterns[i]);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(values[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected)) << i;
    }
  }
  tensor.dtype = TensorDtype::kBf16;
  CopyAsFloat(tensor, values);
  for (size_t i = 0; i < patterns.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), static_cast<uint32_t>(i) << 16) << i;
  }
}

TEST(CheckpointTest, RopeScaling) {
  const TemporaryFolder folder("checkpoint");
  TinyModel model;
  model.rope_scaling.kind = RopeScaling::Kind::kLinear;
  model.rope_scaling.factor = 4;
  WriteGguf(model, folder / "linear.gguf", TensorDtype::kF32);
  WriteHuggingFace(model, folder / "linear", TensorDtype::kF32);
  for (const char* name : {"linear.gguf", "linear"}) {
    const auto checkpoint = Checkpoint::Open(folder / name);
    EXPECT_EQ(checkpoint->config().rope_scaling.kind, RopeScaling::Kind::kLinear) << name;
    EXPECT_EQ(checkpoint->config().rope_scaling.factor, 4) << name;
  }

  // head_dim 128 and these constants are Llama 3.1's; its published divisors begin with ones and
  // end with eights.
  model.rope_theta = 500000;
  model.heads = 2;
  model.kv_heads = 1;
  model.head_dim = 128;
  model.rope_scaling = {RopeScaling::Kind::kLlama3, 8, 1, 4, 8192};
  WriteGguf(model, folder / "llama3.gguf", TensorDtype::kF32);
  WriteHuggingFace(model, folder / "llama3", TensorDtype::kF32);
  const auto gguf = Checkpoint::Open(folder / "llama3.gguf");
  EXPECT_EQ(gguf->config().rope_scaling.kind, RopeScaling::Kind::kNone);
  const std::vector<float> divisors = ValuesOf(gguf->Get("rope_freqs.weight"));
  ASSERT_EQ(divisors.size(), 64u);
  EXPECT_EQ(divisors.front(), 1);
  EXPECT_EQ(divisors.back(), 8);
  EXPECT_GT(divisors[30], 1);
  EXPECT_LT(divisors[30], 8);
  const auto folder_form = Checkpoint::Open(folder / "llama3");
  const RopeScaling& scaling = folder_form->config().rope_scaling;
  EXPECT_EQ(scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(scaling.factor, 8);
  EXPECT_EQ(scaling.low_freq_factor, 1);
  EXPECT_EQ(scaling.high_freq_factor, 4);
  EXPECT_EQ(scaling.original_context, 8192);
  EXPECT_EQ(folder_form->Find("rope_freqs.weight"), nullptr);
}

TEST(CheckpointTest, PathsThatHoldNoCheckpoint) {
  const TemporaryFolder folder("checkpoint");
  ExpectError(ErrorCode::kIo, {"absent.gguf"}, [&] { Checkpoint::Open(folder / "absent.gguf"); });
  ExpectError(ErrorCode::kIo, {"config.json"}, [&] { Checkpoint::Open(folder.path()); });
  WriteHuggingFace(TinyModel(), folder.path(), TensorDtype::kF32);
  std::filesystem::remove(folder / "model.safetensors");
  ExpectError(ErrorCode::kIo, {"no model.safetensors"}, [&] { Checkpoint::Open(folder.path()); });
  WriteText(folder / "pytorch_model.bin", "pickle");
  ExpectError(ErrorCode::kUnsupported, {"pytorch_model.bin"},
              [&] { Checkpoint::Open(folder.path()); });
  WriteText(folder / "text.gguf", "This is no model.");
  ExpectError(ErrorCode::kCorrupt, {"GGUF", "text.gguf"},
              [&] { Checkpoint::Open(folder / "text.gguf"); });
}

TEST(CheckpointTest, TiedModelMayStoreOnlyItsHead) {
  const TemporaryFolder folder("checkpoint");
  TinyModel model;
  model.tied = true;
  WriteHuggingFace(model, folder.path(), TensorDtype::kF32);
  std::string bytes = ReadText(folder / "model.safetensors");
  // The two names have different lengths; spaces in the JSON header make up for it.
  const std::string from = "\"model.embed_tokens.weight\"";
  std::string to = "\"lm_head.weight\"";
  to.resize(from.size(), ' ');
  bytes.replace(bytes.find(from), from.size(), to);
  WriteText(folder / "model.safetensors", bytes);
  const auto checkpoint = Checkpoint::Open(folder.path());
  EXPECT_EQ(checkpoint->Find("output.weight"), nullptr);
  EXPECT_EQ(ValuesOf(checkpoint->Get("token_embd.weight")), TinyWeights(model).front().values);
}

TEST(CheckpointTest, GgufVocabularyIsReadAsWritten) {
  const TemporaryFolder folder("checkpoint");
  for (const char* architecture : {"llama", "qwen2"}) {
    const TinyModel model = TinyModel::Of(architecture);
    const TinyVocabulary written = MakeTinyVocabulary(model.vocabulary, model.vocab);
    WriteGguf(model, folder / "tiny.gguf", TensorDtype::kF32);
    const GgufVocabulary read = ReadGgufVocabulary(folder / "tiny.gguf");
    EXPECT_EQ(read.tokens, written.tokens);
    EXPECT_EQ(read.scores, written.scores);
    EXPECT_EQ(read.token_types, written.token_types);
    EXPECT_EQ(read.eos_id, written.eos_id);
    EXPECT_EQ(read.chat_template, model.chat_template);
    if (model.architecture == "llama") {
      EXPECT_EQ(read.model, "llama");
      EXPECT_EQ(read.bos_id, 1);
      EXPECT_EQ(read.add_bos, true);
      EXPECT_TRUE(read.merges.empty());
    } else {
      EXPECT_EQ(read.model, "gpt2");
      EXPECT_EQ(read.pre, "qwen2");
      EXPECT_EQ(read.bos_id, std::nullopt);
      EXPECT_EQ(read.add_bos, false);
      EXPECT_EQ(read.merges.size(), written.merges.size());
    }
    const auto checkpoint = Checkpoint::Open(folder / "tiny.gguf");
    ASSERT_NE(checkpoint->gguf_vocabulary(), nullptr);
    EXPECT_EQ(checkpoint->gguf_vocabulary()->tokens, written.tokens);
  }
}

TEST(CheckpointTest, DigestFollowsContentAndFingerprintFollowsFiles) {
  const TemporaryFolder folder("checkpoint");
  TinyModel model;
  WriteGguf(model, folder / "a.gguf", TensorDtype::kF32);
  WriteHuggingFace(model, folder / "a", TensorDtype::kF32, 2);
  std::filesystem::copy(folder / "a.gguf", folder / "b.gguf");
  std::filesystem::copy(folder / "a", folder / "b", std::filesystem::copy_options::recursive);
  model.seed = 2;
  WriteGguf(model, folder / "c.gguf", TensorDtype::kF32);
  const auto digest = [&](const char* name) {
    return Checkpoint::Open(folder / name)->ContentDigest();
  };
  EXPECT_EQ(digest("a.gguf"), digest("b.gguf"));
  EXPECT_NE(digest("a.gguf"), digest("c.gguf"));
  EXPECT_EQ(digest("a"), digest("b"));

  const std::string gguf_before = CheckpointFingerprint(folder / "a.gguf");
  const std::string folder_before = CheckpointFingerprint(folder / "b");
  EXPECT_EQ(CheckpointFingerprint(folder / "a.gguf"), gguf_before);
  const auto move_time = [](const std::filesystem::path& path) {
    std::filesystem::last_write_time(
        path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
  };
  move_time(folder / "a.gguf");
  EXPECT_NE(CheckpointFingerprint(folder / "a.gguf"), gguf_before);
  // A file beside the checkpoint is no part of it; its tokenizer is.
  WriteText(folder.path() / "b" / "notes.txt", "hello");
  EXPECT_EQ(CheckpointFingerprint(folder / "b"), folder_before);
  move_time(folder.path() / "b" / "tokenizer.json");
  EXPECT_NE(CheckpointFingerprint(folder / "b"), folder_before);
  // The content is still the same.
  EXPECT_EQ(digest("a"), digest("b"));
  WriteText(folder.path() / "b" / "tokenizer.json", "{}");
  EXPECT_NE(digest("a"), digest("b"));
  ExpectError(ErrorCode::kIo, {"absent"}, [&] { CheckpointFingerprint(folder / "absent"); });
}

TEST(CheckpointTest, ConfigurationsWithOtherStatesHashDifferently) {
  const auto digest = [](const ModelConfig& config) {
    Hasher hasher;
    config.AddTo(hasher);
    return hasher.Finish();
  };
  const ModelConfig base;
  std::vector<ModelConfig> others(16, base);
  others[0].rope_theta = 5e5;
  others[1].norm_eps = 1e-6;
  others[2].rope_scaling.kind = RopeScaling::Kind::kLinear;
  others[3].rope_scaling.factor = 2;
  others[4].rope_pairing = RopePairing::kAdjacent;
  others[5].kv_heads = 2;
  others[6].qk_norm = true;
  others[7].layers = 1;
  others[8].norm = NormKind::kLayer;
  others[9].positions = PositionScheme::kAlibi;
  others[10].positions = PositionScheme::kLearned;
  others[11].mlp = MlpKind::kGeluTanh;
  others[12].mlp = MlpKind::kGeluErf;
  others[13].parallel = true;
  others[14].qkv_clip = 8;
  others[15] = others[9];
  others[15].alibi_max_bias = 4;
  for (size_t i = 0; i < others.size(); ++i) EXPECT_NE(digest(others[i]), digest(base)) << i;
  EXPECT_EQ(digest(ModelConfig()), digest(base));
}

TEST(SharedCheckpointTest, Stories260K) {
  const auto shared = SharedFolder();
  if (!shared.has_value()) GTEST_SKIP() << "the shared test data is absent (PROMPTDB_SHARED)";
  const auto checkpoint = Checkpoint::Open(*shared / "models/stories260K/stories260K.gguf");
  const ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.layers, 5);
  EXPECT_EQ(config.dim, 64);
  EXPECT_EQ(config.hidden, 172);
  EXPECT_EQ(config.heads, 8);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.vocab, 512);
  EXPECT_EQ(config.context_length, 512);
  EXPECT_EQ(config.rope_pairing, RopePairing::kAdjacent);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-5);
  EXPECT_EQ(checkpoint->weight_dtype(), TensorDtype::kF32);
  ASSERT_NE(checkpoint->gguf_vocabulary(), nullptr);
  EXPECT_EQ(checkpoint->gguf_vocabulary()->model, "llama");
  EXPECT_EQ(checkpoint->gguf_vocabulary()->tokens.size(), 512u);
  EXPECT_EQ(checkpoint->gguf_vocabulary()->tokens[403], "▁Once");
}

TEST(SharedCheckpointTest, TinyStories656K) {
  const auto shared = SharedFolder();
  if (!shared.has_value()) GTEST_SKIP() << "the shared test data is absent (PROMPTDB_SHARED)";
  const auto checkpoint = Checkpoint::Open(*shared / "models/tinystories-656K");
  const ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.dim, 128);
  EXPECT_EQ(config.hidden, 384);
  EXPECT_EQ(config.heads, 8);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.vocab, 2048);
  EXPECT_DOUBLE_EQ(config.norm_eps, 1e-6);
  EXPECT_TRUE(config.tied_embeddings);
  // Only the head is stored; it serves as the embeddings.
  EXPECT_EQ(checkpoint->Get("token_embd.weight").file_name, "lm_head.weight");
  EXPECT_EQ(checkpoint->Find("output.weight"), nullptr);
}

TEST(SharedCheckpointTest, VocabulariesWithoutTensors) {
  const auto shared = SharedFolder();
  if (!shared.has_value()) GTEST_SKIP() << "the shared test data is absent (PROMPTDB_SHARED)";
  const GgufVocabulary spm = ReadGgufVocabulary(*shared / "tokenizers/ggml-vocab-llama-spm.gguf");
  EXPECT_EQ(spm.model, "llama");
  EXPECT_EQ(spm.tokens.size(), 32000u);
  EXPECT_EQ(spm.scores.size(), 32000u);
  EXPECT_EQ(spm.bos_id, 1);
  EXPECT_EQ(spm.eos_id, 2);
  const GgufVocabulary gpt2 = ReadGgufVocabulary(*shared / "tokenizers/ggml-vocab-gpt-2.gguf");
  EXPECT_EQ(gpt2.model, "gpt2");
  EXPECT_EQ(gpt2.tokens.size(), 50257u);
  EXPECT_EQ(gpt2.merges.size(), 50000u);
  ExpectError(ErrorCode::kCorrupt, {"\"token_embd.weight\" is missing"},
              [&] { Checkpoint::Open(*shared / "tokenizers/ggml-vocab-gpt-2.gguf"); });
}

}  // namespace
}  // namespace promptdb
