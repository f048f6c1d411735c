#include "executor/device_transformer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "executor/device_attention.h"
#include "executor/device_weights.h"
#include "executor/forward_pieces.h"
#include "executor/rope.h"

namespace promptdb {
namespace {

// Rows that go through the layers together: enough that weights are read seldom.
constexpr int kPieceRows = 2048;
// Rows whose logits are computed at a time.
constexpr int kLogitRows = 256;

// The device's memory that a pass works in; kept from pass to pass.
class Workspace {
 public:
  enum Name {
    kResidual,        // [rows, dim] f32
    kWantedResidual,  // of the rows that go on past the last layer's K and V
    kNormed,          // [rows, dim]
    kQkv,             // [rows, (heads + 2 kv_heads) * head_dim] f32
    kQ,               // [rows, heads, head_dim] f32
    kWantedQ,
    kAttended,   // [rows, heads, head_dim]
    kProjected,  // [rows, dim] f32
    kUp,         // [rows, hidden] f32; SwiGLU: [rows, 2 hidden]
    kActivated,  // [rows, hidden]
    kRowTables,  // token ids, positions, turns
    kLayerTables,
    kTasks,
    kPartials,
    kLogits,
    kCount
  };

  explicit Workspace(DeviceCompute& device) : device_(device) {}

  std::byte* AtLeast(Name name, int64_t bytes) {
    DeviceBlock& block = blocks_[name];
    if (bytes > block.bytes()) {
      device_.Finish();  // what is queued may use the old one
      block = {};
      block = AllocateOrThrow(device_.memory(), bytes, "a pass's activations",
                              "A smaller gpu_cache leaves more.");
    }
    return block.data();
  }
  template <typename Value>
  Value* Of(Name name, int64_t count) {
    return reinterpret_cast<Value*>(AtLeast(name, std::max<int64_t>(1, count) * sizeof(Value)));
  }

 private:
  DeviceCompute& device_;
  std::array<DeviceBlock, kCount> blocks_;
};

// Several tables that go to the device as one.
class TableBuilder {
 public:
  // Returns where the values begin.
  template <typename Value>
  int64_t Add(std::span<const Value> values) {
    // What follows begins where any kind of value may.
    bytes_.resize((bytes_.size() + 15) / 16 * 16);
    const auto at = static_cast<int64_t>(bytes_.size());
    const auto bytes = std::as_bytes(values);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return at;
  }

  std::byte* Upload(Workspace& space, Workspace::Name to, DeviceCompute& device) const {
    std::byte* begin = space.AtLeast(to, std::max<int64_t>(1, size()));
    if (size() > 0) device.Upload(begin, bytes_.data(), size());
    return begin;
  }

 private:
  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }

  std::vector<std::byte> bytes_;
};

// What a model is on a device.
struct DeviceModel {
  const ModelConfig& config;
  DeviceWeights weights;
  std::optional<Rope> rope;  // PositionScheme::kRope

  int q_width() const { return config.heads * config.head_dim; }
  int qkv_width() const { return q_width() + 2 * config.kv_heads * config.head_dim; }
  int up_width() const {
    return config.mlp == MlpKind::kSwiGlu ? 2 * config.hidden : config.hidden;
  }
  int pairs() const { return rope ? config.rope_dims / 2 : 0; }
};

const float* Floats(const DeviceBlock& block) {
  return block.is_there() ? reinterpret_cast<const float*>(block.data()) : nullptr;
}

// A piece of a batch on its way through the layers.
class DevicePass {
 public:
  DevicePass(const DeviceModel& model, DeviceCompute& device, Workspace& space,
             const ForwardBatch& batch, const ProgressListener* progress)
      : model_(model),
        config_(model.config),
        device_(device),
        space_(space),
        batch_(batch),
        progress_(progress) {}

