#include "model/huggingface_checkpoint.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <ranges>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/huggingface_config.h"
#include "model/json_file.h"
#include "model/model_validation.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

using nlohmann::json;

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

struct NamePair {
  std::string_view hugging_face;
  std::string_view canonical;
};

constexpr NamePair kLlamaModel[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};
constexpr NamePair kLlamaLayer[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.o_proj.bias", "attn_output.bias"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
};

constexpr NamePair kFalconModel[] = {
    {"word_embeddings.weight", "token_embd.weight"},
    {"ln_f.weight", "output_norm.weight"},
    {"ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
};
constexpr NamePair kFalconLayer[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"input_layernorm.bias", "attn_norm.bias"},
    // Where there are two norms, attn_norm is the MLP's: GGUF has it so.
    {"ln_mlp.weight", "attn_norm.weight"},
    {"ln_mlp.bias", "attn_norm.bias"},
    {"ln_attn.weight", "attn_norm_2.weight"},
    {"ln_attn.bias", "attn_norm_2.bias"},
    {"self_attention.query_key_value.weight", "attn_qkv.weight"},
    {"self_attention.query_key_value.bias", "attn_qkv.bias"},
    {"self_attention.dense.weight", "attn_output.weight"},
    {"self_attention.dense.bias", "attn_output.bias"},
    {"mlp.dense_h_to_4h.weight", "ffn_up.weight"},
    {"mlp.dense_h_to_4h.bias", "ffn_up.bias"},
    {"mlp.dense_4h_to_h.weight", "ffn_down.weight"},
    {"mlp.dense_4h_to_h.bias", "ffn_down.bias"},
};

