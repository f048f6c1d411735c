// Every way to compute a linear layer, against sums in f64.
#include "executor/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/bfloat16.h"
#include "executor/threads.h"

namespace promptdb {
namespace {

// A weight or bias in memory, as a checkpoint would hold it.
struct Tensor {
  TensorView view;
  std::vector<std::byte> bytes;
  std::vector<float> values;  // after the dtype's rounding

  Tensor(std::vector<int64_t> shape, TensorDtype dtype, std::mt19937& random,
         size_t misaligned = 0) {
    view.dtype = dtype;
    view.shape = std::move(shape);
    values.resize(static_cast<size_t>(view.elements()));
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random);
    const std::string stored = EncodeTensor(values, dtype);
    bytes.resize(stored.size() + misaligned);
    std::memcpy(bytes.data() + misaligned, stored.data(), stored.size());
    view.data = std::span(bytes).subspan(misaligned);
    CopyAsFloat(view, values);
  }
};

std::vector<float> RandomRows(int rows, int columns, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(rows) * columns);
  for (float& value : x) value = normal(random);
  return x;
}

// The weights and biases stacked, as the layer should hold them.
struct Expected {
  std::vector<float> weights;
  std::vector<float> bias;

  double At(const float* x, int in, int out) const {
    double sum = bias[out];
    for (int i = 0; i < in; ++i) {
      sum += static_cast<double>(x[i]) * weights[static_cast<size_t>(out) * in + i];
    }
    return sum;
  }
};

// Compares every path that can compute the layer. Rounding grows with the square root of the sum's
// length; kTorchBf16 rounds x, and the result, to 8 bits.
void Verify(const Linear& linear, const Expected& expected, TensorDtype dtype,
            std::mt19937& random) {
  const bool bf16 = dtype == TensorDtype::kBf16;
  const int in = linear.in(), out = linear.out();
  for (const int rows : {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 30, 97}) {
    const std::vector<float> x = RandomRows(rows, in, random);
    std::vector<double> wanted;
    for (int row = 0; row < rows; ++row) {
      for (int o = 0; o < out; ++o) wanted.push_back(expected.At(x.data() + row * in, in, o));
    }
    std::vector<float> y(static_cast<size_t>(rows) * out);
    const auto compare = [&](double bound, const std::string& what) {
      for (size_t i = 0; i < y.size(); ++i) {
        ASSERT_NEAR(y[i], wanted[i], bound) << what << ", rows " << rows << ", element " << i;
      }
    };
    const double bound = 6e-6 * std::sqrt(static_cast<double>(in));
    // A block's largest value is some 2.3, and 1 / 32767 of it a step, so that the rounding to 16
    // bits has a standard deviation of 2e-5; six of them, beyond what happens by chance.
    const double narrow_bound = 1.2e-4 * std::sqrt(static_cast<double>(in));
    for (const CpuPath cpu : CpuPaths()) {
      for (const auto path : {LinearPath::kDots, LinearPath::kPanels}) {
        std::fill(y.begin(), y.end(), NAN);
        linear.ApplyBy(path, cpu, x.data(), rows, y.data());
        compare(bound,
                std::string(CpuPathName(cpu)) + ", path " + std::to_string(static_cast<int>(path)));
      }
      if (IsQuantized(dtype) && rows <= kMostNarrowRows) {
        std::fill(y.begin(), y.end(), NAN);
        linear.ApplyBy(LinearPath::kNarrow, cpu, x.data(), rows, y.data());
        compare(narrow_bound, std::string(CpuPathName(cpu)) + ", narrow");
      }
      if (bf16) {
        std::fill(y.begin(), y.end(), NAN);
        linear.ApplyBy(LinearPath::kTorchBf16, cpu, x.data(), rows, y.data());
        compare(0.03 * std::sqrt(static_cast<double>(in)), "torch bf16");
      }
    }
    std::fill(y.begin(), y.end(), NAN);
    linear.Apply(x.data(), rows, y.data());
    compare(bf16 ? 0.03 * std::sqrt(static_cast<double>(in)) : narrow_bound, "the path of choice");
  }
}

TEST(Linear, EveryPathOnManyShapes) {
  constexpr uint32_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  for (const TensorDtype dtype : {TensorDtype::kF32, TensorDtype::kBf16}) {
    const bool bf16 = dtype == TensorDtype::kBf16;
    for (const auto& [in, out] :
         {std::pair{1, 1}, {8, 3}, {20, 37}, {64, 64}, {300, 130}, {515, 77}}) {
      SCOPED_TRACE(std::to_string(in) + " x " + std::to_string(out));
      const Tensor weight({out, in}, dtype, random), bias({out}, TensorDtype::kF32, random);
      const WeightDtype wanted = bf16 ? WeightDtype::kBf16 : WeightDtype::kF32;
      const Linear with({&weight.view}, {&bias.view}, wanted);
      Verify(with, {weight.values, bias.values}, dtype, random);
      const Linear without({&weight.view}, {nullptr}, wanted);
      Verify(without, {weight.values, std::vector<float>(out, 0.0f)}, dtype, random);
    }
  }
}

