// The forward pass of a decoder, of any family (ModelConfig says which), over token ids, position
// ids and lists of KV segments.
//
// Who attends to whom is said by lists, not by mask tensors: a RowGroup's rows see all tokens of
// its context spans, and each other causally. A context span may name the `own` segment of another
// group of the same batch, if that group comes earlier: so a whole prompt of modules, with its
// block mask, is one batch.
//
// States are read and written as the segments have them. Those that grow are f32 or bf16.
// Segments may have been moved (KvSegment::PlaceAt): with RoPE, queries are turned to meet the
// keys.
//
// Thread-safe: const after Load(); a forward pass writes only the segments it is given.
#ifndef PROMPTDB_EXECUTOR_TRANSFORMER_H_
#define PROMPTDB_EXECUTOR_TRANSFORMER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "executor/linear.h"
#include "model/checkpoint.h"
#include "storage/kv_segment.h"

namespace promptdb {

// Tokens [begin, end) of a segment. `segment` is borrowed.
struct KvSpan {
  const KvSegment* segment = nullptr;
  int begin = 0;
  int end = 0;
};

// Rows of a batch that extend one segment.
struct RowGroup {
  int rows = 0;                 // consecutive rows of the batch, after the rows of earlier groups
  std::vector<KvSpan> context;  // what all of them see
  KvSegment* own = nullptr;     // borrowed; grown by `rows` tokens, which also see it causally,
                                // together with the tokens it held before
};

struct ForwardBatch {
  std::vector<int32_t> tokens;     // [rows]
  std::vector<int32_t> positions;  // [rows]; those of a group continue own's positions
  std::vector<RowGroup> groups;    // their rows sum up to the batch's
  std::vector<int32_t> logits_of;  // the rows whose logits are wanted, ascending
};

class Transformer {
 public:
  struct Options {
    std::optional<WeightDtype> dtype;   // nullopt: bf16 if most are stored so, else f32
    KvDtype kv_dtype = KvDtype::kBf16;  // what kv_shape() says, f32 or bf16
  };

  // On the processor. Keeps `checkpoint`, whose embeddings are read from its mapping.
  // executor/device_transformer.h has the one for devices.
  static std::unique_ptr<Transformer> Load(std::shared_ptr<const Checkpoint> checkpoint,
                                           const Options& options, ProgressListener* progress);
  virtual ~Transformer();
  Transformer(const Transformer&) = delete;
  Transformer& operator=(const Transformer&) = delete;

  const ModelConfig& config() const { return checkpoint_->config(); }
  const KvShape& kv_shape() const { return kv_shape_; }
  WeightDtype weight_dtype() const { return weight_dtype_; }
  int64_t parameters() const;
  virtual int64_t weight_bytes() const = 0;

  // Runs the batch; returns logits [logits_of.size(), vocab] f32. Long batches are cut into pieces
  // of rows that bound the working memory; `progress`, if given, hears of each (in tokens) and may
  // cancel within a layer's time (Error(kCanceled); the segments are then of no use).
  std::vector<float> Forward(const ForwardBatch& batch, ProgressListener* progress = nullptr) const;
  // The same, but the rows' last hidden states, normed, before the output head:
  // [logits_of.size(), dim] f32.
  virtual std::vector<float> HiddenStates(const ForwardBatch& batch,
                                          ProgressListener* progress = nullptr) const = 0;
  // The output head alone: [rows, vocab] of HiddenStates()' rows.
  virtual std::vector<float> Logits(std::span<const float> hidden) const = 0;

 protected:
  Transformer(std::shared_ptr<const Checkpoint> checkpoint, const Options& options);

 private:
  const std::shared_ptr<const Checkpoint> checkpoint_;  // shared with the model
  const KvShape kv_shape_;
  const WeightDtype weight_dtype_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_TRANSFORMER_H_
