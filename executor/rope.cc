#include "executor/rope.h"

#include <cmath>
#include <cstddef>
#include <numbers>

namespace promptdb {
namespace {

// Llama 3.1's scaling: turns that are slow over the original context are slowed further by
// `factor`, fast ones stay, and those between are interpolated.
double ScaleAsLlama3(double frequency, const RopeScaling& scaling) {
  const double turns_in_context = scaling.original_context * frequency / (2 * std::numbers::pi);
  if (turns_in_context < scaling.low_freq_factor) return frequency / scaling.factor;
  if (turns_in_context > scaling.high_freq_factor) return frequency;
  const double share = (turns_in_context - scaling.low_freq_factor) /
                       (scaling.high_freq_factor - scaling.low_freq_factor);
  return share * frequency + (1 - share) * frequency / scaling.factor;
}

}  // namespace

Rope::Rope(const ModelConfig& config, const TensorView* frequency_factors)
    : head_dim_(config.head_dim), pairs_(config.rope_dims / 2), pairing_(config.rope_pairing) {
  std::vector<float> factors(pairs_, 1.0f);
  if (frequency_factors != nullptr) CopyAsFloat(*frequency_factors, factors);
  for (int i = 0; i < pairs_; ++i) {
    double frequency = std::pow(config.rope_theta, -2.0 * i / config.rope_dims) / factors[i];
    const RopeScaling& scaling = config.rope_scaling;
    if (scaling.kind == RopeScaling::Kind::kLinear) {
      frequency /= scaling.factor;
    } else if (scaling.kind == RopeScaling::Kind::kLlama3 && frequency_factors == nullptr) {
      frequency = ScaleAsLlama3(frequency, scaling);
    }
    frequencies_.push_back(frequency);
  }
}

Rope::Turns Rope::TurnsAt(std::span<const int32_t> positions) const {
  Turns turns;
  turns.cosines.reserve(positions.size() * pairs_);
  turns.sines.reserve(positions.size() * pairs_);
  for (const int32_t position : positions) {
    for (const double frequency : frequencies_) {
      const double angle = position * frequency;
      turns.cosines.push_back(static_cast<float>(std::cos(angle)));
      turns.sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return turns;
}

void Rope::Rotate(const Turns& turns, int row, const float* x, float* out) const {
  const float* cosines = turns.cosines.data() + static_cast<size_t>(row) * pairs_;
  const float* sines = turns.sines.data() + static_cast<size_t>(row) * pairs_;
  const bool halves = pairing_ == RopePairing::kHalves;
  const int step = halves ? 1 : 2;
  const int partner = halves ? pairs_ : 1;
  for (int i = 0; i < pairs_; ++i) {
    const ptrdiff_t first = ptrdiff_t{i} * step, second = first + partner;
    const float a = x[first], b = x[second];
    out[first] = a * cosines[i] - b * sines[i];
    out[second] = a * sines[i] + b * cosines[i];
  }
  for (int i = 2 * pairs_; i < head_dim_; ++i) out[i] = x[i];
}

}  // namespace promptdb
