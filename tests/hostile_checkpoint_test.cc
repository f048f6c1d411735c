// GGUF files made to mislead, and checkpoints of both forms that are truncated or mutated: they
// open or they give an Error; they never crash, and they never make the reader allocate what the
// file does not back.
#include "tests/support/hostile_checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/text_file.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

template <typename T>
void Put(std::string& bytes, size_t at, T value) {
  ASSERT_LE(at + sizeof(T), bytes.size());
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

// Where a GGUF file says what: offsets of the fields that follow a tensor's name or a key.
class GgufSurgery {
 public:
  explicit GgufSurgery(const std::filesystem::path& path) : bytes(ReadText(path)) {}

  // The place just after the string `name` stored with its length before it.
  size_t After(const std::string& name) const {
    const uint64_t size = name.size();
    const std::string framed = std::string(reinterpret_cast<const char*>(&size), 8) + name;
    const size_t at = bytes.find(framed);
    EXPECT_NE(at, std::string::npos) << name;
    return at + framed.size();
  }
  // Of a 2-d tensor: u32 dimensions, u64 extents (innermost first), u32 type, u64 offset.
  size_t DimensionsOf(const std::string& tensor) const { return After(tensor); }
  size_t ExtentOf(const std::string& tensor, int i) const { return After(tensor) + 4 + 8 * i; }
  size_t TypeOf(const std::string& tensor) const { return After(tensor) + 20; }
  size_t OffsetOf(const std::string& tensor) const { return After(tensor) + 24; }
  // Of a key: u32 type, value. Of an array: u32 type, u32 element type, u64 count.
  size_t ValueOf(const std::string& key) const { return After(key) + 4; }

  // Puts a key in front of all others, and a key with filler text, so that the file grows by
  // `growth` bytes: a multiple of the alignment leaves the data where the header says it is.
  void InsertU32(const std::string& key, uint32_t value, size_t growth) {
    std::string entries;
    const auto append = [&](auto number) {
      entries.append(reinterpret_cast<const char*>(&number), sizeof(number));
    };
    append(uint64_t{key.size()});
    entries += key;
    append(uint32_t{4});
    append(value);
    append(uint64_t{1});
    entries += "x";
    append(uint32_t{8});
    ASSERT_LE(entries.size() + 8, growth);
    append(uint64_t{growth - entries.size() - 8});
    entries.resize(growth, '.');
    bytes.insert(24, entries);
    uint64_t count = 0;
    std::memcpy(&count, bytes.data() + 16, sizeof(count));
    count += 2;
    std::memcpy(bytes.data() + 16, &count, sizeof(count));
  }

  std::string bytes;
};

class HostileGgufTest : public testing::Test {
 protected:
  HostileGgufTest() : folder_("hostile"), path_(folder_ / "tiny.gguf") {
    WriteGguf(TinyModel::SmallestOf("llama"), path_, TensorDtype::kF32);
  }

  // Opens the file after `change`; a fresh copy each time.
  void ExpectRefused(ErrorCode code, const std::vector<std::string>& parts,
                     const std::function<void(GgufSurgery&)>& change) {
    GgufSurgery file(path_);
    change(file);
    const std::filesystem::path changed = folder_ / "changed.gguf";
    WriteText(changed, file.bytes);
    ExpectError(code, parts, [&] { Checkpoint::Open(changed); });
  }

  TemporaryFolder folder_;
  std::filesystem::path path_;
};

constexpr char kQ[] = "blk.0.attn_q.weight";

TEST_F(HostileGgufTest, HeaderThatClaimsTooMuch) {
  for (const uint64_t count : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{1} << 32}) {
    ExpectRefused(ErrorCode::kCorrupt, {"the file ends inside"},
                  [&](GgufSurgery& f) { Put(f.bytes, 8, count); });
    // More keys than there are: the tensors' descriptions are read as keys.
    ExpectRefused(ErrorCode::kCorrupt, {""}, [&](GgufSurgery& f) { Put(f.bytes, 16, count); });
    ExpectRefused(ErrorCode::kCorrupt, {"the file ends inside metadata key 0"},
                  [&](GgufSurgery& f) { Put(f.bytes, 24, count); });
    ExpectRefused(ErrorCode::kCorrupt, {"\"tokenizer.ggml.tokens\""}, [&](GgufSurgery& f) {
      Put(f.bytes, f.ValueOf("tokenizer.ggml.tokens") + 4, count);
    });
    ExpectRefused(ErrorCode::kCorrupt, {"\"tokenizer.ggml.scores\""}, [&](GgufSurgery& f) {
      Put(f.bytes, f.ValueOf("tokenizer.ggml.scores") + 4, count);
    });
    ExpectRefused(ErrorCode::kCorrupt, {"\"general.name\""},
                  [&](GgufSurgery& f) { Put(f.bytes, f.ValueOf("general.name"), count); });
  }
  // 2^62 elements of four bytes are 2^64 bytes, which wraps around to none.
  ExpectRefused(ErrorCode::kCorrupt, {"\"tokenizer.ggml.scores\"", "4611686018427387904"},
                [&](GgufSurgery& f) {
                  Put(f.bytes, f.ValueOf("tokenizer.ggml.scores") + 4, uint64_t{1} << 62);
                });
}

