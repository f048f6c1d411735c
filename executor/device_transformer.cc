#include "executor/device_transformer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "executor/alibi.h"
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
class DeviceBuffer {
 public:
  explicit DeviceBuffer(DeviceCompute& device) : device_(&device) {}

  std::byte* AtLeast(int64_t bytes) {
    if (bytes <= block_.bytes()) return block_.data();
    device_->Finish();  // what is queued may use the old one
    block_ = {};
    block_ = DeviceBlock(device_->memory(), bytes);
    if (!block_.is_there()) {
      throw Error(ErrorCode::kResource,
                  "device " + device_->memory().name() + " has no room for a pass's activations (" +
                      std::to_string(bytes) + " bytes)",
                  "A smaller gpu_cache leaves more.");
    }
    return block_.data();
  }
  template <typename Value>
  Value* Of(int64_t count) {
    return reinterpret_cast<Value*>(AtLeast(std::max<int64_t>(1, count) * sizeof(Value)));
  }

 private:
  DeviceCompute* device_;
  DeviceBlock block_;
};

struct Workspace {
  explicit Workspace(DeviceCompute& device)
      : buffers{DeviceBuffer(device), DeviceBuffer(device), DeviceBuffer(device),
                DeviceBuffer(device), DeviceBuffer(device), DeviceBuffer(device),
                DeviceBuffer(device), DeviceBuffer(device), DeviceBuffer(device),
                DeviceBuffer(device), DeviceBuffer(device), DeviceBuffer(device),
                DeviceBuffer(device), DeviceBuffer(device), DeviceBuffer(device)} {}

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
  DeviceBuffer& operator[](Name name) { return buffers[name]; }

  std::array<DeviceBuffer, kCount> buffers;
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

  std::byte* Upload(DeviceBuffer& to, DeviceCompute& device) const {
    std::byte* begin = to.AtLeast(std::max<int64_t>(1, size()));
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
  DeviceBlock slopes;        // [heads], PositionScheme::kAlibi

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
      Attend(i, /*plans=*/i == 0 || is_last);
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
    residual_ = space_[Workspace::kResidual].Of<float>(rows * config_.dim);
    normed_ = space_[Workspace::kNormed].Of<float>(rows * config_.dim);
    qkv_ = space_[Workspace::kQkv].Of<float>(rows * model_.qkv_width());
    q_ = space_[Workspace::kQ].Of<float>(rows * model_.q_width());
    attended_ = space_[Workspace::kAttended].Of<float>(rows * model_.q_width());
    projected_ = space_[Workspace::kProjected].Of<float>(rows * config_.dim);
    up_ = space_[Workspace::kUp].Of<float>(rows * model_.up_width());
    activated_ = space_[Workspace::kActivated].Of<float>(rows * config_.hidden);
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
      std::vector<int32_t> of_keys;
      std::set<int> moved_by;
      for (const GroupPart& part : piece_.parts) {
        const int own = part.group->own->moved_by();
        moved_by.insert(own);
        for (const KvSpan& span : part.group->context) moved_by.insert(span.segment->moved_by());
        for (int i = 0; i < part.rows; ++i) {
          of_keys.push_back(positions[static_cast<size_t>(part.first_row + i)] - own);
        }
      }
      q_at = k_at = tables.Add(std::span<const float>(TurnsAt(positions)));
      if (!std::ranges::equal(of_keys, positions)) {
        k_at = tables.Add(std::span<const float>(TurnsAt(of_keys)));
      }
      std::vector<int32_t> back;
      turn_of_.clear();
      for (const int moved : moved_by) {
        if (moved == 0) continue;
        turn_of_[moved] = static_cast<int>(back.size());
        back.push_back(-moved);
      }
      moved_at = tables.Add(std::span<const float>(TurnsAt(back)));
    }
    const std::byte* begin = tables.Upload(space_[Workspace::kRowTables], device_);
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
    const std::byte* places = tables.Upload(space_[Workspace::kLayerTables], device_);
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
    // Over the token ids, which nobody reads any more.
    TableBuilder tables;
    tables.Add(std::span<const int32_t>(wanted));
    const auto* indices =
        reinterpret_cast<const int32_t*>(tables.Upload(space_[Workspace::kRowTables], device_));
    const auto gather = [&](Workspace::Name name, const float* from, int width) {
      float* to = space_[name].Of<float>(int64_t{rows} * width);
      device_.Queue(
          GatherArgs{.x = from, .indices = indices, .width = width, .rows = rows, .to = to});
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

  void Attend(int layer, bool plans) {
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
      DevicePart& planned = parts.emplace_back();
      planned.first_row = part.first_row;
      planned.rows = part.rows;
      planned.first_position = own.start_position() + part.first_token;
      planned.rounds = own.shape().dtype != KvDtype::kF32;
      int key = 0;
      for (const KvSlice& slice : slices) {
        table.push_back(DeviceSliceOf(slice, key, TurnOf(slice)));
        planned.slice_tokens.push_back(slice.tokens);
        key += slice.tokens;
      }
    }
    if (plans) Plan(parts);
    TableBuilder tables;
    tables.Add(std::span<const AttentionSlice>(table));
    const std::byte* begin = tables.Upload(space_[Workspace::kLayerTables], device_);
    QueueAttention(plan_, ArgsOf(begin), tasks_, device_);
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
    tasks_ = tables.Upload(space_[Workspace::kTasks], device_);
    partials_ = space_[Workspace::kPartials].Of<float>(int64_t{plan_.partials} * config_.kv_heads *
                                                       (config_.head_dim + 2));
  }

  AttentionArgs ArgsOf(const std::byte* slices) const {
    const int64_t partials = int64_t{plan_.partials} * config_.kv_heads;
    float* most = partials_ + partials * config_.head_dim;
    AttentionArgs args;
    args.q = q_;
    args.slices = reinterpret_cast<const AttentionSlice*>(slices);
    args.heads = config_.heads;
    args.kv_heads = config_.kv_heads;
    args.head_dim = config_.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
    args.slopes = Floats(model_.slopes);
    args.turns = moved_turns_;
    args.pairs = model_.pairs();
    args.pairs_halves = config_.rope_pairing == RopePairing::kHalves;
    args.number = model_.weights.number;
    args.out = attended_;
    args.partial_values = partials_;
    args.partial_most = most;
    args.partial_sums = most + partials;
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
    } else if (config().positions == PositionScheme::kAlibi) {
      const std::vector<float> slopes = AlibiSlopes(config().heads, config().alibi_max_bias);
      const auto bytes = static_cast<int64_t>(slopes.size() * sizeof(float));
      model_.slopes = DeviceBlock(device.memory(), bytes);
      if (!model_.slopes.is_there()) {
        throw Error(ErrorCode::kResource, "device " + device.memory().name() + " has no room");
      }
      device.memory()
          .CopyIn(model_.slopes.address(), reinterpret_cast<const std::byte*>(slopes.data()), bytes)
          ->Wait();
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
        auto* x = space_[Workspace::kResidual].Of<float>(count * config().dim);
        auto* rounded = space_[Workspace::kNormed].Of<float>(count * config().dim);
        auto* y = space_[Workspace::kLogits].Of<float>(int64_t{count} * config().vocab);
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