  // Leaves the last hidden states of the `wanted` rows, normed, in `to` [wanted, dim], once the
  // device has finished.
  void Run(const Piece& whole, std::span<const int> wanted, float* to) {
    piece_ = whole;
    rows_ = piece_.rows;
    is_planned_ = false;
    for (const GroupPart& part : piece_.parts) {
      for (const KvSpan& span : part.group->context) span.segment->BringTo(device_.memory());
      part.group->own->BringTo(device_.memory());
      part.group->own->Grow(part.rows);
    }
    TakeSpace();
    UploadRows();
    Embed();
    // x += attention(norm(x));  x += mlp(norm(x))
    // or, parallel: x += attention(norm(x)) + mlp(norm(x))
    for (int i = 0; i < config_.layers; ++i) {
      if (progress_ != nullptr && progress_->IsCanceled()) {
        throw Error(ErrorCode::kCanceled, "the computation was canceled");
      }
      const DeviceLayer& layer = model_.weights.layers[static_cast<size_t>(i)];
      Norm(layer.attention_norm, model_.weights.number, normed_);
      Multiply(normed_, layer.qkv, qkv_);
      const bool is_last = i == config_.layers - 1;
      SplitQkv(layer, i);
      if (is_last) {
        if (wanted.empty()) return;
        Narrow(wanted);
      }
      Attend(i);
      if (config_.parallel) Norm(layer.mlp_norm, model_.weights.number, normed_);
      Multiply(attended_, layer.attention_output, projected_);
      AddProjected(layer.attention_output);

      if (!config_.parallel) Norm(layer.mlp_norm, model_.weights.number, normed_);
      Mlp(layer);
      AddProjected(layer.down);
    }
    Norm(model_.weights.final_norm, NumberType::kF32, projected_);
    device_.Download(to, reinterpret_cast<const std::byte*>(projected_),
                     int64_t{rows_} * config_.dim * static_cast<int64_t>(sizeof(float)));
  }

 private:
  void TakeSpace() {
    const int64_t rows = rows_;
    residual_ = space_.Of<float>(Workspace::kResidual, rows * config_.dim);
    normed_ = space_.Of<float>(Workspace::kNormed, rows * config_.dim);
    qkv_ = space_.Of<float>(Workspace::kQkv, rows * model_.qkv_width());
    q_ = space_.Of<float>(Workspace::kQ, rows * model_.q_width());
    attended_ = space_.Of<float>(Workspace::kAttended, rows * model_.q_width());
    projected_ = space_.Of<float>(Workspace::kProjected, rows * config_.dim);
    up_ = space_.Of<float>(Workspace::kUp, rows * model_.up_width());
    activated_ = space_.Of<float>(Workspace::kActivated, rows * config_.hidden);
  }

  std::span<const int32_t> Positions() const {
    return std::span(batch_.positions).subspan(static_cast<size_t>(piece_.first_row), rows_);
  }

  // [positions, 2, pairs]
  std::vector<float> TurnsAt(std::span<const int32_t> positions) const {
    const Rope::Turns turns = model_.rope->TurnsAt(positions);
    const auto pairs = static_cast<size_t>(model_.pairs());
    std::vector<float> table;
    for (size_t i = 0; i < positions.size(); ++i) {
      for (const std::vector<float>* of : {&turns.cosines, &turns.sines}) {
        table.insert(table.end(), of->begin() + i * pairs, of->begin() + (i + 1) * pairs);
      }
    }
    return table;
  }

  // What stays the same in all layers.
  void UploadRows() {
    const std::span<const int32_t> positions = Positions();
    const auto tokens =
        std::span(batch_.tokens).subspan(static_cast<size_t>(piece_.first_row), rows_);
    for (const int32_t token : tokens) {
      Check(token >= 0 && token < config_.vocab, "a token is in the vocabulary");
    }
    TableBuilder tables;
    const int64_t tokens_at = tables.Add(tokens), positions_at = tables.Add(positions);
    int64_t q_at = 0, k_at = 0, moved_at = 0;
    if (model_.rope) {
      const PieceMoves moves = MovesOf(piece_, positions);
      q_at = k_at = tables.Add(std::span<const float>(TurnsAt(positions)));
      if (!std::ranges::equal(moves.key_positions, positions)) {
        k_at = tables.Add(std::span<const float>(TurnsAt(moves.key_positions)));
      }
      std::vector<int32_t> back;
      turn_of_.clear();
      for (const int moved : moves.moved_by) {
        turn_of_[moved] = static_cast<int>(back.size());
        back.push_back(-moved);
      }
      moved_at = tables.Add(std::span<const float>(TurnsAt(back)));
    }
    const std::byte* begin = tables.Upload(space_, Workspace::kRowTables, device_);
    tokens_ = reinterpret_cast<const int32_t*>(begin + tokens_at);
    positions_ = reinterpret_cast<const int32_t*>(begin + positions_at);
    q_turns_ = reinterpret_cast<const float*>(begin + q_at);
    k_turns_ = reinterpret_cast<const float*>(begin + k_at);
    moved_turns_ = reinterpret_cast<const float*>(begin + moved_at);
  }

  void Embed() {
    device_.Queue(EmbedArgs{
        .tokens = tokens_,
        .positions = positions_,
        .table = model_.weights.embedding.weight.data(),
        .learned = model_.weights.learned.is_there() ? model_.weights.learned.data() : nullptr,
        .number = model_.weights.number,
        .dim = config_.dim,
        .rows = rows_,
        .out = residual_});
  }