TEST_F(HostileGgufTest, VersionsAndByteOrders) {
  ExpectRefused(ErrorCode::kUnsupported, {"big-endian"},
                [](GgufSurgery& f) { Put(f.bytes, 4, uint32_t{0x03000000}); });
  ExpectRefused(ErrorCode::kUnsupported, {"version 1"},
                [](GgufSurgery& f) { Put(f.bytes, 4, uint32_t{1}); });
  ExpectRefused(ErrorCode::kUnsupported, {"version 4"},
                [](GgufSurgery& f) { Put(f.bytes, 4, uint32_t{4}); });
  GgufSurgery second(path_);
  Put(second.bytes, 4, uint32_t{2});
  WriteText(folder_ / "second.gguf", second.bytes);
  EXPECT_TRUE(Survives(folder_ / "second.gguf"));
}

TEST_F(HostileGgufTest, TensorsThatLie) {
  ExpectRefused(ErrorCode::kUnsupported, {kQ, "Q5_K"},
                [](GgufSurgery& f) { Put(f.bytes, f.TypeOf(kQ), uint32_t{13}); });
  // Its rows are no whole blocks.
  ExpectRefused(ErrorCode::kCorrupt, {kQ, "Q4_K", "blocks of 256"},
                [](GgufSurgery& f) { Put(f.bytes, f.TypeOf(kQ), uint32_t{12}); });
  ExpectRefused(ErrorCode::kUnsupported, {kQ, "type 4294967295"},
                [](GgufSurgery& f) { Put(f.bytes, f.TypeOf(kQ), ~uint32_t{0}); });
  for (const uint32_t dimensions : {uint32_t{0}, uint32_t{5}, ~uint32_t{0}}) {
    ExpectRefused(ErrorCode::kCorrupt, {kQ, "number of dimensions"},
                  [&](GgufSurgery& f) { Put(f.bytes, f.DimensionsOf(kQ), dimensions); });
  }
  for (const uint64_t extent : {uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0}}) {
    ExpectRefused(ErrorCode::kCorrupt, {kQ, "bad extent", std::to_string(extent)},
                  [&](GgufSurgery& f) { Put(f.bytes, f.ExtentOf(kQ, 0), extent); });
  }
  // 2^32 by 2^32 is 2^64, which wraps around to none.
  ExpectRefused(ErrorCode::kCorrupt, {kQ, "[4294967296, 4294967296]"}, [](GgufSurgery& f) {
    Put(f.bytes, f.ExtentOf(kQ, 0), uint64_t{1} << 32);
    Put(f.bytes, f.ExtentOf(kQ, 1), uint64_t{1} << 32);
  });
  ExpectRefused(ErrorCode::kCorrupt, {kQ, "[32, 32]", "[32, 16]"},
                [](GgufSurgery& f) { Put(f.bytes, f.ExtentOf(kQ, 0), uint64_t{16}); });
  for (const uint64_t offset :
       {uint64_t{1} << 63, ~uint64_t{0} - 31, (uint64_t{1} << 40), ~uint64_t{0} - 4095}) {
    ExpectRefused(ErrorCode::kCorrupt, {kQ, "past the end of the file"},
                  [&](GgufSurgery& f) { Put(f.bytes, f.OffsetOf(kQ), offset); });
  }
  ExpectRefused(ErrorCode::kCorrupt, {kQ, "not aligned"},
                [](GgufSurgery& f) { Put(f.bytes, f.OffsetOf(kQ), uint64_t{33}); });
  ExpectRefused(ErrorCode::kCorrupt, {kQ, "overlaps"},
                [](GgufSurgery& f) { Put(f.bytes, f.OffsetOf(kQ), uint64_t{0}); });
  ExpectRefused(ErrorCode::kCorrupt, {"\"blk.0.ffn_up.weight\"", "missing"}, [](GgufSurgery& f) {
    // ffn_gate and ffn_up are one letter count apart, so rename one out of the way.
    f.bytes.replace(f.After("blk.0.ffn_up.weight") - 13, 13, "ffn_pu.weight");
  });
  ExpectRefused(ErrorCode::kCorrupt, {"\"blk.0.attn_v.weight\"", "twice"}, [](GgufSurgery& f) {
    f.bytes.replace(f.After("blk.0.attn_k.weight") - 13, 13, "attn_v.weight");
  });
  // A name made to move the cursor of a terminal.
  ExpectRefused(ErrorCode::kCorrupt, {"\\x1b[2J\\x0a"}, [](GgufSurgery& f) {
    Put(f.bytes, f.OffsetOf(kQ), uint64_t{33});
    f.bytes.replace(f.After(kQ) - 13, 5, "\x1b[2J\n");
  });
}

