// GGUF files that we write: byte by byte against the format's description, and read back.
#include "model/gguf_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>

#include "base/bfloat16.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_cases.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

using Strings = std::vector<std::string>;

TEST(GgufWriter, BytesAreThoseOfTheFormat) {
  GgufWriter writer;
  writer.AddU32("u", 0x01020304);
  writer.AddBool("b", true);
  writer.AddText("t", "hé");
  writer.AddTexts("a", Strings{"x", ""});
  // [2, 3]: two rows of three
  writer.AddTensor("w", std::vector<int64_t>{2, 3}, TensorDtype::kF32,
                   std::vector<float>{1, 2, 3, 4, 5, -0.5f});
  writer.AddTensor("v", std::vector<int64_t>{1}, TensorDtype::kBf16, std::vector<float>{1});

  const auto u64 = [](char low) { return std::string(1, low) + std::string(7, '\0'); };
  const auto u32 = [](char low) { return std::string(1, low) + std::string(3, '\0'); };
  std::string expected = "GGUF" + u32(3) + u64(2) + u64(4);
  expected += u64(1) + "u" + u32(4) + "\x04\x03\x02\x01";
  expected += u64(1) + "b" + u32(7) + "\x01";
  expected += u64(1) + "t" + u32(8) + u64(3) + "h\xc3\xa9";
  expected += u64(1) + "a" + u32(9) + u32(8) + u64(2) + u64(1) + "x" + u64(0);
  expected += u64(1) + "w" + u32(2) + u64(3) + u64(2) + u32(0) + u64(0);
  expected += u64(1) + "v" + u32(1) + u64(1) + u32(30) + u64(32);
  while (expected.size() % 32 != 0) expected += '\0';
  for (const char* value :
       {"\x80\x3f", "\x00\x40", "\x40\x40", "\x80\x40", "\xa0\x40", "\x00\xbf"}) {
    expected += std::string(2, '\0') + std::string(value, 2);
  }
  expected += std::string(8, '\0');
  expected += "\x80\x3f" + std::string(30, '\0');
  EXPECT_EQ(writer.Bytes(), expected);
}

TEST(GgufWriter, AnEmptyFileIsAFile) {
  const TemporaryFolder folder("gguf");
  GgufWriter().Write(folder / "empty.gguf");
  const GgufFile file(folder / "empty.gguf");
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_EQ(file.bytes().size(), 32u);
}

TEST(GgufWriter, MetadataIsReadBack) {
  const TemporaryFolder folder("gguf");
  GgufWriter writer;
  writer.AddU32("u32", std::numeric_limits<uint32_t>::max());
  writer.AddF32("f32", 0.1f);
  writer.AddBool("yes", true);
  writer.AddBool("no", false);
  const std::string odd("zero \0 and\nline", 15);
  writer.AddText("text", odd);
  writer.AddText("empty", "");
  writer.AddTexts("texts", Strings{"a", "", odd});
  writer.AddTexts("no texts", Strings{});
  writer.AddI32s("i32s", std::vector<int32_t>{-1, 0, std::numeric_limits<int32_t>::min()});
  writer.AddF32s("f32s", std::vector<float>{-1.5f, 3e38f});
  writer.Write(folder / "m.gguf");

  const GgufFile file(folder / "m.gguf");
  EXPECT_EQ(file.Integer("u32"), 4294967295);
  EXPECT_EQ(file.Real("f32"), 0.1f);
  EXPECT_EQ(file.Flag("yes"), true);
  EXPECT_EQ(file.Flag("no"), false);
  EXPECT_EQ(file.Text("text"), odd);
  EXPECT_EQ(file.Text("empty"), "");
  EXPECT_EQ(file.Texts("texts"), (Strings{"a", "", odd}));
  EXPECT_EQ(file.Texts("no texts"), Strings{});
  EXPECT_EQ(file.Integers("i32s"), (std::vector<int64_t>{-1, 0, -2147483648}));
  EXPECT_EQ(file.Reals("f32s"), (std::vector<float>{-1.5f, 3e38f}));
  EXPECT_FALSE(file.Has("other"));
}

// What the value becomes in a file, worked out apart from the writer. `largest`: of its block.
float Stored(float value, TensorDtype dtype, float largest) {
  switch (dtype) {
    case TensorDtype::kF32:
      return value;
    case TensorDtype::kF16:
      return FloatFromF16(F16FromFloat(value));
    case TensorDtype::kBf16:
      return FloatFromBf16(Bf16FromFloat(value));
    case TensorDtype::kQ8_0: {
      const float scale = FloatFromF16(F16FromFloat(largest / 127.0f));
      // A stored scale that was rounded down would take the largest value beyond 127.
      return scale == 0 ? 0
                        : scale * std::min(127.0f, std::max(-127.0f, std::round(value / scale)));
    }
    default:  // tests/quantized_test.cc
      return NAN;
  }
  return value;
}

