// The families of tiny models (TinyModel::Of is here), and how the files of Falcon, MPT and GPT-2
// differ from those of the Llama family: their tensors' names, fused and transposed projections,
// metadata and config.json. For tests/support/ tiny_checkpoint.h, and written apart from what
// model/ reads them with.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TESTS_SUPPORT_TINY_FAMILIES_H_
#define PROMPTDB_TESTS_SUPPORT_TINY_FAMILIES_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/tiny_checkpoint.h"

namespace promptdb {

// True for Falcon, MPT and GPT-2: LayerNorm, GELU, a fused QKV projection.
bool HasFusedQkv(const std::string& architecture);

// What a Hugging Face folder calls a canonical tensor; of a part of a fused tensor, what it calls
// the whole.
std::string FusedFamilyTensorName(const TinyModel& model, const std::string& canonical);

// The tensors as a GGUF file of such a family has them: blk.N.attn_qkv for the three parts.
std::vector<TinyTensor> FuseForGguf(const TinyModel& model, std::vector<TinyTensor> tensors);

// The tensors as a Hugging Face folder has them: fused, in the order of rows of the variant, and
// for GPT-2 transposed. `name` stays canonical, with blk.N.attn_qkv for the fused ones.
std::vector<TinyTensor> FuseForHuggingFace(const TinyModel& model, std::vector<TinyTensor> tensors);

nlohmann::ordered_json FusedFamilyConfigJson(const TinyModel& model);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TINY_FAMILIES_H_