TEST_F(HostileGgufTest, QuantizedRowsAreWholeBlocks) {
  TinyModel model = TinyModel::SmallestOf("llama");
  WriteGguf(model, path_, TensorDtype::kQ8_0);
  EXPECT_TRUE(Survives(path_));
  ExpectRefused(ErrorCode::kCorrupt, {kQ, "blocks of 32"}, [](GgufSurgery& f) {
    Put(f.bytes, f.ExtentOf(kQ, 0), uint64_t{16});
    Put(f.bytes, f.ExtentOf(kQ, 1), uint64_t{64});
  });
}

TEST_F(HostileGgufTest, KeysThatLie) {
  ExpectRefused(ErrorCode::kUnsupported, {"\"mamba\""}, [](GgufSurgery& f) {
    f.bytes.replace(f.ValueOf("general.architecture") + 8, 5, "mamba");
  });
  ExpectRefused(
      ErrorCode::kCorrupt, {"\"llama.block_count\"", "should be an integer"},
      [](GgufSurgery& f) { Put(f.bytes, f.ValueOf("llama.block_count") - 4, uint32_t{6}); });
  ExpectRefused(
      ErrorCode::kCorrupt, {"\"llama.block_count\"", "unknown type 77"},
      [](GgufSurgery& f) { Put(f.bytes, f.ValueOf("llama.block_count") - 4, uint32_t{77}); });
  ExpectRefused(
      ErrorCode::kUnsupported, {"\"tokenizer.ggml.scores\"", "array of arrays"},
      [](GgufSurgery& f) { Put(f.bytes, f.ValueOf("tokenizer.ggml.scores"), uint32_t{9}); });
  ExpectRefused(ErrorCode::kCorrupt, {"\"llama.block_count\"", "missing"}, [](GgufSurgery& f) {
    f.bytes.replace(f.After("llama.block_count") - 5, 5, "tnuoc");
  });
  ExpectRefused(ErrorCode::kCorrupt, {"\"tokenizer.ggml.eos_token_id\"", "360", "999"},
                [](GgufSurgery& f) {
                  Put(f.bytes, f.ValueOf("tokenizer.ggml.eos_token_id"), uint32_t{999});
                });
  ExpectRefused(ErrorCode::kCorrupt, {"vocab_size is 361"},
                [](GgufSurgery& f) { Put(f.bytes, f.ValueOf("llama.vocab_size"), uint32_t{361}); });
  ExpectRefused(ErrorCode::kCorrupt, {"number of layers", "1000000"}, [](GgufSurgery& f) {
    Put(f.bytes, f.ValueOf("llama.block_count"), uint32_t{1000000});
  });
  ExpectRefused(ErrorCode::kCorrupt, {"epsilon"}, [](GgufSurgery& f) {
    Put(f.bytes, f.ValueOf("llama.attention.layer_norm_rms_epsilon"),
        std::numeric_limits<float>::quiet_NaN());
  });
  ExpectRefused(ErrorCode::kUnsupported, {"part of a head"}, [](GgufSurgery& f) {
    Put(f.bytes, f.ValueOf("llama.rope.dimension_count"), uint32_t{8});
  });
  ExpectRefused(ErrorCode::kUnsupported, {"split over several"},
                [](GgufSurgery& f) { f.InsertU32("split.count", 2, 64); });
  ExpectRefused(ErrorCode::kUnsupported, {"mixture of experts"},
                [](GgufSurgery& f) { f.InsertU32("llama.expert_count", 8, 64); });
  ExpectRefused(ErrorCode::kCorrupt, {"\"llama.block_count\"", "twice"},
                [](GgufSurgery& f) { f.InsertU32("llama.block_count", 1, 64); });
}

