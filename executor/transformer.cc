#include "executor/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "executor/alibi.h"
#include "executor/attention.h"
#include "executor/forward_pieces.h"
#include "executor/rope.h"
#include "executor/simd.h"
#include "executor/threads.h"

namespace promptdb {
namespace {

// Rows that go through the layers together: enough for the products to run at full speed, few
// enough that activations stay small beside the weights.
constexpr int kPieceRows = 512;
// Elements below which waking another thread costs more than it saves.
constexpr int64_t kLeastParallelElements = 1 << 15;

struct NormWeights {
  std::vector<float> weight;  // [dim]
  std::vector<float> bias;    // [dim], or empty
};

struct Layer {
  NormWeights attention_norm;
  Linear qkv;                 // dim -> (heads + 2 kv_heads) * head_dim
  std::vector<float> q_norm;  // [head_dim], or empty
  std::vector<float> k_norm;  // [head_dim], or empty
  Linear attention_output;    // heads * head_dim -> dim
  NormWeights mlp_norm;       // of a parallel block it may be attention_norm again
  Linear up;                  // dim -> hidden; SwiGLU: the gate first, dim -> 2 hidden
  Linear down;                // hidden -> dim
};

// RoPE's turns for a piece.
struct PieceTurns {
  Rope::Turns rows;                 // by the rows' positions
  std::optional<Rope::Turns> keys;  // where they differ: by those that their segments turn keys for
  std::vector<QueryTurn> moved;     // for the segments that the rows see; by moved_by
};

// The activations of a piece.
struct Activations {
  std::vector<float> residual;   // [rows, dim]
  std::vector<float> normed;     // [rows, dim]
  std::vector<float> qkv;        // [rows, (heads + 2 kv_heads) * head_dim]
  std::vector<float> q;          // [rows, heads, head_dim]
  std::vector<float> attended;   // [rows, heads, head_dim]
  std::vector<float> projected;  // [rows, dim]
  std::vector<float> up;         // [rows, hidden]; SwiGLU: [rows, 2 hidden]
  std::vector<float> activated;  // [rows, hidden]
};

std::vector<float> Floats(const TensorView* tensor) {
  if (tensor == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(tensor->elements()));
  CopyAsFloat(*tensor, values);
  return values;
}

// Gives back the memory of the mapped file for all tensors whose names begin so, once they were
// copied.
void ReleaseTensors(const Checkpoint& checkpoint, const std::string& prefix) {
  for (auto it = checkpoint.tensors().lower_bound(prefix);
       it != checkpoint.tensors().end() && it->first.starts_with(prefix); ++it) {
    ReleasePages(it->second.data);
  }
}

// Calls work(row) for each row, in several threads if the rows, of `width` elements, are worth it.
template <typename Work>
void ForRows(int rows, int64_t width, const Work& work) {
  const int threads = rows * width >= kLeastParallelElements ? Threads() : 1;
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads) if (threads > 1)
  for (int row = 0; row < rows; ++row) work(row);
}

// The weights, and what they do.
struct CpuModel {
  std::shared_ptr<const Checkpoint> checkpoint;  // shared: embeddings are read from its mapping
  ModelConfig config;
  WeightDtype weight_dtype = WeightDtype::kF32;
  const SimdKernels& kernels = KernelsFor(BestCpuPath());
  const TensorView* embedding = nullptr;  // [vocab, dim], read where it lies
  std::vector<Layer> layers;
  const TensorView* positions = nullptr;  // [context, dim], kLearned only
  NormWeights final_norm;
  std::unique_ptr<Linear> head;  // dim -> vocab
  std::unique_ptr<Rope> rope;    // kRope only
  std::vector<float> slopes;     // [heads], kAlibi only

  int q_width() const { return config.heads * config.head_dim; }
  int kv_width() const { return config.kv_heads * config.head_dim; }
  int qkv_width() const { return q_width() + 2 * kv_width(); }
  int up_width() const {
    return config.mlp == MlpKind::kSwiGlu ? 2 * config.hidden : config.hidden;
  }

