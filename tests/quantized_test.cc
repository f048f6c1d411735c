// Quantized weights: what their bytes mean, how close the encoder comes, and the fast decoders of
// every path this CPU has.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/bfloat16.h"
#include "executor/simd.h"
#include "model/checkpoint.h"

namespace promptdb {
namespace {

const std::vector<TensorDtype> kQuantized = {TensorDtype::kQ8_0, TensorDtype::kQ4_0,
                                             TensorDtype::kQ4K, TensorDtype::kQ6K};

std::vector<float> Decoded(const std::string& bytes, TensorDtype dtype) {
  const auto blocks = static_cast<int64_t>(bytes.size()) / BlockOf(dtype).bytes;
  TensorView view;
  view.dtype = dtype;
  view.shape = {blocks * BlockOf(dtype).elements};
  view.data = std::as_bytes(std::span(bytes));
  std::vector<float> values(static_cast<size_t>(view.elements()));
  CopyAsFloat(view, values);
  return values;
}

void PutHalf(std::string& bytes, size_t at, float value) {
  const uint16_t bits = F16FromFloat(value);
  std::memcpy(bytes.data() + at, &bits, 2);
}

// Bytes of all values; only scales are numbers that models have.
std::string RandomBlocks(TensorDtype dtype, int count, std::mt19937& random) {
  const auto size = static_cast<size_t>(BlockOf(dtype).bytes);
  std::string bytes(size * static_cast<size_t>(count), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  std::uniform_real_distribution<float> scale(-0.1f, 0.1f);
  for (size_t block = 0; block < bytes.size(); block += size) {
    PutHalf(bytes, block + (dtype == TensorDtype::kQ6K ? 208 : 0), scale(random));
    if (dtype == TensorDtype::kQ4K) PutHalf(bytes, block + 2, scale(random));
  }
  return bytes;
}

TEST(Quantized, BlocksMadeByHand) {
  std::string q8(34, '\0');
  PutHalf(q8, 0, 0.5f);
  q8[2] = -128;
  q8[33] = 3;
  std::vector<float> values = Decoded(q8, TensorDtype::kQ8_0);
  EXPECT_EQ(values[0], -64.0f);
  EXPECT_EQ(values[1], 0.0f);
  EXPECT_EQ(values[31], 1.5f);

  std::string q4(18, '\x88');  // zeros
  PutHalf(q4, 0, 2.0f);
  q4[2] = '\x1f';  // value 0: 15 - 8; value 16: 1 - 8
  values = Decoded(q4, TensorDtype::kQ4_0);
  EXPECT_EQ(values[0], 14.0f);
  EXPECT_EQ(values[16], -14.0f);
  EXPECT_EQ(values[1], 0.0f);

  std::string q4k(144, '\0');
  PutHalf(q4k, 0, 1.0f);
  PutHalf(q4k, 2, 0.5f);
  q4k[4 + 1] = 5;                          // scale of group 1
  q4k[4 + 5] = 2;                          // its least
  q4k[4 + 2] = static_cast<char>(3 << 6);  // upper bits of group 6's scale
  q4k[4 + 6] = static_cast<char>(1 << 6);  // and of its least
  q4k[4 + 10] = '\x21';                    // lower bits of its scale, 1, and its least, 2
  q4k[16 + 4] = '\x70';                    // value 36, of group 1
  q4k[16 + 96 + 9] = '\x0b';               // value 201, of group 6
  values = Decoded(q4k, TensorDtype::kQ4K);
  EXPECT_EQ(values[36], 5.0f * 7 - 0.5f * 2);
  EXPECT_EQ(values[35], -0.5f * 2);
  EXPECT_EQ(values[201], 49.0f * 11 - 0.5f * 18);
  EXPECT_EQ(values[0], 0.0f);

  std::string q6k(210, '\0');
  PutHalf(q6k, 208, 0.25f);
  q6k[192 + 13] = -3;         // scale of values 208 to 223
  q6k[64 + 16] = '\x90';      // value 208 (the high half of the second run): low bits 9
  q6k[128 + 32 + 16] = 0x20;  // its upper bits: 2
  values = Decoded(q6k, TensorDtype::kQ6K);
  EXPECT_EQ(values[208], 0.25f * -3 * (41 - 32));
  EXPECT_EQ(values[209], 0.25f * -3 * -32);
  EXPECT_EQ(values[0], 0.0f);
}

TEST(Quantized, TheEncoderComesAsCloseAsTheFormAllows) {
  constexpr uint32_t kSeed = 21;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<float> values(256 * 64);
  for (float& value : values) value = 0.02f * normal(random);
  const auto error_of = [&](TensorDtype dtype) {
    const std::vector<float> read = Decoded(EncodeTensor(values, dtype), dtype);
    double error = 0, size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(read[i] - values[i], 2);
      size += std::pow(values[i], 2);
    }
    return std::sqrt(error / size);
  };
  EXPECT_LT(error_of(TensorDtype::kQ8_0), 0.007);
  EXPECT_LT(error_of(TensorDtype::kQ6K), 0.025);
  EXPECT_LT(error_of(TensorDtype::kQ4K), 0.10);
  EXPECT_LT(error_of(TensorDtype::kQ4_0), 0.10);
  const std::vector<float> zeros(512, 0.0f);
  for (const TensorDtype dtype : kQuantized) {
    EXPECT_EQ(Decoded(EncodeTensor(zeros, dtype), dtype), zeros) << TensorDtypeName(dtype);
  }
}

TEST(Quantized, EveryPathReadsAllBytesAlike) {
  constexpr uint32_t kSeed = 22;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  for (const TensorDtype dtype : kQuantized) {
    const std::string bytes = RandomBlocks(dtype, 40, random);
    const std::vector<float> wanted = Decoded(bytes, dtype);
    for (const CpuPath cpu : CpuPaths()) {
      SCOPED_TRACE(std::string(TensorDtypeName(dtype)) + " " + std::string(CpuPathName(cpu)));
      std::vector<float> read(wanted.size(), NAN);
      KernelsFor(cpu).widen(bytes.data(), dtype, static_cast<int>(read.size()), read.data());
      for (size_t i = 0; i < read.size(); ++i) {
        ASSERT_NEAR(read[i], wanted[i], 2e-6f * (1 + std::fabs(wanted[i]))) << i;
      }
    }
  }
}

TEST(Quantized, EveryPathReadsEveryHalf) {
  std::vector<uint16_t> halves(1 << 16);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  for (const CpuPath cpu : CpuPaths()) {
    SCOPED_TRACE(CpuPathName(cpu));
    std::vector<float> read(halves.size());
    KernelsFor(cpu).widen(halves.data(), TensorDtype::kF16, static_cast<int>(read.size()),
                          read.data());
    for (size_t i = 0; i < read.size(); ++i) {
      const float wanted = FloatFromF16(halves[i]);
      if (std::isnan(wanted)) {
        ASSERT_TRUE(std::isnan(read[i])) << i;
      } else {
        ASSERT_EQ(read[i], wanted) << i;
      }
    }
  }
}

}  // namespace
}  // namespace promptdb