TEST(GgufWriter, TensorsOfAllDtypesAreReadBack) {
  const RandomCases random(50);
  std::mt19937 engine(random.seed);
  const auto roll = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(engine);
  };
  const TemporaryFolder folder("gguf");
  for (int n = 0; n < random.cases; ++n) {
    struct Given {
      std::vector<int64_t> shape;
      TensorDtype dtype;
      std::vector<float> values;
    };
    std::vector<Given> given;
    GgufWriter writer;
    for (int i = roll(0, 6); i > 0; --i) {
      Given tensor{{}, static_cast<TensorDtype>(roll(0, 3)), {}};
      size_t elements = 1;
      for (int d = roll(1, 4); d > 0; --d) tensor.shape.push_back(roll(1, 5));
      if (tensor.dtype == TensorDtype::kQ8_0) tensor.shape.back() *= 32;
      for (const int64_t extent : tensor.shape) elements *= static_cast<size_t>(extent);
      // Blocks of all sizes, of zeros too.
      for (size_t k = 0; k < elements; ++k) {
        const float scale = k / 32 % 3 == 2 ? 0.0f : std::ldexp(1.0f, roll(-3, 3));
        tensor.values.push_back(scale * std::normal_distribution<float>()(engine));
      }
      writer.AddTensor("tensor " + std::to_string(given.size()), tensor.shape, tensor.dtype,
                       tensor.values);
      given.push_back(std::move(tensor));
    }
    if (roll(0, 1) == 0) writer.AddText("pads", std::string(roll(0, 40), 'x'));
    writer.Write(folder / "t.gguf");

    const GgufFile file(folder / "t.gguf");
    ASSERT_EQ(file.tensors().size(), given.size());
    for (size_t i = 0; i < given.size(); ++i) {
      const GgufTensor& read = file.tensors()[i];
      const Given& wrote = given[i];
      ASSERT_EQ(read.name, "tensor " + std::to_string(i));
      ASSERT_EQ(read.shape, wrote.shape);
      ASSERT_EQ(read.dtype, wrote.dtype);
      ASSERT_EQ((read.data.data() - file.bytes().data()) % 32, 0);
      TensorView view;
      view.dtype = wrote.dtype;
      view.shape = wrote.shape;
      view.data = read.data;
      std::vector<float> values(wrote.values.size());
      CopyAsFloat(view, values);
      for (size_t k = 0; k < values.size(); ++k) {
        float largest = 0;
        if (wrote.dtype == TensorDtype::kQ8_0) {
          for (size_t b = k / 32 * 32; b < k / 32 * 32 + 32; ++b) {
            largest = std::max(largest, std::fabs(wrote.values[b]));
          }
        }
        ASSERT_EQ(values[k], Stored(wrote.values[k], wrote.dtype, largest))
            << "case " << n << ", tensor " << i << ", value " << k;
      }
    }
  }
}

TEST(GgufWriter, VocabulariesAreReadBack) {
  const TemporaryFolder folder("gguf");
  GgufVocabulary full;
  full.model = "llama";
  full.pre = "default";
  full.tokens = {"<unk>", "<s>", "</s>", "a"};
  full.scores = {0, 0, 0, -1.5f};
  full.token_types = {2, 3, 3, 1};
  full.bos_id = 1;
  full.eos_id = 2;
  full.unk_id = 0;
  full.pad_id = 3;
  full.eot_id = 2;
  full.add_bos = true;
  full.add_eos = false;
  full.add_space_prefix = false;
  full.remove_extra_whitespaces = true;
  full.chat_template = "{{ messages }}";
  GgufVocabulary bare;
  bare.model = "gpt2";
  bare.tokens = {"a", "b"};
  for (const GgufVocabulary& wrote : {full, bare}) {
    GgufWriter writer;
    AddGgufVocabulary(wrote, writer);
    writer.Write(folder / "v.gguf");
    const GgufVocabulary read = ReadGgufVocabulary(folder / "v.gguf");
    EXPECT_EQ(read.model, wrote.model);
    EXPECT_EQ(read.pre, wrote.pre);
    EXPECT_EQ(read.tokens, wrote.tokens);
    EXPECT_EQ(read.scores, wrote.scores);
    EXPECT_EQ(read.token_types, wrote.token_types);
    EXPECT_EQ(read.merges, wrote.merges);
    EXPECT_EQ(read.bos_id, wrote.bos_id);
    EXPECT_EQ(read.eos_id, wrote.eos_id);
    EXPECT_EQ(read.unk_id, wrote.unk_id);
    EXPECT_EQ(read.pad_id, wrote.pad_id);
    EXPECT_EQ(read.eot_id, wrote.eot_id);
    EXPECT_EQ(read.add_bos, wrote.add_bos);
    EXPECT_EQ(read.add_eos, wrote.add_eos);
    EXPECT_EQ(read.add_space_prefix, wrote.add_space_prefix);
    EXPECT_EQ(read.remove_extra_whitespaces, wrote.remove_extra_whitespaces);
    EXPECT_EQ(read.chat_template, wrote.chat_template);
  }
}

TEST(GgufWriter, AFileThatCannotBeWrittenIsNamedAndTheOldOneStays) {
  const TemporaryFolder folder("gguf");
  GgufWriter writer;
  writer.AddText("general.name", "new");
  const std::filesystem::path missing = folder / "no folder" / "m.gguf";
  ExpectError(ErrorCode::kIo, {missing.string()}, [&] { writer.Write(missing); });
  std::filesystem::create_directory(folder / "m.gguf");
  ExpectError(ErrorCode::kIo, {(folder / "m.gguf").string()},
              [&] { writer.Write(folder / "m.gguf"); });
  EXPECT_TRUE(std::filesystem::is_directory(folder / "m.gguf"));

  std::ofstream(folder / "old.gguf") << "something else";
  writer.Write(folder / "old.gguf");
  EXPECT_EQ(ReadText(folder / "old.gguf"), writer.Bytes());
  // Nothing else is left in the folder.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

}  // namespace
}  // namespace promptdb
