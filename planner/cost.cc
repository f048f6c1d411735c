#include "planner/cost.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace promptdb {

namespace {

// Rows that the forward pass takes through the layers together (executor/transformer.cc).
constexpr int64_t kPieceRows = 512;
// Multiplications below which a product stays on one thread (executor/linear.cc).
constexpr double kLeastParallelWork = 1 << 17;
// What an operator takes that stays on one thread, besides its arithmetic; and a forward pass,
// besides its operators. Small beside all that is worth a plan.
constexpr double kSerialCallSeconds = 5e-7;
constexpr double kPassSeconds = 2e-5;
// Of a pin of the buffer pool.
constexpr double kPinMs = 2e-4;

double QWidth(const ModelConfig &config) {
  return static_cast<double>(config.heads) * config.head_dim;
}
double QkvWidth(const ModelConfig &config) {
  return QWidth(config) + 2.0 * config.kv_heads * config.head_dim;
}
// Of the first of the MLP's products: SwiGLU has two in one.
double UpWidth(const ModelConfig &config) {
  return config.hidden * (config.mlp == MlpKind::kSwiGlu ? 2.0 : 1.0);
}

double LayerParameters(const ModelConfig &config) {
  const double dim = config.dim;
  return dim * (QkvWidth(config) + QWidth(config) + UpWidth(config) + config.hidden);
}

// Values of a row that go through norms, activations and sums.
double KvElements(const ModelConfig &config) { return 2.0 * config.dim + QkvWidth(config); }
double OtherElements(const ModelConfig &config) { return 4.0 * config.dim + UpWidth(config); }

MachineRates DefaultRates() {
  MachineRates rates;
  rates.linear = {{1, 4e10}, {16, 1.3e11}, {32, 1.4e11}, {128, 1.5e11}, {512, 1.6e11}};
  rates.attention = {{1, 3e10}, {16, 1e11}, {32, 1.2e11}, {128, 1.3e11}, {512, 1.4e11}};
  rates.linear_values = {{1, 1e9}, {512, 1e9}};
  rates.weights = {{int64_t{4} << 20, 6e10}, {int64_t{128} << 20, 2.5e10}};
  rates.states = {{int64_t{4} << 20, 5e10}, {int64_t{64} << 20, 2.5e10}};
  rates.elements_per_second = 2e9;
  rates.call_seconds = 4e-6;
  rates.disk = {{int64_t{4} << 20, 3e9}, {int64_t{64} << 20, 4e9}};
  rates.disk_block_seconds = 5e-6;
  rates.store_bytes_per_second = 4e8;
  rates.store_seconds = 2e-3;
  return rates;
}

// Rows of one group, in one piece.
struct Part {
  int64_t rows = 0;
  double context = 0;  // keys before them, those of their own segment included
  int64_t wanted = 0;  // that go on past the last layer's K and V
};

// As the forward pass cuts a batch: groups one after the other, in pieces of at most kPieceRows.
std::vector<std::vector<Part>> CutIntoPieces(std::span<const CostedRows> groups) {
  std::vector<std::vector<Part>> pieces;
  int64_t left = 0;  // in the last piece
  for (const CostedRows &group : groups) {
    for (int64_t done = 0; done < group.rows;) {
      if (left == 0) {
        pieces.emplace_back();
        left = kPieceRows;
      }
      const int64_t rows = std::min(group.rows - done, left);
      const int64_t first_wanted = std::max(group.rows - group.wanted, done);
      pieces.back().push_back({rows, group.context + static_cast<double>(done),
                               std::max<int64_t>(0, done + rows - first_wanted)});
      done += rows;
      left -= rows;
    }
  }
  return pieces;
}

}  // namespace

CostModel::CostModel() : CostModel(DefaultRates()) {}

CostModel::CostModel(MachineRates rates) : rates_(std::move(rates)) {
  for (const RateCurve *curve : {&rates_.linear, &rates_.attention}) {
    for (const RatePoint &point : *curve) {
      most_flops_per_second_ = std::max(most_flops_per_second_, point.per_second);
    }
  }
}

CostModel::Memory CostModel::MemoryOf(const CostedModel &model,
                                      std::span<const CostedRows> groups) const {
  const auto weight_bytes = static_cast<double>(model.weight_bytes);
  double bytes = std::max(1.0, weight_bytes);
  for (const CostedRows &group : groups) {
    bytes += (group.context + static_cast<double>(group.rows)) *
             static_cast<double>(model.kv_shape.BytesPerToken());
  }
  Memory memory;
  memory.bytes_per_weight = weight_bytes / static_cast<double>(ActiveParameters(model.config));
  memory.weight_bytes_per_second = RateAt(rates_.weights, bytes);
  memory.state_bytes_per_second = RateAt(rates_.states, bytes);
  return memory;
}