TEST_F(HostileGgufTest, AlignmentIsObeyedAndChecked) {
  for (const uint32_t alignment : {0u, 1u, 3u, 48u, 1u << 31, ~0u}) {
    ExpectRefused(ErrorCode::kCorrupt, {"\"general.alignment\"", std::to_string(alignment)},
                  [&](GgufSurgery& f) { f.InsertU32("general.alignment", alignment, 64); });
  }
  // All tensors of this model are multiples of 128 bytes, so only the start of the data has to
  // move.
  const auto original = Checkpoint::Open(path_);
  size_t data = 0;
  for (const auto& [name, tensor] : original->tensors()) data += tensor.data.size();
  const size_t header = std::filesystem::file_size(path_) - data;
  GgufSurgery file(path_);
  file.InsertU32("general.alignment", 128, 128 + (128 - header % 128) % 128);
  WriteText(folder_ / "aligned.gguf", file.bytes);
  const auto aligned = Checkpoint::Open(folder_ / "aligned.gguf");
  for (const auto& [name, tensor] : original->tensors()) {
    const auto read = aligned->Get(name).data;
    EXPECT_TRUE(std::equal(read.begin(), read.end(), tensor.data.begin(), tensor.data.end()))
        << name;
  }
}

TEST_F(HostileGgufTest, EveryTruncationIsRefused) {
  const TinyModel model = TinyModel::SmallestOf("llama");
  for (const TensorDtype dtype : {TensorDtype::kF32, TensorDtype::kQ8_0}) {
    WriteGguf(model, path_, dtype);
    const auto size = std::filesystem::file_size(path_);
    size_t header = 0;
    std::vector<size_t> ends;  // where the data of each tensor ends
    {
      const std::string bytes = ReadText(path_);
      const auto checkpoint = Checkpoint::Open(path_);
      size_t data = 0;
      for (const auto& [name, tensor] : checkpoint->tensors())
        data += (tensor.data.size() + 31) / 32 * 32;
      header = size - data;
      size_t at = header;
      // Tensors lie in the order in which they were made.
      for (const TinyTensor& tensor : TinyWeights(model)) {
        const size_t stored = checkpoint->Get(tensor.name).data.size();
        ends.push_back(at + stored);
        at += (stored + 31) / 32 * 32;
      }
      ASSERT_EQ(at, size);
    }
    std::vector<size_t> lengths;
    for (size_t length = 0; length < header; ++length) lengths.push_back(length);
    for (const size_t end : ends) {
      lengths.push_back(end - 1);
      if (end < ends.back()) lengths.insert(lengths.end(), {end, end + 1});
    }
    std::mt19937 random(20);
    for (int i = 0; i < 500; ++i) {
      lengths.push_back(header + random() % (ends.back() - header));
    }
    std::sort(lengths.rbegin(), lengths.rend());
    for (const size_t length : lengths) {
      std::filesystem::resize_file(path_, length);
      ASSERT_FALSE(Survives(path_)) << "opened with " << length << " of " << size << " bytes";
    }
  }
}

