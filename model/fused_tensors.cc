#include "model/fused_tensors.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "model/quoted_name.h"

namespace promptdb {
namespace {

struct Part {
  const char* name;
  int64_t heads;
  int64_t first_head;  // in the fused tensor; with kGrouped, in its first group
  int64_t run_heads;   // kGrouped: heads of one group
};

// Bytes from the start of the stored tensor to the first value of its row `row`.
int64_t RowOffset(const TensorView& tensor, int64_t row) {
  if (tensor.layout.transposed > 0) return TensorBytes(tensor.dtype, row);
  const int64_t columns = tensor.shape.size() == 2 ? tensor.shape[1] : 1;
  return TensorBytes(tensor.dtype, columns) * row;
}

void Split(FusedQkv order, const ModelConfig& config, const std::string& block,
           const std::string& suffix, const std::filesystem::path& path, TensorMap& tensors) {
  const auto found = tensors.find(block + "attn_qkv" + suffix);
  if (found == tensors.end()) return;
  const TensorView fused = found->second;
  tensors.erase(found);
  const int64_t q = config.heads, kv = config.kv_heads;
  std::vector<int64_t> shape = {(q + 2 * kv) * config.head_dim};
  if (suffix == ".weight") shape.push_back(config.dim);
  CheckShape(fused, shape, path);
  if (shape.size() == 1 && IsQuantized(fused.dtype)) {
    throw Error(ErrorCode::kUnsupported,
                "tensor " + QuotedName(fused.file_name) + " is a quantized bias: " + path.string());
  }

  const bool grouped = order == FusedQkv::kGrouped;
  const int64_t queries = q / kv;  // of a group
  const int64_t group = queries + 2;
  const Part parts[] = {
      {"attn_q", q, 0, queries},
      {"attn_k", kv, grouped ? queries : q, 1},
      {"attn_v", kv, grouped ? queries + 1 : q + kv, 1},
  };
  for (const Part& part : parts) {
    TensorView view = fused;
    view.name = block + part.name + suffix;
    view.shape[0] = part.heads * config.head_dim;
    const int64_t first_row = part.first_head * config.head_dim;
    view.data = fused.data.subspan(static_cast<size_t>(RowOffset(fused, first_row)));
    if (grouped) {
      view.layout.run_rows = part.run_heads * config.head_dim;
      view.layout.run_stride = group * config.head_dim;
    } else if (fused.layout.in_order()) {
      view.data = view.data.first(static_cast<size_t>(RowOffset(view, view.shape[0])));
    }
    if (!tensors.emplace(view.name, view).second) {
      throw Error(ErrorCode::kCorrupt,
                  "tensor " + QuotedName(fused.file_name) +
                      " stands beside a tensor of its parts: " + path.string());
    }
  }
}

}  // namespace

void SplitFusedQkv(FusedQkv order, const ModelConfig& config, const std::filesystem::path& path,
                   TensorMap& tensors) {
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    Split(order, config, block, ".weight", path, tensors);
    Split(order, config, block, ".bias", path, tensors);
  }
}

void TransposeLayers(const ModelConfig& config, TensorMap& tensors) {
  for (int layer = 0; layer < config.layers; ++layer) {
    for (const char* name : {"attn_qkv", "attn_output", "ffn_up", "ffn_down"}) {
      const auto found =
          tensors.find("blk." + std::to_string(layer) + "." + std::string(name) + ".weight");
      if (found == tensors.end() || found->second.shape.size() != 2) continue;
      TensorView& tensor = found->second;
      tensor.layout.transposed = tensor.shape[1];
      std::swap(tensor.shape[0], tensor.shape[1]);
    }
  }
}

}  // namespace promptdb