double CostModel::ProductSeconds(int64_t rows, const Product &product, const Memory &memory) const {
  const auto n = static_cast<double>(rows);
  const double weights = product.in * product.out;
  const double arithmetic = 2 * n * weights / RateAt(rates_.linear, n) +
                            n * (product.in + product.out) / RateAt(rates_.linear_values, n);
  const double reading = weights * memory.bytes_per_weight / memory.weight_bytes_per_second;
  const double call = n * weights >= kLeastParallelWork ? rates_.call_seconds : kSerialCallSeconds;
  return std::max(arithmetic, reading) + call;
}

double CostModel::AttentionSeconds(const CostedModel &model, int64_t rows, double context,
                                   const Memory &memory) const {
  const ModelConfig &config = model.config;
  const auto n = static_cast<double>(rows);
  const double keys = context + (n + 1) / 2;
  const double flops = 4 * QWidth(config) * n * keys;
  const double group = static_cast<double>(config.heads) / config.kv_heads;
  const double bytes = (context + n) * static_cast<double>(model.kv_shape.BytesPerTokenLayer());
  return std::max(flops / RateAt(rates_.attention, n * group),
                  bytes / memory.state_bytes_per_second);
}

double CostModel::ForwardMs(const CostedModel &model, std::span<const CostedRows> groups) const {
  const ModelConfig &config = model.config;
  const double dim = config.dim, hidden = config.hidden;
  const Memory memory = MemoryOf(model, groups);
  const auto product = [&](int64_t rows, double in, double out) {
    return ProductSeconds(rows, {in, out}, memory);
  };

  double seconds = kPassSeconds;
  int64_t logits = 0;
  for (const std::vector<Part> &piece : CutIntoPieces(groups)) {
    int64_t rows = 0, wanted = 0;
    double attention = rates_.call_seconds, last_attention = rates_.call_seconds;
    for (const Part &part : piece) {
      rows += part.rows;
      wanted += part.wanted;
      attention += AttentionSeconds(model, part.rows, part.context, memory);
      if (part.wanted == 0) continue;
      const double before = part.context + static_cast<double>(part.rows - part.wanted);
      last_attention += AttentionSeconds(model, part.wanted, before, memory);
    }
    logits += wanted;
    const auto n = static_cast<double>(rows), w = static_cast<double>(wanted);
    const double states =
        product(rows, dim, QkvWidth(config)) + n * KvElements(config) / rates_.elements_per_second;
    const auto rest = [&](int64_t of) {
      return product(of, QWidth(config), dim) + product(of, dim, UpWidth(config)) +
             product(of, hidden, dim);
    };
    const double others = OtherElements(config) / rates_.elements_per_second;
    seconds += config.layers * states + (config.layers - 1) * (attention + rest(rows) + n * others);
    // The last layer gives K and V of all rows, and more only of those whose logits are wanted.
    if (wanted > 0) seconds += last_attention + rest(wanted) + w * others;
  }
  if (logits > 0) seconds += product(logits, dim, config.vocab);
  return seconds * 1e3;
}

double CostModel::DecodeMs(const CostedModel &model, int64_t rows, double context,
                           int64_t tokens) const {
  if (tokens <= 1) return 0;
  const auto steps = static_cast<double>(tokens - 1);
  const CostedRows step{rows, context + steps / 2, rows};
  return steps * ForwardMs(model, {&step, 1});
}

double CostModel::LeastMs(double flops) const { return flops / most_flops_per_second_ * 1e3; }

double CostModel::ReadMs(int64_t bytes, int blocks, int64_t checked_bytes) const {
  if (bytes <= 0) return 0;
  const auto amount = static_cast<double>(bytes);
  const double known = static_cast<double>(std::min(checked_bytes, bytes));
  const RateCurve &again = rates_.disk_again.empty() ? rates_.disk : rates_.disk_again;
  return ((amount - known) / RateAt(rates_.disk, amount) + known / RateAt(again, amount) +
          blocks * rates_.disk_block_seconds) *
         1e3;
}

double CostModel::CopyMs(int64_t bytes) const {
  return static_cast<double>(bytes) / rates_.copy_bytes_per_second * 1e3;
}

double CostModel::PinMs(int blocks) const { return blocks * kPinMs; }

double CostModel::StoreMs(int64_t bytes) const {
  return (static_cast<double>(bytes) / rates_.store_bytes_per_second + rates_.store_seconds) * 1e3;
}

double PrefillFlops(const ModelConfig &config, int64_t rows, double keys) {
  const double linear = 2.0 * LayerParameters(config);
  const double attention = 4.0 * config.heads * config.head_dim * keys;
  return static_cast<double>(rows) * config.layers * (linear + attention);
}

int64_t ActiveParameters(const ModelConfig &config) {
  return static_cast<int64_t>(config.layers * LayerParameters(config)) +
         int64_t{config.vocab} * config.dim;
}

}  // namespace promptdb
