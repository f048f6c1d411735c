// The inner loops of training that no library has in the form that is needed. Each works on one row
// of f32 values.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TRAINING_ROW_KERNELS_H_
#define PROMPTDB_TRAINING_ROW_KERNELS_H_

namespace promptdb {

// Scores become probabilities. Returns log(sum(exp(score))). REQUIRES: size > 0.
float SoftmaxRow(float* scores, int size);

// Scores become exp(score - log_sum).
void ExpRow(float* scores, int size, float log_sum);

// gradients = probabilities * (gradients - product), where `product` is the sum of probabilities *
// gradients.
void SoftmaxGradientRow(const float* probabilities, float product, float* gradients, int size);

// out = x * weight / sqrt(mean(x²) + eps). Returns the factor 1 / sqrt(…).
float RmsNormRow(const float* x, const float* weight, float eps, int size, float* out);

// Adds to `x_gradient` and `weight_gradient`; `factor` is what RmsNormRow() returned.
void RmsNormGradientRow(const float* x, const float* weight, const float* out_gradient,
                        float factor, int size, float* x_gradient, float* weight_gradient);

}  // namespace promptdb

#endif  // PROMPTDB_TRAINING_ROW_KERNELS_H_
