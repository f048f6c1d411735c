// What config.json may say: variants that mean the same, and those that are refused, and how.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/text_file.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

using nlohmann::json;

// Opens a folder whose config.json has had `change` merged in; a null removes a key.
std::unique_ptr<Checkpoint> OpenChanged(const TinyModel& model, const json& change) {
  const TemporaryFolder folder("checkpoint");
  WriteHuggingFace(model, folder.path(), TensorDtype::kF32);
  json config = json::parse(ReadText(folder / "config.json"));
  config.merge_patch(change);
  WriteText(folder / "config.json", config.dump());
  return Checkpoint::Open(folder.path());
}

TEST(CheckpointConfigTest, ConfigVariantsThatAreEquivalent) {
  const TinyModel model;
  // head_dim, and the number of KV heads where all heads have their own, may be left out.
  EXPECT_EQ(OpenChanged(model, {{"head_dim", nullptr}})->config().head_dim, 16);
  TinyModel all_heads;
  all_heads.kv_heads = all_heads.heads;
  EXPECT_EQ(OpenChanged(all_heads, {{"num_key_value_heads", nullptr}})->config().kv_heads, 4);

  const auto newer = OpenChanged(
      model,
      {{"rope_theta", nullptr},
       {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e5}}}});
  EXPECT_EQ(newer->config().rope_theta, 5e5);
  EXPECT_EQ(newer->config().rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(newer->config().rope_scaling.factor, 2.0);
  const auto plain = OpenChanged(
      model, {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 20000.0}}}});
  EXPECT_EQ(plain->config().rope_theta, 20000.0);
  EXPECT_EQ(plain->config().rope_scaling.kind, RopeScaling::Kind::kNone);
}

TEST(CheckpointConfigTest, ASlidingWindowLimitsTheContext) {
  const TinyModel mistral = TinyModel::Of("mistral");
  const TinyModel qwen = TinyModel::Of("qwen2");
  const auto context = [](const TinyModel& model, const nlohmann::json& change) {
    return OpenChanged(model, change)->config().context_length;
  };
  EXPECT_EQ(context(mistral, {{"sliding_window", 128}}), 128);
  EXPECT_EQ(context(mistral, {{"sliding_window", 4096}}), 512);
  EXPECT_EQ(context(mistral, {{"sliding_window", nullptr}}), 512);
  EXPECT_EQ(context(qwen, {{"sliding_window", 128}, {"use_sliding_window", true}}), 128);
  EXPECT_EQ(context(qwen, {{"sliding_window", 128}}), 512);
}