  // REQUIRES: checkpoint, config and weight_dtype are set.
  void Load(ProgressListener* progress);
  NormWeights LoadNorm(const std::string& name) const;
  Layer LoadLayer(int index) const;
  void Resize(int rows, Activations& a) const;
  void Embed(const int32_t* tokens, const int32_t* positions, int rows, float* residual) const;
  void Norm(const float* x, const NormWeights& norm, int rows, float* out) const;
  void AddToResidual(int rows, Activations& a) const;
  // Brings Q and K to what attention compares, and writes K and V into the groups' own segments.
  void SplitQkv(const Layer& layer, int layer_index, const Piece& piece, const PieceTurns* turns,
                Activations& a) const;
  void StoreKv(const float* values, KvDtype dtype, std::byte* to) const;
  PieceTurns TurnsOf(const Piece& piece, std::span<const int32_t> positions) const;
  // `turns`: nullptr without RoPE, here and above.
  void AttendTo(int layer_index, const Piece& piece, const PieceTurns* turns, Activations& a) const;
  void Mlp(const Layer& layer, int rows, Activations& a) const;
  // Brings the residuals and queries of some rows, ascending, to the front.
  void Gather(std::span<const int> rows, Activations& a) const;
  // The piece's rows through all layers; leaves the residuals of the `wanted` (ascending), whose
  // logits are, one after the other. The last layer gives only these more than K and V: nothing
  // reads what would come of the others.
  void Run(const ForwardBatch& batch, const Piece& whole, std::span<const int> wanted,
           Activations& a, const ProgressListener* progress) const;
};

NormWeights CpuModel::LoadNorm(const std::string& name) const {
  return {Floats(&checkpoint->Get(name + ".weight")), Floats(checkpoint->Find(name + ".bias"))};
}

Layer CpuModel::LoadLayer(int index) const {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  const auto find = [&](const std::string& name) { return checkpoint->Find(prefix + name); };
  const auto linear = [&](std::initializer_list<const char*> names) {
    std::vector<const TensorView*> weights, biases;
    for (const std::string name : names) {
      weights.push_back(&checkpoint->Get(prefix + name + ".weight"));
      biases.push_back(find(name + ".bias"));
    }
    return Linear(weights, biases, weight_dtype);
  };
  return Layer{
      .attention_norm = LoadNorm(prefix + (config.two_norms ? "attn_norm_2" : "attn_norm")),
      .qkv = linear({"attn_q", "attn_k", "attn_v"}),
      .q_norm = Floats(find("attn_q_norm.weight")),
      .k_norm = Floats(find("attn_k_norm.weight")),
      .attention_output = linear({"attn_output"}),
      .mlp_norm = LoadNorm(prefix + (config.parallel ? "attn_norm" : "ffn_norm")),
      .up = config.mlp == MlpKind::kSwiGlu ? linear({"ffn_gate", "ffn_up"}) : linear({"ffn_up"}),
      .down = linear({"ffn_down"}),
  };
}

void CpuModel::Resize(int rows, Activations& a) const {
  const size_t n = static_cast<size_t>(rows);
  a.residual.resize(n * config.dim);
  a.normed.resize(n * config.dim);
  a.qkv.resize(n * qkv_width());
  a.q.resize(n * q_width());
  a.attended.resize(n * q_width());
  a.projected.resize(n * config.dim);
  a.up.resize(n * up_width());
  a.activated.resize(n * config.hidden);
}

void CpuModel::Embed(const int32_t* tokens, const int32_t* positions_of, int rows,
                     float* residual) const {
  const size_t dim = static_cast<size_t>(config.dim);
  std::vector<float> learned(positions != nullptr ? dim : 0);
  for (int row = 0; row < rows; ++row) {
    Check(tokens[row] >= 0 && tokens[row] < config.vocab, "a token is in the vocabulary");
    CopyRowsAsFloat(*embedding, tokens[row], 1, {residual + row * dim, dim});
    if (positions == nullptr) continue;
    CopyRowsAsFloat(*positions, positions_of[row], 1, learned);
    kernels.add(residual + row * dim, learned.data(), config.dim);
  }
}

void CpuModel::Norm(const float* x, const NormWeights& norm, int rows, float* out) const {
  const int64_t dim = config.dim;
  const float eps = static_cast<float>(config.norm_eps);
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data();
  ForRows(rows, dim, [&](int row) {
    if (config.norm == NormKind::kRms) {
      kernels.rms_norm(x + row * dim, norm.weight.data(), config.dim, eps, out + row * dim);
    } else {
      kernels.layer_norm(x + row * dim, norm.weight.data(), bias, config.dim, eps, out + row * dim);
    }
  });
}

void CpuModel::AddToResidual(int rows, Activations& a) const {
  const int64_t dim = config.dim;
  ForRows(rows, dim, [&](int row) {
    kernels.add(a.residual.data() + row * dim, a.projected.data() + row * dim, dim);
  });
}

void CpuModel::StoreKv(const float* values, KvDtype dtype, std::byte* to) const {
  if (dtype == KvDtype::kBf16) {
    kernels.round_bf16(values, config.head_dim, reinterpret_cast<uint16_t*>(to));
  } else {
    std::memcpy(to, values, sizeof(float) * config.head_dim);
  }
}

PieceTurns CpuModel::TurnsOf(const Piece& piece, std::span<const int32_t> positions_of) const {
  const PieceMoves moves = MovesOf(piece, positions_of);
  PieceTurns turns{.rows = rope->TurnsAt(positions_of)};
  if (!std::ranges::equal(moves.key_positions, positions_of)) {
    turns.keys = rope->TurnsAt(moves.key_positions);
  }
  for (const int moved : moves.moved_by) {
    const int32_t back = -moved;
    turns.moved.push_back({moved, rope->TurnsAt({&back, 1})});
  }
  return turns;
}

void CpuModel::SplitQkv(const Layer& layer, int layer_index, const Piece& piece,
                        const PieceTurns* turns, Activations& a) const {
  const int head_dim = config.head_dim;
  const float eps = static_cast<float>(config.norm_eps);
  const auto rotate = [&](const Rope::Turns* by, int row, const float* x, float* out) {
    if (by != nullptr) {
      rope->Rotate(*by, row, x, out);
    } else if (x != out) {
      std::memcpy(out, x, sizeof(float) * head_dim);
    }
  };
  const Rope::Turns* of_queries = turns == nullptr ? nullptr : &turns->rows;
  const Rope::Turns* of_keys = turns == nullptr || !turns->keys ? of_queries : &*turns->keys;
  for (const GroupPart& part : piece.parts) {
    ForRows(part.rows, qkv_width(), [&](int i) {
      const int row = part.first_row + i;
      const int token = part.first_token + i;
      float* q = a.qkv.data() + static_cast<int64_t>(row) * qkv_width();
      float* k = q + q_width();
      const float* v = k + kv_width();
      if (config.qkv_clip > 0) {
        kernels.clamp(q, qkv_width(), static_cast<float>(config.qkv_clip));
      }
      float* rotated_q = a.q.data() + static_cast<int64_t>(row) * q_width();
      for (int head = 0; head < config.heads; ++head) {
        const int64_t at = int64_t{head} * head_dim;
        float* x = q + at;
        if (!layer.q_norm.empty()) kernels.rms_norm(x, layer.q_norm.data(), head_dim, eps, x);
        rotate(of_queries, row, x, rotated_q + at);
      }
      KvSegment& own = *part.group->own;
      const KvDtype dtype = own.shape().dtype;
      for (int head = 0; head < config.kv_heads; ++head) {
        const int64_t at = int64_t{head} * head_dim;
        float* x = k + at;
        if (!layer.k_norm.empty()) kernels.rms_norm(x, layer.k_norm.data(), head_dim, eps, x);
        rotate(of_keys, row, x, x);
        StoreKv(x, dtype, own.MutableK(layer_index, head, token));
        StoreKv(v + at, dtype, own.MutableV(layer_index, head, token));
      }
    });
  }
}

void CpuModel::AttendTo(int layer_index, const Piece& piece, const PieceTurns* turns,
                        Activations& a) const {
  std::vector<std::vector<KvSlice>> slices(piece.parts.size());
  std::vector<AttentionGroup> groups;
  for (size_t i = 0; i < piece.parts.size(); ++i) {
    const GroupPart& part = piece.parts[i];
    for (const KvSpan& span : part.group->context) {
      if (span.begin == span.end) continue;
      Check(span.end <= span.segment->tokens(), "a context span is computed before it is read");
      span.segment->AppendSlices(layer_index, span.begin, span.end, slices[i]);
    }
    const int own_tokens = part.first_token + part.rows;
    part.group->own->AppendSlices(layer_index, 0, own_tokens, slices[i]);
    const int64_t offset = static_cast<int64_t>(part.first_row) * q_width();
    groups.push_back({.q = a.q.data() + offset,
                      .out = a.attended.data() + offset,
                      .rows = part.rows,
                      .slices = slices[i],
                      .causal_tokens = own_tokens,
                      .first_position = part.group->own->start_position() + part.first_token,
                      .shared_tokens = part.shared_tokens});
  }
  Attend({.heads = config.heads,
          .kv_heads = config.kv_heads,
          .head_dim = config.head_dim,
          .scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim)),
          .slopes = slopes,
          .rope = rope.get(),
          .turns = turns == nullptr ? std::span<const QueryTurn>() : turns->moved},
         groups);
}

