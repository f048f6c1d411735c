// The element-wise kernels of every path this CPU has, against the standard library in f64.
#include "executor/simd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/bfloat16.h"

namespace promptdb {
namespace {

class SimdTest : public testing::TestWithParam<CpuPath> {
 protected:
  const SimdKernels& kernels_ = KernelsFor(GetParam());
};

std::vector<float> Random(int n, float low, float high, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(n);
  for (float& value : values) value = uniform(random);
  return values;
}

TEST_P(SimdTest, Exp2IsAccurateOverItsRange) {
  std::vector<float> x;
  for (float value = -130.0f; value < 20.0f; value += 0.00137f) x.push_back(value);
  std::vector<float> y(x.size());
  kernels_.exp2(x.data(), static_cast<int>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp2(static_cast<double>(x[i]));
    if (x[i] < -126.0f) {
      ASSERT_EQ(y[i], 0.0f) << x[i];
    } else {
      ASSERT_NEAR(y[i] / exact, 1.0, 3e-7) << x[i];
    }
  }
}

TEST_P(SimdTest, Exp2OfIntegersIsExactAndOfTheMaskIsZero) {
  const std::vector<float> x = {
      0.0f, 1.0f, -1.0f, -126.0f, -1e30f, -2e30f, -std::numeric_limits<float>::infinity()};
  const std::vector<float> wanted = {1.0f, 2.0f, 0.5f, std::exp2(-126.0f), 0.0f, 0.0f, 0.0f};
  std::vector<float> y(x.size());
  kernels_.exp2(x.data(), static_cast<int>(x.size()), y.data());
  EXPECT_EQ(y, wanted);
}

TEST_P(SimdTest, SwiGlu) {
  for (const int n : {1, 3, 16, 37, 200}) {
    std::vector<float> gate = Random(n, -20, 20, n);
    const std::vector<float> up = Random(n, -3, 3, n + 1);
    gate[0] = -300.0f;  // where e^-x overflows
    std::vector<float> out(n);
    kernels_.swiglu(gate.data(), up.data(), n, out.data());
    for (int i = 0; i < n; ++i) {
      const double g = gate[i];
      const double exact = g / (1 + std::exp(-g)) * up[i];
      ASSERT_NEAR(out[i], exact, 1e-6 * std::fabs(exact) + 1e-30) << "n " << n << ", gate " << g;
    }
  }
}

TEST_P(SimdTest, RmsNorm) {
  for (const int n : {1, 8, 24, 37, 576}) {
    const std::vector<float> x = Random(n, -2, 3, n), weight = Random(n, -1, 1, n + 1);
    std::vector<float> out(n);
    kernels_.rms_norm(x.data(), weight.data(), n, 1e-5f, out.data());
    double squares = 0;
    for (const float value : x) squares += static_cast<double>(value) * value;
    for (int i = 0; i < n; ++i) {
      const double exact = x[i] / std::sqrt(squares / n + 1e-5) * weight[i];
      ASSERT_NEAR(out[i], exact, 2e-6 * std::fabs(exact) + 1e-9) << "n " << n << ", " << i;
    }
  }
}

TEST_P(SimdTest, LayerNorm) {
  for (const int n : {1, 8, 24, 37, 576}) {
    const std::vector<float> x = Random(n, 2, 9, n), weight = Random(n, -1, 1, n + 1);
    const std::vector<float> bias = Random(n, -1, 1, n + 2);
    double mean = 0, variance = 0;
    for (const float value : x) mean += value / static_cast<double>(n);
    for (const float value : x) variance += (value - mean) * (value - mean) / n;
    for (const bool with_bias : {false, true}) {
      std::vector<float> out = x;
      kernels_.layer_norm(out.data(), weight.data(), with_bias ? bias.data() : nullptr, n, 1e-5f,
                          out.data());
      for (int i = 0; i < n; ++i) {
        const double exact =
            (x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + (with_bias ? bias[i] : 0.0f);
        ASSERT_NEAR(out[i], exact, 1e-5) << "n " << n << ", " << i;
      }
    }
  }
}

TEST_P(SimdTest, BothGelus) {
  std::vector<float> x = {0.0f, -0.0f, 1e-20f, -1e-20f, -300.0f, 300.0f, -1e18f, 1e18f};
  for (float value = -12.0f; value < 12.0f; value += 0.00137f) x.push_back(value);
  const int n = static_cast<int>(x.size());
  std::vector<float> by_tanh(x.size()), by_erf(x.size());
  kernels_.gelu_tanh(x.data(), n, by_tanh.data());
  kernels_.gelu_erf(x.data(), n, by_erf.data());
  for (int i = 0; i < n; ++i) {
    const double v = x[i];
    const double bound = 1e-6 * std::max(1.0, std::fabs(v));
    const double u = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
    ASSERT_NEAR(by_tanh[i], v / 2 * (1 + std::tanh(u)), bound) << v;
    ASSERT_NEAR(by_erf[i], v / 2 * std::erfc(-v / std::sqrt(2.0)), bound) << v;
  }
}

TEST_P(SimdTest, Clamp) {
  std::vector<float> x = {-3, -0.5f, 0, 0.5f, 3};
  kernels_.clamp(x.data(), 5, 0.75f);
  EXPECT_EQ(x, (std::vector<float>{-0.75f, -0.5f, 0, 0.5f, 0.75f}));
}

TEST_P(SimdTest, Bf16ConversionsEqualTheScalarOnes) {
  std::vector<float> x = Random(1000, -5, 5, 7);
  x.insert(x.end(), {0.0f, -0.0f, 1e-40f, 3.4e38f, std::numeric_limits<float>::infinity(),
                     -std::numeric_limits<float>::infinity(),
                     std::numeric_limits<float>::quiet_NaN(), 1.00390625f, 1.01171875f});
  std::vector<uint16_t> narrow(x.size());
  kernels_.round_bf16(x.data(), static_cast<int64_t>(x.size()), narrow.data());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(narrow[i], Bf16FromFloat(x[i])) << x[i];
  std::vector<uint16_t> all(65536);
  for (int i = 0; i < 65536; ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(all.size());
  kernels_.widen(all.data(), TensorDtype::kBf16, static_cast<int>(all.size()), wide.data());
  for (int i = 0; i < 65536; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), std::bit_cast<uint32_t>(FloatFromBf16(all[i])));
  }
}

TEST_P(SimdTest, PackedColumnsAreTheTranspose) {
  for (const int depth : {1, 8, 20, 64}) {
    for (int columns = 1; columns <= kernels_.column_tile; ++columns) {
      const int stride = depth + 3;
      const std::vector<float> w = Random(columns * stride, -1, 1, columns);
      std::vector<float> packed(static_cast<size_t>(depth) * kernels_.column_tile, 9.0f);
      kernels_.pack_columns(w.data(), stride, columns, depth, packed.data());
      for (int d = 0; d < depth; ++d) {
        for (int c = 0; c < kernels_.column_tile; ++c) {
          ASSERT_EQ(packed[d * kernels_.column_tile + c], c < columns ? w[c * stride + d] : 0.0f)
              << "depth " << depth << ", columns " << columns << ", at " << d << ", " << c;
        }
      }
    }
  }
}

TEST_P(SimdTest, AddIsElementWise) {
  std::vector<float> x = Random(37, -1, 1, 1);
  const std::vector<float> before = x, y = Random(37, -1, 1, 2);
  kernels_.add(x.data(), y.data(), 37);
  for (int i = 0; i < 37; ++i) ASSERT_EQ(x[i], before[i] + y[i]);
}

INSTANTIATE_TEST_SUITE_P(Paths, SimdTest, testing::ValuesIn(CpuPaths()),
                         [](const auto& info) { return std::string(CpuPathName(info.param)); });

}  // namespace
}  // namespace promptdb