// Flips bytes in place, opens, and puts them back. `header` is where most of the flips go. Returns
// how many of the mutants opened.
int MutateAndOpen(const std::filesystem::path& file_path, const std::filesystem::path& open_path,
                  size_t header, int rounds, uint32_t seed) {
  std::mt19937 random(seed);
  const std::string original = ReadText(file_path);
  std::fstream file(file_path, std::ios::binary | std::ios::in | std::ios::out);
  int opened = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<size_t> changed;
    const int flips = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < flips; ++i) {
      const size_t range = random() % 20 == 0 ? original.size() : header;
      const size_t at = random() % range;
      // Bit flips, and the values at which lengths and types change their meaning.
      constexpr unsigned char kValues[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 0x08, 0x09, '{', '"', '9'};
      const unsigned char old = static_cast<unsigned char>(original[at]);
      const unsigned char value = random() % 2 == 0
                                      ? static_cast<unsigned char>(old ^ (1u << random() % 8))
                                      : kValues[random() % std::size(kValues)];
      file.seekp(static_cast<std::streamoff>(at));
      file.put(static_cast<char>(value));
      changed.push_back(at);
    }
    file.flush();
    if (Survives(open_path)) ++opened;
    for (const size_t at : changed) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(original[at]);
    }
    file.flush();
  }
  EXPECT_EQ(ReadText(file_path), original);
  return opened;
}

TEST(MutatedCheckpointTest, Gguf) {
  constexpr uint32_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const TemporaryFolder folder("mutated");
  for (const char* architecture : {"llama", "qwen2", "qwen3", "falcon", "mpt", "gpt2"}) {
    SCOPED_TRACE(architecture);
    WriteGguf(TinyModel::SmallestOf(architecture), folder / "tiny.gguf", TensorDtype::kQ8_0);
    const auto checkpoint = Checkpoint::Open(folder / "tiny.gguf");
    size_t data = 0;
    for (const auto& [name, tensor] : checkpoint->tensors()) {
      data += (tensor.data.size() + 31) / 32 * 32;
    }
    const size_t header = std::filesystem::file_size(folder / "tiny.gguf") - data;
    const int opened =
        MutateAndOpen(folder / "tiny.gguf", folder / "tiny.gguf", header, 3000, kSeed);
    // Most of the header is text of tokens, whose change is no error; the rest must be noticed.
    EXPECT_GT(opened, 0);
    EXPECT_LT(opened, 3000);
    // The tensors' descriptions and the model's keys, where nearly every byte matters.
    const std::string bytes = ReadText(folder / "tiny.gguf");
    const size_t keys = bytes.find("tokenizer.ggml.model");
    MutateAndOpen(folder / "tiny.gguf", folder / "tiny.gguf", keys, 2000, kSeed + 1);
  }
}

TEST(MutatedCheckpointTest, HuggingFaceFolder) {
  constexpr uint32_t kSeed = 12;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const TemporaryFolder folder("mutated");
  WriteHuggingFace(TinyModel::SmallestOf("qwen3"), folder.path(), TensorDtype::kBf16, 2);
  const std::string shard = "model-00001-of-00002.safetensors";
  uint64_t header = 0;
  std::memcpy(&header, ReadText(folder / shard).data(), sizeof(header));
  EXPECT_LT(MutateAndOpen(folder / shard, folder.path(), header + 8, 3000, kSeed), 3000);
  for (const char* name : {"config.json", "model.safetensors.index.json"}) {
    const size_t size = std::filesystem::file_size(folder / name);
    EXPECT_LT(MutateAndOpen(folder / name, folder.path(), size, 2000, kSeed), 2000) << name;
  }
  // Truncated anywhere, a shard is refused.
  const size_t size = std::filesystem::file_size(folder / shard);
  std::mt19937 random(kSeed);
  std::vector<size_t> lengths;
  for (size_t length = 0; length < header + 8; ++length) lengths.push_back(length);
  for (int i = 0; i < 500; ++i) lengths.push_back(header + 8 + random() % (size - header - 8));
  lengths.push_back(size - 1);
  std::sort(lengths.rbegin(), lengths.rend());
  for (const size_t length : lengths) {
    std::filesystem::resize_file(folder / shard, length);
    ASSERT_FALSE(Survives(folder.path())) << "opened with " << length << " of " << size;
  }
}