  void Norm(const DeviceNorm& norm, NumberType number, void* out) {
    device_.Queue(NormArgs{.x = residual_,
                           .weight = Floats(norm.weight),
                           .bias = Floats(norm.bias),
                           .eps = static_cast<float>(config_.norm_eps),
                           .subtracts_mean = config_.norm == NormKind::kLayer,
                           .number = number,
                           .dim = config_.dim,
                           .rows = rows_,
                           .out = out});
  }

  void Multiply(const void* x, const DeviceProduct& product, float* y) {
    device_.Queue(MultiplyArgs{.x = x,
                               .w = product.weight.data(),
                               .number = model_.weights.number,
                               .rows = rows_,
                               .in = product.in,
                               .out = product.out,
                               .y = y});
  }

  void AddProjected(const DeviceProduct& product) {
    device_.Queue(AddArgs{.x = projected_,
                          .bias = Floats(product.bias),
                          .dim = config_.dim,
                          .rows = rows_,
                          .to = residual_});
  }

  void Mlp(const DeviceLayer& layer) {
    Multiply(normed_, layer.up, up_);
    ActivateArgs::Kind kind = ActivateArgs::Kind::kSwiGlu;
    if (config_.mlp == MlpKind::kGeluTanh) kind = ActivateArgs::Kind::kGeluTanh;
    if (config_.mlp == MlpKind::kGeluErf) kind = ActivateArgs::Kind::kGeluErf;
    device_.Queue(ActivateArgs{.up = up_,
                               .bias = Floats(layer.up.bias),
                               .kind = kind,
                               .number = model_.weights.number,
                               .hidden = config_.hidden,
                               .rows = rows_,
                               .out = activated_});
    Multiply(activated_, layer.down, projected_);
  }

  // Where the rows' K and V go in a layer.
  std::vector<KvPlace> PlacesOf(int layer) {
    std::vector<KvPlace> places;
    std::vector<KvSlice> slices;
    for (const GroupPart& part : piece_.parts) {
      slices.clear();
      part.group->own->AppendDeviceSlices(device_.memory(), layer, part.first_token,
                                          part.first_token + part.rows, slices);
      for (const KvSlice& slice : slices) {
        const bool is_f32 = slice.dtype == KvDtype::kF32;
        const int64_t row_bytes = int64_t{config_.head_dim} * (is_f32 ? 4 : 2);
        for (int token = 0; token < slice.tokens; ++token) {
          // Written by kernels alone: the segment is this pass's own.
          places.push_back({const_cast<std::byte*>(slice.k) + token * row_bytes,
                            const_cast<std::byte*>(slice.v) + token * row_bytes, slice.head_stride,
                            is_f32 ? NumberType::kF32 : NumberType::kBf16});
        }
      }
    }
    return places;
  }

  void SplitQkv(const DeviceLayer& layer, int index) {
    TableBuilder tables;
    tables.Add(std::span<const KvPlace>(PlacesOf(index)));
    const std::byte* places = tables.Upload(space_, Workspace::kLayerTables, device_);
    device_.Queue(SplitArgs{.qkv = qkv_,
                            .bias = Floats(layer.qkv.bias),
                            .q_norm = Floats(layer.q_norm),
                            .k_norm = Floats(layer.k_norm),
                            .q_turns = q_turns_,
                            .k_turns = k_turns_,
                            .places = reinterpret_cast<const KvPlace*>(places),
                            .eps = static_cast<float>(config_.norm_eps),
                            .clip = static_cast<float>(config_.qkv_clip),
                            .heads = config_.heads,
                            .kv_heads = config_.kv_heads,
                            .head_dim = config_.head_dim,
                            .pairs = model_.pairs(),
                            .pairs_halves = config_.rope_pairing == RopePairing::kHalves,
                            .rows = rows_,
                            .q = q_});
  }

  // Goes on with some of the rows.
  void Narrow(std::span<const int> wanted) {
    const int rows = static_cast<int>(wanted.size());
    if (rows == rows_) return;
    is_planned_ = false;
    // Over the token ids, which nobody reads any more.
    TableBuilder tables;
    tables.Add(std::span<const int32_t>(wanted));
    const auto* indices =
        reinterpret_cast<const int32_t*>(tables.Upload(space_, Workspace::kRowTables, device_));
    const auto gather = [&](Workspace::Name name, const float* from, int width) {
      float* to = space_.Of<float>(name, int64_t{rows} * width);
      device_.Queue(EmbedArgs{.tokens = indices,
                              .table = from,
                              .number = NumberType::kF32,
                              .dim = width,
                              .rows = rows,
                              .out = to});
      return to;
    };
    residual_ = gather(Workspace::kWantedResidual, residual_, config_.dim);
    q_ = gather(Workspace::kWantedQ, q_, model_.q_width());
    piece_ = promptdb::Narrow(piece_, wanted);
    rows_ = rows;
  }