TEST(CheckpointConfigTest, UnsupportedConfigurationsAreNamed) {
  const TinyModel model;
  const struct {
    json change;
    std::vector<std::string> parts;
  } kCases[] = {
      {{{"model_type", "gpt_neox"}}, {"architecture \"gpt_neox\""}},
      {{{"hidden_act", "gelu"}}, {"activation \"gelu\""}},
      {{{"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}}}}, {"\"yarn\""}},
      {{{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}}, {"\"dynamic\""}},
      {{{"quantization_config", {{"quant_method", "gptq"}}}}, {"quantization_config"}},
      {{{"partial_rotary_factor", 0.5}}, {"partial_rotary_factor"}},
  };
  for (const auto& [change, parts] : kCases) {
    SCOPED_TRACE(change.dump());
    ExpectError(ErrorCode::kUnsupported, parts, [&] { OpenChanged(model, change); });
  }
}

TEST(CheckpointConfigTest, EncodersAreToldApart) {
  ExpectError(ErrorCode::kUnsupported, {"encoder", "\"bert\""}, [&] {
    OpenChanged(TinyModel(), {{"model_type", "bert"}});
  });
}

TEST(CheckpointConfigTest, VariantsOfFusedFamiliesThatAreUnsupportedAreNamed) {
  const struct {
    const char* architecture;
    json change;
    std::vector<std::string> parts;
  } kCases[] = {
      {"falcon", {{"alibi", true}}, {"alibi"}},
      {"falcon", {{"parallel_attn", false}}, {"parallel_attn"}},
      {"falcon", {{"activation", "relu"}}, {"activation \"relu\""}},
      {"mpt", {{"attn_config", {{"alibi", false}}}}, {"without ALiBi"}},
      {"mpt", {{"attn_config", {{"qk_ln", true}}}}, {"qk_ln"}},
      {"mpt", {{"attn_config", {{"prefix_lm", true}}}}, {"prefix_lm"}},
      {"mpt", {{"attn_config", {{"softmax_scale", 0.5}}}}, {"softmax_scale"}},
      {"mpt", {{"attn_config", {{"attn_type", "other"}}}}, {"\"other\""}},
      {"mpt", {{"logit_scale", "inv_sqrt_d_model"}}, {"logit_scale"}},
      {"mpt", {{"norm_type", "rmsnorm"}}, {"\"rmsnorm\""}},
      {"gpt2", {{"activation_function", "relu"}}, {"activation \"relu\""}},
      {"gpt2", {{"scale_attn_by_inverse_layer_idx", true}}, {"inverse_layer"}},
      {"gpt2", {{"scale_attn_weights", false}}, {"scale_attn_weights"}},
      {"gpt2", {{"add_cross_attention", true}}, {"add_cross_attention"}},
  };
  for (const auto& [architecture, change, parts] : kCases) {
    SCOPED_TRACE(change.dump());
    ExpectError(ErrorCode::kUnsupported, parts,
                [&] { OpenChanged(TinyModel::Of(architecture), change); });
  }
}

TEST(CheckpointConfigTest, VariantsOfFusedFamiliesThatAreEquivalent) {
  // What these keys say by default is what the tiny models have.
  const auto falcon = OpenChanged(TinyModel::Of("falcon"), {{"activation", nullptr},
                                                            {"multi_query", nullptr},
                                                            {"new_decoder_architecture", nullptr},
                                                            {"parallel_attn", nullptr},
                                                            {"bias", nullptr},
                                                            {"rope_theta", nullptr},
                                                            {"tie_word_embeddings", nullptr}});
  EXPECT_EQ(falcon->config().kv_heads, 1);
  EXPECT_TRUE(falcon->config().parallel);
  EXPECT_EQ(falcon->config().mlp, MlpKind::kGeluErf);
  const auto mpt = OpenChanged(TinyModel::Of("mpt"), {{"attn_config", nullptr}});
  EXPECT_EQ(mpt->config().alibi_max_bias, 8);
  TinyModel four = TinyModel::Of("gpt2");
  four.hidden = 4 * four.dim;
  const auto gpt2 = OpenChanged(four, {{"n_inner", nullptr}, {"activation_function", nullptr}});
  EXPECT_EQ(gpt2->config().mlp, MlpKind::kGeluTanh);
  EXPECT_EQ(OpenChanged(four, {{"activation_function", "gelu"}})->config().mlp, MlpKind::kGeluErf);
}

TEST(CheckpointConfigTest, WrongShapesOfFusedFamiliesAreNamedAsTheFileHasThem) {
  const struct {
    const char* architecture;
    json change;
    std::vector<std::string> parts;
  } kCases[] = {
      {"falcon",
       {{"multi_query", false}},
       {"h.0.self_attention.query_key_value.weight\"", "[192, 64]", "[96, 64]"}},
      {"falcon", {{"num_attention_heads", 5}}, {"num_attention_heads does not divide"}},
      {"falcon", {{"bias", true}}, {"query_key_value.bias\"", "missing"}},
      {"falcon", {{"num_hidden_layers", 3}}, {"\"transformer.h.2.input_layernorm.", "missing"}},
      {"mpt", {{"expansion_ratio", 4}}, {"blocks.0.ffn.up_proj.weight\"", "[256, 64]"}},
      {"mpt", {{"attn_config", {{"alibi_bias_max", -8}}}}, {"ALiBi"}},
      {"mpt", {{"attn_config", {{"clip_qkv", -1}}}}, {"clamp"}},
      {"mpt",
       {{"attn_config", {{"attn_type", "multiquery_attention"}}}},
       {"attn.Wqkv.weight\"", "[96, 64]", "[192, 64]"}},
      {"gpt2", {{"n_positions", 256}}, {"wpe.weight\"", "[256, 64]", "[512, 64]"}},
      {"gpt2", {{"n_inner", 64}}, {"mlp.c_fc.weight\"", "[64, 64]", "[64, 128]"}},
      {"gpt2", {{"n_layer", 3}}, {"\"transformer.h.2.ln_1.weight\"", "missing"}},
  };
  for (const auto& [architecture, change, parts] : kCases) {
    SCOPED_TRACE(change.dump());
    ExpectError(ErrorCode::kCorrupt, parts,
                [&] { OpenChanged(TinyModel::Of(architecture), change); });
  }
}

TEST(CheckpointConfigTest, WrongConfigurationsAreNamed) {
  const TinyModel model;
  const struct {
    json change;
    std::vector<std::string> parts;
  } kCases[] = {
      {{{"hidden_size", nullptr}}, {"\"hidden_size\" is missing", "config.json"}},
      {{{"hidden_size", "64"}}, {"\"hidden_size\" should be an integer"}},
      {{{"hidden_size", -64}}, {"\"hidden_size\" should be an integer"}},
      {{{"hidden_size", 1e30}}, {"\"hidden_size\" should be an integer"}},
      {{{"hidden_size", 4294967360}}, {"\"hidden_size\" should be an integer"}},
      {{{"num_hidden_layers", 0}}, {"number of layers", "0"}},
      {{{"num_hidden_layers", 1001}}, {"number of layers", "1001"}},
      {{{"num_hidden_layers", 3}}, {"\"model.layers.2.", "missing"}},
      {{{"num_key_value_heads", 3}}, {"4 attention heads", "3 key-value heads"}},
      {{{"num_key_value_heads", 0}}, {"key-value heads"}},
      {{{"num_attention_heads", 0}, {"head_dim", nullptr}}, {"num_attention_heads"}},
      {{{"head_dim", 15}}, {"head width is odd, 15"}},
      {{{"head_dim", 32}}, {"\"model.layers.0.self_attn.q_proj.weight\"", "[128, 64]", "[64, 64]"}},
      {{{"vocab_size", 511}}, {"\"model.embed_tokens.weight\"", "[511, 64]", "[512, 64]"}},
      {{{"vocab_size", 5000000}}, {"vocabulary size"}},
      {{{"intermediate_size", 127}}, {"mlp.gate_proj.weight\"", "[127, 64]", "[128, 64]"}},
      {{{"rms_norm_eps", 5}}, {"epsilon"}},
      {{{"rope_theta", 0}}, {"RoPE base"}},
      {{{"rope_scaling", {{"type", "linear"}}}}, {"\"factor\" is missing"}},
      {{{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, {"scaling factor"}},
      {{{"attention_bias", true}}, {"self_attn.q_proj.bias\"", "missing"}},
  };
  for (const auto& [change, parts] : kCases) {
    SCOPED_TRACE(change.dump());
    ExpectError(ErrorCode::kCorrupt, parts, [&] { OpenChanged(model, change); });
  }
  // A layer that the configuration does not know would be left out silently.
  ExpectError(ErrorCode::kUnsupported, {"\"model.layers.1.", "has no place", "1 layers"}, [&] {
    OpenChanged(model, {{"num_hidden_layers", 1}});
  });
  ExpectError(ErrorCode::kCorrupt, {"\"lm_head.weight\"", "missing"}, [&] {
    TinyModel tied;
    tied.tied = true;
    OpenChanged(tied, {{"tie_word_embeddings", false}});
  });
}

}  // namespace
}  // namespace promptdb