constexpr NamePair kMptModel[] = {
    {"wte.weight", "token_embd.weight"},
    {"norm_f.weight", "output_norm.weight"},
    {"norm_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
};
constexpr NamePair kMptLayer[] = {
    {"norm_1.weight", "attn_norm.weight"},          {"norm_1.bias", "attn_norm.bias"},
    {"norm_2.weight", "ffn_norm.weight"},           {"norm_2.bias", "ffn_norm.bias"},
    {"attn.Wqkv.weight", "attn_qkv.weight"},        {"attn.Wqkv.bias", "attn_qkv.bias"},
    {"attn.out_proj.weight", "attn_output.weight"}, {"attn.out_proj.bias", "attn_output.bias"},
    {"ffn.up_proj.weight", "ffn_up.weight"},        {"ffn.up_proj.bias", "ffn_up.bias"},
    {"ffn.down_proj.weight", "ffn_down.weight"},    {"ffn.down_proj.bias", "ffn_down.bias"},
};

constexpr NamePair kGpt2Model[] = {
    {"wte.weight", "token_embd.weight"},   {"wpe.weight", "position_embd.weight"},
    {"ln_f.weight", "output_norm.weight"}, {"ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
};
constexpr NamePair kGpt2Layer[] = {
    {"ln_1.weight", "attn_norm.weight"},          {"ln_1.bias", "attn_norm.bias"},
    {"ln_2.weight", "ffn_norm.weight"},           {"ln_2.bias", "ffn_norm.bias"},
    {"attn.c_attn.weight", "attn_qkv.weight"},    {"attn.c_attn.bias", "attn_qkv.bias"},
    {"attn.c_proj.weight", "attn_output.weight"}, {"attn.c_proj.bias", "attn_output.bias"},
    {"mlp.c_fc.weight", "ffn_up.weight"},         {"mlp.c_fc.bias", "ffn_up.bias"},
    {"mlp.c_proj.weight", "ffn_down.weight"},     {"mlp.c_proj.bias", "ffn_down.bias"},
};

}  // namespace

// How one architecture calls its tensors.
struct TensorNames {
  std::string_view architecture;
  std::string_view prefix;        // before every name but lm_head's; files may lack it
  std::string_view layer_prefix;  // before the layer's number
  std::span<const NamePair> model;
  std::span<const NamePair> layer;  // after the number and its dot
};

namespace {

constexpr TensorNames kNames[] = {
    {"falcon", "transformer.", "h.", kFalconModel, kFalconLayer},
    {"mpt", "transformer.", "blocks.", kMptModel, kMptLayer},
    {"gpt2", "transformer.", "h.", kGpt2Model, kGpt2Layer},
    {"", "", "model.layers.", kLlamaModel, kLlamaLayer},  // all others
};

const TensorNames& NamesOf(std::string_view architecture) {
  for (const TensorNames& names : kNames) {
    if (names.architecture == architecture) return names;
  }
  return kNames[std::size(kNames) - 1];
}

// "model.layers.12.rest" with prefix "model.layers." gives {"12", "rest"}.
std::optional<std::pair<std::string_view, std::string_view>> SplitLayerName(
    std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  const size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos || dot > 4) return std::nullopt;
  const std::string_view number = name.substr(0, dot);
  if (number.find_first_not_of("0123456789") != std::string_view::npos ||
      (number.size() > 1 && number.front() == '0')) {
    return std::nullopt;
  }
  return std::pair(number, name.substr(dot + 1));
}

// A name that we do not know gets a prefix, so that it cannot pass for a canonical one;
// CheckTensors then refuses it under its own name.
std::string CanonicalName(const TensorNames& names, std::string_view name) {
  std::string_view rest = name;
  if (rest.starts_with(names.prefix)) rest.remove_prefix(names.prefix.size());
  for (const NamePair& pair : names.model) {
    if (rest == pair.hugging_face) return std::string(pair.canonical);
  }
  if (const auto split = SplitLayerName(rest, names.layer_prefix); split.has_value()) {
    for (const NamePair& pair : names.layer) {
      if (split->second == pair.hugging_face) {
        return "blk." + std::string(split->first) + "." + std::string(pair.canonical);
      }
    }
  }
  return "unknown:" + std::string(name);
}

std::string HuggingFaceName(const TensorNames& names, std::string_view canonical) {
  const std::string prefix(canonical == "output.weight" ? "" : names.prefix);
  for (const NamePair& pair : names.model) {
    if (canonical == pair.canonical) return prefix + std::string(pair.hugging_face);
  }
  if (const auto split = SplitLayerName(canonical, "blk."); split.has_value()) {
    std::string part(split->second);
    // The parts of a fused projection are missing when it is.
    const bool is_fused = std::ranges::any_of(
        names.layer, [](const NamePair& pair) { return pair.canonical == "attn_qkv.weight"; });
    for (const std::string_view of : {"attn_q.", "attn_k.", "attn_v."}) {
      if (is_fused && part.starts_with(of)) part = "attn_qkv." + part.substr(of.size());
    }
    for (const NamePair& pair : names.layer) {
      if (part == pair.canonical) {
        return prefix + std::string(names.layer_prefix) + std::string(split->first) + "." +
               std::string(pair.hugging_face);
      }
    }
  }
  return std::string(canonical);
}

// Buffers that old versions of the transformers library saved, and that follow from config.json:
// RoPE's frequencies, and GPT-2's causal mask.
bool IsDerivedBuffer(const TensorNames& names, std::string_view name) {
  if (name.ends_with(".rotary_emb.inv_freq")) return true;
  return names.architecture == "gpt2" &&
         (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"));
}

// Tensor name to shard file name, with names that could lead out of the folder refused.
std::map<std::string, std::string> ReadIndex(const std::filesystem::path& path) {
  const json index = ReadJsonObject(path);
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object()) {
    throw Error(ErrorCode::kCorrupt, "the key \"weight_map\" is missing: " + path.string());
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, file] : weight_map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : std::string();
    if (!name.ends_with(".safetensors") || name.front() == '.' ||
        name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      throw Error(ErrorCode::kCorrupt, "tensor " + QuotedName(tensor) +
                                           " is said to lie in a file that is no plain "
                                           "*.safetensors name, " +
                                           QuotedName(name) + ": " + path.string());
    }
    shards.emplace(tensor, name);
  }
  return shards;
}

std::vector<std::string> WeightFiles(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / kSingleFile)) return {kSingleFile};
  if (!std::filesystem::exists(folder / kIndexFile)) {
    const bool pickled = std::filesystem::exists(folder / "pytorch_model.bin") ||
                         std::filesystem::exists(folder / "pytorch_model.bin.index.json");
    if (pickled) {
      throw Error(ErrorCode::kUnsupported,
                  "the weights are a Python pickle (pytorch_model.bin): " + folder.string(),
                  "Convert them to safetensors.");
    }
    throw Error(ErrorCode::kIo, "the folder has no model.safetensors: " + folder.string(),
                "A checkpoint folder holds config.json and model.safetensors, or "
                "model.safetensors.index.json and its files.");
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : ReadIndex(folder / kIndexFile)) names.insert(file);
  return {names.begin(), names.end()};
}

}  // namespace

