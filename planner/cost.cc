#include "planner/cost.h"

namespace promptdb {

namespace {

int64_t LayerParameters(const ModelConfig& config) {
  const int64_t dim = config.dim;
  const int64_t q = int64_t{config.heads} * config.head_dim;
  const int64_t kv = int64_t{config.kv_heads} * config.head_dim;
  const int64_t matrices = config.mlp == MlpKind::kSwiGlu ? 3 : 2;
  return dim * (q + 2 * kv) + q * dim + matrices * dim * config.hidden;
}

}  // namespace

double PrefillFlops(const ModelConfig& config, int64_t rows, double keys) {
  const double linear = 2.0 * static_cast<double>(LayerParameters(config));
  const double attention = 4.0 * config.heads * config.head_dim * keys;
  return static_cast<double>(rows) * config.layers * (linear + attention);
}

int64_t ActiveParameters(const ModelConfig& config) {
  return config.layers * LayerParameters(config) + int64_t{config.vocab} * config.dim;
}

}  // namespace promptdb