// They are computed in f32 from exactly the values that the file means.
TEST(Linear, NarrowWeightsStayAsTheyAreStored) {
  constexpr uint32_t kSeed = 17;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  for (const TensorDtype dtype : kTensorDtypes) {
    if (dtype == TensorDtype::kF32 || dtype == TensorDtype::kBf16) continue;
    for (const auto& [in, out] : {std::pair{256, 1}, {256, 13}, {768, 40}, {1280, 100}}) {
      SCOPED_TRACE(std::string(TensorDtypeName(dtype)) + " " + std::to_string(in) + " x " +
                   std::to_string(out));
      const Tensor weight({out, in}, dtype, random, /*misaligned=*/1);
      const Tensor bias({out}, TensorDtype::kF32, random);
      const Linear linear({&weight.view}, {&bias.view}, WeightDtype::kF32);
      EXPECT_EQ(linear.bytes(), TensorBytes(dtype, int64_t{in} * out));
      Verify(linear, {weight.values, bias.values}, dtype, random);
    }
  }
}

TEST(Linear, PartsOfSeveralQuantizedDtypes) {
  std::mt19937 random(18);
  const Tensor q({64, 256}, TensorDtype::kQ4K, random), k({16, 256}, TensorDtype::kQ4K, random),
      v({16, 256}, TensorDtype::kQ6K, random), bias({16}, TensorDtype::kF32, random);
  Expected expected;
  for (const Tensor* tensor : {&q, &k, &v}) {
    expected.weights.insert(expected.weights.end(), tensor->values.begin(), tensor->values.end());
  }
  expected.bias.assign(96, 0.0f);
  std::copy(bias.values.begin(), bias.values.end(), expected.bias.begin() + 80);
  const Linear linear({&q.view, &k.view, &v.view}, {nullptr, nullptr, &bias.view},
                      WeightDtype::kF32);
  EXPECT_EQ(linear.bytes(), 80 * 144 + 16 * 210);
  Verify(linear, expected, TensorDtype::kF32, random);
}

TEST(Linear, StacksWeightsOfSeveralDtypesWithSomeBiases) {
  std::mt19937 random(12);
  const Tensor a({5, 40}, TensorDtype::kF32, random), b({7, 40}, TensorDtype::kF16, random),
      c({4, 40}, TensorDtype::kBf16, random), bias({7}, TensorDtype::kF32, random);
  Expected expected;
  for (const Tensor* tensor : {&a, &b, &c}) {
    expected.weights.insert(expected.weights.end(), tensor->values.begin(), tensor->values.end());
  }
  expected.bias.assign(16, 0.0f);
  std::copy(bias.values.begin(), bias.values.end(), expected.bias.begin() + 5);
  const Linear linear({&a.view, &b.view, &c.view}, {nullptr, &bias.view, nullptr},
                      WeightDtype::kF32);
  EXPECT_EQ(linear.out(), 16);
  EXPECT_EQ(linear.in(), 40);
  EXPECT_EQ(linear.bytes(), 9 * 40 * 4 + 7 * 40 * 2);  // f16 stays
  Verify(linear, expected, TensorDtype::kF32, random);

  for (float& value : expected.weights) value = FloatFromBf16(Bf16FromFloat(value));
  const Linear narrow({&a.view, &b.view, &c.view}, {nullptr, &bias.view, nullptr},
                      WeightDtype::kBf16);
  EXPECT_EQ(narrow.bytes(), 16 * 40 * 2);
  Verify(narrow, expected, TensorDtype::kBf16, random);
}

TEST(Linear, NeedsNothingOfTheFileAfterwards) {
  std::mt19937 random(13);
  Tensor weight({3, 4}, TensorDtype::kF32, random);
  const float before = weight.values[0];
  const Linear linear({&weight.view}, {nullptr}, WeightDtype::kF32);
  std::fill(weight.bytes.begin(), weight.bytes.end(), std::byte{0});
  const std::vector<float> x = {1, 0, 0, 0};
  std::vector<float> y(3);
  linear.Apply(x.data(), 1, y.data());
  EXPECT_EQ(y[0], before);
}

TEST(Linear, CopiesAWeightThatIsNotAligned) {
  std::mt19937 random(14);
  const Tensor weight({9, 12}, TensorDtype::kF32, random, /*misaligned=*/1);
  const Linear linear({&weight.view}, {nullptr}, WeightDtype::kF32);
  Verify(linear, {weight.values, std::vector<float>(9, 0.0f)}, TensorDtype::kF32, random);
}

TEST(Linear, MoreRowsThanABlockOfPanelsHas) {
  std::mt19937 random(15);
  constexpr int kRows = 2 * kMostPanelRows + 5, kIn = 300, kOut = kMostPanelOut + 21;
  const Tensor weight({kOut, kIn}, TensorDtype::kF32, random);
  const Linear linear({&weight.view}, {nullptr}, WeightDtype::kF32);
  const Expected expected{weight.values, std::vector<float>(kOut, 0.0f)};
  const std::vector<float> x = RandomRows(kRows, kIn, random);
  std::vector<float> y(kRows * kOut);
  linear.Apply(x.data(), kRows, y.data());
  for (int row = 0; row < kRows; ++row) {
    for (int o = 0; o < kOut; ++o) {
      ASSERT_NEAR(y[row * kOut + o], expected.At(x.data() + row * kIn, kIn, o), 1e-4);
    }
  }
}

TEST(Linear, NoRowsAreFine) {
  std::mt19937 random(16);
  const Tensor weight({3, 4}, TensorDtype::kF32, random);
  float untouched = 5;
  Linear({&weight.view}, {nullptr}, WeightDtype::kF32).Apply(nullptr, 0, &untouched);
  EXPECT_EQ(untouched, 5);
}

TEST(Threads, ThereIsAlwaysOne) {
  SetThreads(3);
  EXPECT_EQ(Threads(), 3);
  SetThreads(0);
  EXPECT_GE(Threads(), 1);
}

}  // namespace
}  // namespace promptdb