std::vector<std::string> HuggingFaceFiles(const std::filesystem::path& folder) {
  std::vector<std::string> names = WeightFiles(folder);
  const bool sharded = names.size() != 1 || names.front() != kSingleFile;
  if (sharded) names.push_back(kIndexFile);
  names.push_back("config.json");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "generation_config.json", "chat_template.jinja"}) {
    if (std::filesystem::exists(folder / name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

HuggingFaceCheckpoint::HuggingFaceCheckpoint(const std::filesystem::path& folder) {
  format_ = Format::kHuggingFace;
  path_ = folder;
  const HuggingFaceConfig config = ReadHuggingFaceConfig(folder / "config.json");
  config_ = config.model;
  const TensorNames& names = NamesOf(config_.architecture);
  for (const std::string& name : WeightFiles(folder)) {
    files_.emplace_back(folder / name);
    AddTensors(files_.back(), names);
  }
  if (!std::filesystem::exists(folder / kSingleFile)) {
    // The index must tell the truth, or a shard of another download would pass.
    std::set<std::pair<std::string, std::string>> stored;
    for (const SafetensorsFile& file : files_) {
      for (const SafetensorsTensor& tensor : file.tensors()) {
        stored.emplace(tensor.name, file.path().filename().string());
      }
    }
    for (const auto& [tensor, file] : ReadIndex(folder / kIndexFile)) {
      if (!stored.contains({tensor, file})) {
        throw Error(ErrorCode::kCorrupt,
                    "tensor " + QuotedName(tensor) + " is not in the file that the index names, " +
                        QuotedName(file) + ": " + (folder / kIndexFile).string());
      }
    }
  }
  SettleTiedEmbeddings();
  if (config.is_transposed) TransposeLayers(config_, tensors_);
  SplitFusedQkv(config.fused_qkv, config_, folder, tensors_);
  DetectOptionalTensors(tensors_, config_);
  CheckTensors(config_, tensors_, folder,
               [&names](std::string_view canonical) { return HuggingFaceName(names, canonical); });
}

void HuggingFaceCheckpoint::AddTensors(const SafetensorsFile& file, const TensorNames& names) {
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (IsDerivedBuffer(names, tensor.name)) continue;
    if (!tensor.dtype.has_value()) {
      throw Error(ErrorCode::kUnsupported,
                  "tensor " + QuotedName(tensor.name) + " has the unsupported type " +
                      tensor.dtype_name + ": " + file.path().string(),
                  "Supported are F32, F16 and BF16.");
    }
    const std::string name = CanonicalName(names, tensor.name);
    const bool added =
        tensors_
            .emplace(name,
                     TensorView{name, tensor.name, *tensor.dtype, tensor.shape, tensor.data, {}})
            .second;
    if (!added) {
      throw Error(ErrorCode::kCorrupt, "tensor " + QuotedName(tensor.name) +
                                           " stands in two files: " + file.path().string());
    }
  }
}

// A tied model stores one of the two tables, usually the embeddings; safetensors drops the second
// name of shared memory, so that some files have only lm_head.weight.
void HuggingFaceCheckpoint::SettleTiedEmbeddings() {
  if (!config_.tied_embeddings) return;
  const auto head = tensors_.find(std::string_view("output.weight"));
  if (head == tensors_.end()) return;
  if (Find("token_embd.weight") == nullptr) {
    TensorView embeddings = head->second;
    embeddings.name = "token_embd.weight";
    tensors_.emplace(embeddings.name, embeddings);
  }
  tensors_.erase(head);
}

Digest HuggingFaceCheckpoint::ContentDigest() const {
  Hasher hasher;
  hasher.Add("Hugging Face checkpoint 1");
  for (const std::string& name : HuggingFaceFiles(path_)) {
    const auto open = std::find_if(files_.begin(), files_.end(), [&](const SafetensorsFile& file) {
      return file.path().filename() == name;
    });
    hasher.Add(name);
    // The weights that are mapped already, not whatever has that name by now.
    hasher.Add(open != files_.end() ? DigestMapped(open->bytes())
                                    : DigestMapped(MappedFile(path_ / name).bytes()));
  }
  return hasher.Finish();
}

}  // namespace promptdb