void CpuModel::Mlp(const Layer& layer, int rows, Activations& a) const {
  layer.up.Apply(a.normed.data(), rows, a.up.data());
  const int hidden = config.hidden;
  const int64_t width = up_width();
  ForRows(rows, width, [&](int row) {
    const float* up = a.up.data() + row * width;
    float* out = a.activated.data() + static_cast<int64_t>(row) * hidden;
    switch (config.mlp) {
      case MlpKind::kSwiGlu:
        return kernels.swiglu(up, up + hidden, hidden, out);
      case MlpKind::kGeluTanh:
        return kernels.gelu_tanh(up, hidden, out);
      case MlpKind::kGeluErf:
        return kernels.gelu_erf(up, hidden, out);
    }
  });
  layer.down.Apply(a.activated.data(), rows, a.projected.data());
}

void CpuModel::Gather(std::span<const int> rows, Activations& a) const {
  int to = 0;
  for (const int row : rows) {
    const auto move = [&](std::vector<float>& values, int64_t width) {
      if (row != to) {
        std::copy_n(values.begin() + row * width, width, values.begin() + to * width);
      }
    };
    move(a.residual, config.dim);
    move(a.q, q_width());
    ++to;
  }
}

void CpuModel::Run(const ForwardBatch& batch, const Piece& whole, std::span<const int> wanted,
                   Activations& a, const ProgressListener* progress) const {
  Piece piece = whole;
  int rows = piece.rows;
  const auto positions_of =
      std::span(batch.positions).subspan(static_cast<size_t>(piece.first_row), rows);
  std::optional<PieceTurns> rope_turns;
  if (rope != nullptr) rope_turns = TurnsOf(piece, positions_of);
  const PieceTurns* turns = rope_turns ? &*rope_turns : nullptr;
  Embed(batch.tokens.data() + piece.first_row, positions_of.data(), rows, a.residual.data());
  for (const GroupPart& part : piece.parts) part.group->own->Grow(part.rows);

  // x += attention(norm(x));  x += mlp(norm(x))
  // or, parallel: x += attention(norm(x)) + mlp(norm(x))
  for (int i = 0; i < config.layers; ++i) {
    if (progress != nullptr && progress->IsCanceled()) {
      throw Error(ErrorCode::kCanceled, "the computation was canceled");
    }
    const Layer& layer = layers[i];
    Norm(a.residual.data(), layer.attention_norm, rows, a.normed.data());
    layer.qkv.Apply(a.normed.data(), rows, a.qkv.data());
    SplitQkv(layer, i, piece, turns, a);
    if (i == config.layers - 1) {
      if (wanted.empty()) return;
      Gather(wanted, a);
      piece = Narrow(piece, wanted);
      rows = piece.rows;
    }
    AttendTo(i, piece, turns, a);
    if (config.parallel) Norm(a.residual.data(), layer.mlp_norm, rows, a.normed.data());
    layer.attention_output.Apply(a.attended.data(), rows, a.projected.data());
    AddToResidual(rows, a);

    if (!config.parallel) Norm(a.residual.data(), layer.mlp_norm, rows, a.normed.data());
    Mlp(layer, rows, a);
    AddToResidual(rows, a);
  }
}