  int TurnOf(const KvSlice& slice) const {
    const auto found = turn_of_.find(slice.moved_by);
    return found == turn_of_.end() ? -1 : found->second;
  }

  // Who attends to what is the same in all layers, but for what Narrow() leaves out.
  void Attend(int layer) {
    const bool plans = !std::exchange(is_planned_, true);
    std::vector<DevicePart> parts;
    std::vector<AttentionSlice> table;
    std::vector<KvSlice> slices;
    for (const GroupPart& part : piece_.parts) {
      slices.clear();
      for (const KvSpan& span : part.group->context) {
        if (span.begin == span.end) continue;
        Check(span.end <= span.segment->tokens(), "a context span is computed before it is read");
        span.segment->AppendDeviceSlices(device_.memory(), layer, span.begin, span.end, slices);
      }
      const KvSegment& own = *part.group->own;
      own.AppendDeviceSlices(device_.memory(), layer, 0, part.first_token + part.rows, slices);
      int key = 0;
      for (const KvSlice& slice : slices) {
        table.push_back(DeviceSliceOf(slice, key, TurnOf(slice)));
        key += slice.tokens;
      }
      if (plans) parts.push_back(DevicePartOf(part, slices));
    }
    if (plans) Plan(parts);
    TableBuilder tables;
    tables.Add(std::span<const AttentionSlice>(table));
    const std::byte* begin = tables.Upload(space_, Workspace::kLayerTables, device_);
    QueueAttention(plan_, ArgsOf(begin), tasks_, device_);
  }

  static DevicePart DevicePartOf(const GroupPart& part, const std::vector<KvSlice>& slices) {
    const KvSegment& own = *part.group->own;
    DevicePart result;
    result.first_row = part.first_row;
    result.rows = part.rows;
    result.first_position = own.start_position() + part.first_token;
    result.rounds = own.shape().dtype != KvDtype::kF32;
    for (const KvSlice& slice : slices) result.slice_tokens.push_back(slice.tokens);
    return result;
  }

  void Plan(const std::vector<DevicePart>& parts) {
    plan_ = PlanAttention({.heads = config_.heads,
                           .kv_heads = config_.kv_heads,
                           .head_dim = config_.head_dim,
                           .busy_blocks = device_.busy_blocks(),
                           .shared_bytes = device_.shared_bytes()},
                          parts);
    TableBuilder tables;
    tables.Add(std::span<const std::byte>(TablesOf(plan_)));
    tasks_ = tables.Upload(space_, Workspace::kTasks, device_);
    partials_ = space_.Of<float>(Workspace::kPartials,
                                 PartialFloats(plan_, config_.kv_heads, config_.head_dim));
  }

  AttentionArgs ArgsOf(const std::byte* slices) const {
    AttentionArgs args;
    args.q = q_;
    args.slices = reinterpret_cast<const AttentionSlice*>(slices);
    args.heads = config_.heads;
    args.kv_heads = config_.kv_heads;
    args.head_dim = config_.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
    args.slopes = Floats(model_.weights.slopes);
    args.turns = moved_turns_;
    args.pairs = model_.pairs();
    args.pairs_halves = config_.rope_pairing == RopePairing::kHalves;
    args.number = model_.weights.number;
    args.out = attended_;
    PlacePartials(plan_, partials_, args);
    return args;
  }

  const DeviceModel& model_;
  const ModelConfig& config_;
  DeviceCompute& device_;
  Workspace& space_;
  const ForwardBatch& batch_;
  const ProgressListener* progress_;

