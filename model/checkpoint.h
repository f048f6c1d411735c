// A checkpoint on disk: configuration and weights, mapped and not copied.
//
// Open() checks every shape, dtype and offset against the file before anything is used: whatever is
// returned can be read without further checks. A truncated or hostile file is an Error(kCorrupt)
// that names the tensor or key at fault; a well-formed file of a kind we cannot run is an
// Error(kUnsupported).
//
// Thread-safe: immutable after Open().
#ifndef PROMPTDB_MODEL_CHECKPOINT_H_
#define PROMPTDB_MODEL_CHECKPOINT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "model/model_config.h"

namespace promptdb {

enum class TensorDtype { kF32, kF16, kBf16, kQ8_0, kQ4_0, kQ4K, kQ6K };
inline constexpr std::array kTensorDtypes = {
    TensorDtype::kF32,  TensorDtype::kF16, TensorDtype::kBf16, TensorDtype::kQ8_0,
    TensorDtype::kQ4_0, TensorDtype::kQ4K, TensorDtype::kQ6K};

// "f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k"
std::string_view TensorDtypeName(TensorDtype dtype);
std::optional<TensorDtype> TensorDtypeOf(std::string_view name);

// Values that are stored together, with what scales them. Rows are whole blocks.
struct TensorBlock {
  int64_t elements;
  int64_t bytes;
};
TensorBlock BlockOf(TensorDtype dtype);
inline bool IsQuantized(TensorDtype dtype) { return BlockOf(dtype).elements > 1; }

// Bytes that `elements` values take in a file. REQUIRES: whole blocks.
int64_t TensorBytes(TensorDtype dtype, int64_t elements);

// How a view's rows lie in the file where they are not simply one after the other: because the view
// is a part of a fused projection, or because the file has [in, out].
struct TensorLayout {
  int64_t run_rows = 0;    // rows that follow one another in the file; 0: all of them
  int64_t run_stride = 0;  // stored rows from the start of one run to the start of the next
  // Above 0: the file has [in, this], so that a row's values lie this many elements apart, and row
  // r + 1 starts one element after row r. Not if quantized.
  int64_t transposed = 0;

  bool in_order() const { return run_rows == 0 && transposed == 0; }
};

// A tensor in a mapped file. Valid as long as its Checkpoint. `data` may be unaligned and out of
// order: read it through the functions below, or check before reading it in place.
struct TensorView {
  std::string name;       // canonical, see Checkpoint
  std::string file_name;  // as the file calls it, for messages
  TensorDtype dtype = TensorDtype::kF32;
  std::vector<int64_t> shape;       // row-major, outermost first: a weight is [out, in]
  std::span<const std::byte> data;  // from the first row's first value on
  TensorLayout layout;

  int64_t elements() const;
};

// Writes the tensor's values as f32 to `out`. REQUIRES: out.size() == tensor.elements().
void CopyAsFloat(const TensorView& tensor, std::span<float> out);
// The same for rows [first_row, first_row + rows) of a 2-d tensor.
void CopyRowsAsFloat(const TensorView& tensor, int64_t first_row, int64_t rows,
                     std::span<float> out);
// The same, as bf16 bit patterns, rounded to nearest even.
void CopyAsBf16(const TensorView& tensor, std::span<uint16_t> out);

// The other way: f32 values as files have them, rounded to nearest (ties to even, in quantized
// forms away from zero). REQUIRES: whole blocks.
std::string EncodeTensor(std::span<const float> values, TensorDtype dtype);

// The vocabulary that a GGUF file carries inside, as its metadata says it.
struct GgufVocabulary {
  std::string
      model;  // tokenizer.ggml.model: "llama" (SentencePiece-style) or "gpt2" (byte-level BPE)
  std::string pre;  // tokenizer.ggml.pre: "default", "llama-bpe", "qwen2", "gpt-2", …; may be empty
  std::vector<std::string> tokens;
  std::vector<float> scores;  // empty for byte-level BPE
  std::vector<int32_t>
      token_types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string> merges;  // "left right"; empty for SentencePiece-style
  std::optional<int32_t> bos_id, eos_id, unk_id, pad_id, eot_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
  std::string chat_template;  // empty where the file has none
};

// Reads only the vocabulary of a GGUF file (which may have no tensors at all).
GgufVocabulary ReadGgufVocabulary(const std::filesystem::path& path);

// Canonical tensor names, whatever the file calls them (they are GGUF's own):
//   token_embd.weight [vocab, dim]          output_norm.weight [dim]
//   output.weight [vocab, dim]              (absent when the embeddings are tied)
//   position_embd.weight [context, dim]     (positions == kLearned)
//   blk.N.attn_norm.weight [dim]            blk.N.ffn_norm.weight [dim] (not if parallel)
//   blk.N.attn_norm_2.weight [dim]          (two_norms: attention's; attn_norm is then the MLP's)
//   …norm.bias [dim] beside each            (norm_bias)
//   blk.N.attn_q.weight [heads*head_dim, dim]        blk.N.attn_k/v.weight [kv_heads*head_dim, dim]
//   blk.N.attn_q/k/v.bias                   (qkv_bias)
//   blk.N.attn_q_norm/k_norm.weight [head_dim]       (qk_norm)
//   blk.N.attn_output.weight [dim, heads*head_dim]   blk.N.attn_output.bias [dim] (output_bias)
//   blk.N.ffn_gate.weight [hidden, dim]     (kSwiGlu)
//   blk.N.ffn_up.weight [hidden, dim]       blk.N.ffn_down.weight [dim, hidden]
//   blk.N.ffn_up.bias [hidden]              blk.N.ffn_down.bias [dim] (mlp_bias)
//   rope_freqs.weight [rope_dims/2]         (GGUF's own form of llama3 scaling; optional)
class Checkpoint {
 public:
  enum class Format { kGguf, kHuggingFace };

  // `path`: a .gguf file, or a folder with config.json and *.safetensors.
  static std::unique_ptr<Checkpoint> Open(const std::filesystem::path& path);

  virtual ~Checkpoint() = default;

  Format format() const { return format_; }
  const std::filesystem::path& path() const { return path_; }
  const ModelConfig& config() const { return config_; }

  // nullptr when the checkpoint has no such tensor.
  const TensorView* Find(std::string_view canonical_name) const;
  // REQUIRES: Open() guarantees that it exists (every tensor the configuration calls for).
  const TensorView& Get(std::string_view canonical_name) const;
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }

  // The dtype of most weights: what `dtype` "as stored" means.
  TensorDtype weight_dtype() const;

  // Digest over the contents of all files of the checkpoint. Reads them whole, once a call.
  virtual Digest ContentDigest() const = 0;

  // kGguf only.
  virtual const GgufVocabulary* gguf_vocabulary() const { return nullptr; }

 protected:
  Format format_ = Format::kGguf;
  std::filesystem::path path_;
  ModelConfig config_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

// Size and modification time of every file of a checkpoint, as one string: cheap to take, and equal
// only if the files are unchanged for all that the file system can tell.
std::string CheckpointFingerprint(const std::filesystem::path& path);

}  // namespace promptdb

#endif  // PROMPTDB_MODEL_CHECKPOINT_H_