class CpuTransformer final : public Transformer {
 public:
  CpuTransformer(std::shared_ptr<const Checkpoint> checkpoint, const Options& options,
                 ProgressListener* progress)
      : Transformer(checkpoint, options) {
    model_.checkpoint = std::move(checkpoint);
    model_.config = config();
    model_.weight_dtype = weight_dtype();
    model_.Load(progress);
  }

  int64_t weight_bytes() const override;
  std::vector<float> HiddenStates(const ForwardBatch& batch,
                                  ProgressListener* progress) const override;
  std::vector<float> Logits(std::span<const float> hidden) const override;

 private:
  CpuModel model_;
};

void CpuModel::Load(ProgressListener* progress) {
  ApplyThreads();
  const Checkpoint& file = *checkpoint;
  for (int i = 0; i < config.layers; ++i) {
    if (progress != nullptr) {
      if (progress->IsCanceled()) throw Error(ErrorCode::kCanceled, "loading was canceled");
      progress->OnProgress("loading", i, config.layers, "layers");
    }
    layers.push_back(LoadLayer(i));
    ReleaseTensors(file, "blk." + std::to_string(i) + ".");
  }
  if (progress != nullptr) progress->OnProgress("loading", config.layers, config.layers, "layers");
  embedding = &file.Get("token_embd.weight");
  const TensorView* output = file.Find("output.weight");
  head = std::make_unique<Linear>(
      std::vector<const TensorView*>{output != nullptr ? output : embedding},
      std::vector<const TensorView*>{nullptr}, weight_dtype);
  ReleaseTensors(file, "");
  final_norm = LoadNorm("output_norm");
  switch (config.positions) {
    case PositionScheme::kRope:
      rope = std::make_unique<Rope>(config, file.Find("rope_freqs.weight"));
      break;
    case PositionScheme::kAlibi:
      slopes = AlibiSlopes(config.heads, config.alibi_max_bias);
      break;
    case PositionScheme::kLearned:
      positions = &file.Get("position_embd.weight");
      break;
  }
}