TEST(MutatedCheckpointTest, HuggingFaceFoldersOfFusedFamilies) {
  constexpr uint32_t kSeed = 13;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  for (const char* architecture : {"falcon", "mpt", "gpt2"}) {
    SCOPED_TRACE(architecture);
    const TemporaryFolder folder("mutated");
    WriteHuggingFace(TinyModel::SmallestOf(architecture), folder.path(), TensorDtype::kF16);
    const std::filesystem::path weights = folder / "model.safetensors";
    uint64_t header = 0;
    std::memcpy(&header, ReadText(weights).data(), sizeof(header));
    EXPECT_LT(MutateAndOpen(weights, folder.path(), header + 8, 2000, kSeed), 2000);
    const size_t size = std::filesystem::file_size(folder / "config.json");
    EXPECT_LT(MutateAndOpen(folder / "config.json", folder.path(), size, 2000, kSeed), 2000);
  }
}

// What only the families with a fused projection, learned positions or ALiBi have.
TEST_F(HostileGgufTest, FusedFamiliesThatLie) {
  constexpr char kQkv[] = "blk.0.attn_qkv.weight";
  constexpr char kQkvBias[] = "blk.0.attn_qkv.bias";
  WriteGguf(TinyModel::SmallestOf("gpt2"), path_, TensorDtype::kF32);
  EXPECT_TRUE(Survives(path_));
  ExpectRefused(ErrorCode::kCorrupt, {kQkv, "[96, 32]", "[64, 32]"},
                [&](GgufSurgery& f) { Put(f.bytes, f.ExtentOf(kQkv, 1), uint64_t{64}); });
  ExpectRefused(ErrorCode::kCorrupt, {kQkvBias, "[96]", "[95]"},
                [&](GgufSurgery& f) { Put(f.bytes, f.ExtentOf(kQkvBias, 0), uint64_t{95}); });
  // A bias' description is eight bytes shorter than that of a matrix.
  ExpectRefused(ErrorCode::kUnsupported, {kQkvBias, "quantized bias"},
                [&](GgufSurgery& f) { Put(f.bytes, f.TypeOf(kQkvBias) - 8, uint32_t{8}); });
  ExpectRefused(ErrorCode::kCorrupt, {"\"blk.0.attn_q.weight\"", "missing"},
                [&](GgufSurgery& f) { f.bytes.replace(f.After(kQkv) - 15, 8, "attn_xyz"); });
  ExpectRefused(
      ErrorCode::kCorrupt, {"\"position_embd.weight\"", "[512, 32]", "[511, 32]"},
      [&](GgufSurgery& f) { Put(f.bytes, f.ExtentOf("position_embd.weight", 1), uint64_t{511}); });
  ExpectRefused(ErrorCode::kCorrupt, {"\"blk.0.ffn_norm.bias\"", "missing"}, [&](GgufSurgery& f) {
    f.bytes.replace(f.After("blk.0.ffn_norm.bias") - 4, 4, "sbia");
  });
  ExpectRefused(ErrorCode::kCorrupt, {"head_count", "does not divide"}, [&](GgufSurgery& f) {
    Put(f.bytes, f.ValueOf("gpt2.attention.head_count"), uint32_t{3});
  });

  WriteGguf(TinyModel::SmallestOf("mpt"), path_, TensorDtype::kF32);
  ExpectRefused(ErrorCode::kUnsupported, {"without ALiBi"}, [&](GgufSurgery& f) {
    Put(f.bytes, f.ValueOf("mpt.attention.max_alibi_bias"), 0.0f);
  });
  ExpectRefused(ErrorCode::kCorrupt, {"ALiBi"}, [&](GgufSurgery& f) {
    Put(f.bytes, f.ValueOf("mpt.attention.max_alibi_bias"),
        std::numeric_limits<float>::quiet_NaN());
  });
  TinyModel clipped = TinyModel::SmallestOf("mpt");
  clipped.qkv_clip = 1;
  WriteGguf(clipped, path_, TensorDtype::kF32);
  ExpectRefused(ErrorCode::kCorrupt, {"clamp"},
                [&](GgufSurgery& f) { Put(f.bytes, f.ValueOf("mpt.attention.clamp_kqv"), -1.0f); });
}

}  // namespace
}  // namespace promptdb
