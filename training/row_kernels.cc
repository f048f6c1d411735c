// Compiled so that sums may be taken in any order, which makes vectors of these loops.
#include "training/row_kernels.h"

#include <algorithm>
#include <cmath>

#define PROMPTDB_VECTORS __attribute__((target_clones("arch=x86-64-v3", "default")))

namespace promptdb {

PROMPTDB_VECTORS float SoftmaxRow(float* scores, int size) {
  float most = scores[0];
  for (int i = 1; i < size; ++i) most = std::max(most, scores[i]);
  float sum = 0;
  for (int i = 0; i < size; ++i) {
    scores[i] = std::exp(scores[i] - most);
    sum += scores[i];
  }
  const float scale = 1 / sum;
  for (int i = 0; i < size; ++i) scores[i] *= scale;
  return most + std::log(sum);
}

PROMPTDB_VECTORS void ExpRow(float* scores, int size, float log_sum) {
  for (int i = 0; i < size; ++i) scores[i] = std::exp(scores[i] - log_sum);
}

PROMPTDB_VECTORS void SoftmaxGradientRow(const float* probabilities, float product,
                                         float* gradients, int size) {
  for (int i = 0; i < size; ++i) gradients[i] = probabilities[i] * (gradients[i] - product);
}

PROMPTDB_VECTORS float RmsNormRow(const float* x, const float* weight, float eps, int size,
                                  float* out) {
  float squares = 0;
  for (int i = 0; i < size; ++i) squares += x[i] * x[i];
  const float factor = 1 / std::sqrt(squares / static_cast<float>(size) + eps);
  for (int i = 0; i < size; ++i) out[i] = x[i] * factor * weight[i];
  return factor;
}

PROMPTDB_VECTORS void RmsNormGradientRow(const float* x, const float* weight,
                                         const float* out_gradient, float factor, int size,
                                         float* x_gradient, float* weight_gradient) {
  float product = 0;
  for (int i = 0; i < size; ++i) product += x[i] * weight[i] * out_gradient[i];
  const float pull = product * factor * factor * factor / static_cast<float>(size);
  for (int i = 0; i < size; ++i) {
    x_gradient[i] += weight[i] * out_gradient[i] * factor - x[i] * pull;
    weight_gradient[i] += out_gradient[i] * x[i] * factor;
  }
}

}  // namespace promptdb