int64_t CpuTransformer::weight_bytes() const {
  int64_t bytes = model_.head->bytes();
  if (model_.positions != nullptr) bytes += static_cast<int64_t>(model_.positions->data.size());
  if (model_.checkpoint->Find("output.weight") != nullptr) {
    bytes += static_cast<int64_t>(model_.embedding->data.size());
  }
  for (const Layer& layer : model_.layers) {
    bytes +=
        layer.qkv.bytes() + layer.attention_output.bytes() + layer.up.bytes() + layer.down.bytes();
  }
  return bytes;
}

std::vector<float> CpuTransformer::HiddenStates(const ForwardBatch& batch,
                                                ProgressListener* progress) const {
  const int dim = config().dim;
  const int64_t total = static_cast<int64_t>(batch.tokens.size());
  ApplyThreads();
  const std::vector<Piece> pieces = CutIntoPieces(batch, kPieceRows);
  const std::vector<std::vector<int>> wanted = WantedOf(batch, pieces);
  int most_rows = 0;
  for (const Piece& piece : pieces) most_rows = std::max(most_rows, piece.rows);
  // Kept for the thread's next batch: fresh memory costs page faults. A piece's rows bound it.
  thread_local Activations a;
  model_.Resize(most_rows, a);

  std::vector<float> last;  // [logits_of, dim]: the rows that go through the head
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (progress != nullptr) {
      progress->OnProgress("computing", pieces[i].first_row, total, "tokens");
    }
    model_.Run(batch, pieces[i], wanted[i], a, progress);
    last.insert(last.end(), a.residual.begin(),
                a.residual.begin() + static_cast<int64_t>(wanted[i].size()) * dim);
  }
  if (progress != nullptr) progress->OnProgress("computing", total, total, "tokens");
  model_.Norm(last.data(), model_.final_norm, static_cast<int>(batch.logits_of.size()),
              last.data());
  return last;
}

std::vector<float> CpuTransformer::Logits(std::span<const float> hidden) const {
  const int rows = static_cast<int>(hidden.size()) / config().dim;
  std::vector<float> logits(static_cast<size_t>(rows) * config().vocab);
  model_.head->Apply(hidden.data(), rows, logits.data());
  return logits;
}

}  // namespace

Transformer::Transformer(std::shared_ptr<const Checkpoint> checkpoint, const Options& options)
    : checkpoint_(std::move(checkpoint)),
      kv_shape_{config().layers, config().kv_heads, config().head_dim, options.kv_dtype},
      weight_dtype_(options.dtype.value_or(checkpoint_->weight_dtype() == TensorDtype::kBf16
                                               ? WeightDtype::kBf16
                                               : WeightDtype::kF32)) {}

Transformer::~Transformer() = default;

std::unique_ptr<Transformer> Transformer::Load(std::shared_ptr<const Checkpoint> checkpoint,
                                               const Options& options, ProgressListener* progress) {
  return std::make_unique<CpuTransformer>(std::move(checkpoint), options, progress);
}

int64_t Transformer::parameters() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : checkpoint_->tensors()) {
    if (name != "rope_freqs.weight") count += tensor.elements();
  }
  return count;
}

std::vector<float> Transformer::Forward(const ForwardBatch& batch,
                                        ProgressListener* progress) const {
  return Logits(HiddenStates(batch, progress));
}

}  // namespace promptdb