  Piece piece_;
  int rows_ = 0;
  std::map<int, int> turn_of_;  // by KvSegment::moved_by
  bool is_planned_ = false;     // plan_ is that of piece_
  DeviceAttentionPlan plan_;
  // On the device:
  float* residual_ = nullptr;
  void* normed_ = nullptr;
  float* qkv_ = nullptr;
  float* q_ = nullptr;
  void* attended_ = nullptr;
  float* projected_ = nullptr;
  float* up_ = nullptr;
  void* activated_ = nullptr;
  float* partials_ = nullptr;
  const int32_t* tokens_ = nullptr;
  const int32_t* positions_ = nullptr;
  const float* q_turns_ = nullptr;
  const float* k_turns_ = nullptr;
  const float* moved_turns_ = nullptr;
  const std::byte* tasks_ = nullptr;
};

class DeviceTransformer final : public Transformer {
 public:
  DeviceTransformer(std::shared_ptr<const Checkpoint> checkpoint, const Options& options,
                    DeviceCompute& device, ProgressListener* progress)
      : Transformer(checkpoint, options), device_(device), model_{config()}, space_(device) {
    if (!FitsDevice(config().head_dim, device.shared_bytes())) {
      throw Error(ErrorCode::kUnsupported,
                  "heads of " + std::to_string(config().head_dim) +
                      " elements are too large for the thread blocks of device " +
                      device.memory().name(),
                  "Use device 'cpu'.");
    }
    const NumberType number =
        weight_dtype() == WeightDtype::kF32 ? NumberType::kF32 : NumberType::kBf16;
    model_.weights = LoadDeviceWeights(*checkpoint, number, device.memory(), progress);
    if (config().positions == PositionScheme::kRope) {
      model_.rope.emplace(config(), checkpoint->Find("rope_freqs.weight"));
    }
  }

  int64_t weight_bytes() const override { return model_.weights.bytes; }

  std::vector<float> HiddenStates(const ForwardBatch& batch,
                                  ProgressListener* progress) const override {
    const int64_t total = static_cast<int64_t>(batch.tokens.size());
    const std::vector<Piece> pieces = CutIntoPieces(batch, kPieceRows);
    const std::vector<std::vector<int>> wanted = WantedOf(batch, pieces);
    std::vector<float> hidden(batch.logits_of.size() * static_cast<size_t>(config().dim));
    const auto lock = device_.Use();
    WhileQueued([&] {
      float* to = hidden.data();
      DevicePass pass(model_, device_, space_, batch, progress);
      for (size_t i = 0; i < pieces.size(); ++i) {
        if (progress != nullptr) {
          progress->OnProgress("computing", pieces[i].first_row, total, "tokens");
        }
        pass.Run(pieces[i], wanted[i], to);
        to += wanted[i].size() * static_cast<size_t>(config().dim);
      }
    });
    if (progress != nullptr) progress->OnProgress("computing", total, total, "tokens");
    return hidden;
  }

  std::vector<float> Logits(std::span<const float> hidden) const override {
    const auto dim = static_cast<size_t>(config().dim), vocab = static_cast<size_t>(config().vocab);
    const size_t rows = hidden.size() / dim;
    std::vector<float> logits(rows * vocab);
    const auto lock = device_.Use();
    WhileQueued([&] {
      for (size_t first = 0; first < rows; first += kLogitRows) {
        const auto count = static_cast<int>(std::min<size_t>(kLogitRows, rows - first));
        auto* x = space_.Of<float>(Workspace::kResidual, count * config().dim);
        auto* rounded = space_.Of<float>(Workspace::kNormed, count * config().dim);
        auto* y = space_.Of<float>(Workspace::kLogits, int64_t{count} * config().vocab);
        device_.Upload(reinterpret_cast<std::byte*>(x), hidden.data() + first * dim,
                       static_cast<int64_t>(count * dim * sizeof(float)));
        device_.Queue(NormArgs{.x = x,
                               .number = model_.weights.number,
                               .dim = config().dim,
                               .rows = count,
                               .out = rounded});
        device_.Queue(MultiplyArgs{.x = rounded,
                                   .w = model_.weights.output().weight.data(),
                                   .number = model_.weights.number,
                                   .rows = count,
                                   .in = config().dim,
                                   .out = config().vocab,
                                   .y = y});
        device_.Download(logits.data() + first * vocab, reinterpret_cast<const std::byte*>(y),
                         static_cast<int64_t>(count * vocab * sizeof(float)));
      }
    });
    return logits;
  }

 private:
  // Whatever `queue` has queued is done when this returns or throws: it uses memory of others.
  template <typename Queue>
  void WhileQueued(const Queue& queue) const {
    try {
      queue();
    } catch (...) {
      try {
        device_.Finish();
      } catch (const Error&) {
        // The first one is told.
      }
      throw;
    }
    device_.Finish();
  }

  DeviceCompute& device_;
  DeviceModel model_;
  mutable Workspace space_;  // by whoever holds device_.Use()
};

}  // namespace

std::unique_ptr<Transformer> LoadOnDevice(std::shared_ptr<const Checkpoint> checkpoint,
                                          const Transformer::Options& options,
                                          DeviceCompute& device, ProgressListener* progress) {
  return std::make_unique<DeviceTransformer>(std::move(checkpoint), options, device, progress);
}

}  // namespace promptdb
