// Hugging Face folders whose safetensors files are made to mislead: they give an Error, and never
// make the reader allocate what the file does not back. Mutations are in
// hostile_checkpoint_test.cc.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/hostile_checkpoint.h"
#include "tests/support/text_file.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

using nlohmann::ordered_json;

class HostileSafetensorsTest : public testing::Test {
 protected:
  HostileSafetensorsTest() : folder_("hostile") {
    WriteHuggingFace(TinyModel::SmallestOf("llama"), folder_.path(), TensorDtype::kF32);
    const std::string bytes = ReadText(folder_ / "model.safetensors");
    uint64_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof(size));
    header_ = ordered_json::parse(bytes.substr(8, size));
    data_ = bytes.substr(8 + size);
  }

  void Write(const std::string& header, uint64_t claimed_size) {
    std::string bytes(reinterpret_cast<const char*>(&claimed_size), 8);
    WriteText(folder_ / "model.safetensors", bytes + header + data_);
  }

  void ExpectRefused(ErrorCode code, const std::vector<std::string>& parts,
                     const std::string& header) {
    SCOPED_TRACE(header.substr(0, 100));
    Write(header, header.size());
    ExpectError(code, parts, [&] { Checkpoint::Open(folder_.path()); });
  }

  // With the entry of one tensor changed.
  void ExpectRefused(ErrorCode code, const std::vector<std::string>& parts,
                     const std::function<void(ordered_json&)>& change) {
    ordered_json header = header_;
    change(header["model.norm.weight"]);
    ExpectRefused(code, parts, header.dump());
  }

  TemporaryFolder folder_;
  ordered_json header_;
  std::string data_;
};

TEST_F(HostileSafetensorsTest, HeadersThatClaimTooMuch) {
  const std::string header = header_.dump();
  for (const uint64_t size : {uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7,
                              uint64_t{100'000'001}, header.size() + data_.size() + 1}) {
    Write(header, size);
    ExpectError(ErrorCode::kCorrupt, {"header is larger", std::to_string(size)},
                [&] { Checkpoint::Open(folder_.path()); });
  }
  Write(header, 0);
  ExpectError(ErrorCode::kCorrupt, {"JSON"}, [&] { Checkpoint::Open(folder_.path()); });
  ExpectRefused(ErrorCode::kCorrupt, {"JSON is not an object"}, std::string("[1, 2]"));
  ExpectRefused(ErrorCode::kCorrupt, {"nested too deeply"},
                std::string(1000000, '[') + std::string(1000000, ']'));
  ExpectRefused(ErrorCode::kCorrupt, {"JSON is not valid"}, std::string(1000, '{'));
  ExpectRefused(ErrorCode::kCorrupt, {"\"model.norm.weight\"", "twice"},
                header.substr(0, header.size() - 1) + ",\"model.norm.weight\":{}}");
  ExpectRefused(ErrorCode::kCorrupt, {"belong to no tensor"}, std::string("{}"));
}

TEST_F(HostileSafetensorsTest, TensorsThatLie) {
  const std::string name = "\"model.norm.weight\"";
  const auto begin = header_["model.norm.weight"]["data_offsets"][0].get<uint64_t>();
  using Entry = ordered_json;
  ExpectRefused(ErrorCode::kUnsupported, {name, "F64"}, [](Entry& e) {
    e["dtype"] = "F64";
    e["shape"] = {16};
  });
  ExpectRefused(ErrorCode::kUnsupported, {name, "\"F3\""}, [](Entry& e) { e["dtype"] = "F3"; });
  ExpectRefused(ErrorCode::kCorrupt, {name, "lacks"}, [](Entry& e) { e["dtype"] = 4; });
  ExpectRefused(ErrorCode::kCorrupt, {name, "lacks"}, [](Entry& e) { e.erase("shape"); });
  ExpectRefused(ErrorCode::kCorrupt, {name, "lacks"}, [](Entry& e) { e = "text"; });
  ExpectRefused(ErrorCode::kCorrupt, {name, "[33]", "132", "128"},
                [](Entry& e) { e["shape"] = {33}; });
  // Equal in bytes, different in shape.
  ExpectRefused(ErrorCode::kCorrupt, {name, "[32]", "[4, 8]"}, [](Entry& e) {
    e["shape"] = {4, 8};
  });
  ExpectRefused(ErrorCode::kCorrupt, {name, "too many dimensions"},
                [](Entry& e) { e["shape"] = std::vector<int>(1000, 1); });
  for (const ordered_json& shape :
       {ordered_json{-32}, ordered_json{3.5}, ordered_json{"32"}, ordered_json{1e300}}) {
    ExpectRefused(ErrorCode::kCorrupt, {name, "bad extent"},
                  [&](Entry& e) { e["shape"] = ordered_json::array({shape}); });
  }
  for (const std::vector<uint64_t>& shape : std::vector<std::vector<uint64_t>>{
           {0}, {~uint64_t{0}}, {uint64_t{1} << 62}, {uint64_t{1} << 32, uint64_t{1} << 32}}) {
    ExpectRefused(ErrorCode::kCorrupt, {name, "larger than the file"},
                  [&](Entry& e) { e["shape"] = shape; });
  }
  ExpectRefused(ErrorCode::kCorrupt, {name, "past the end of the file"}, [&](Entry& e) {
    e["data_offsets"] = {data_.size(), data_.size() + 128};
  });
  ExpectRefused(ErrorCode::kCorrupt, {name, "past the end of the file"}, [](Entry& e) {
    e["data_offsets"] = {~uint64_t{0} - 127, ~uint64_t{0}};
  });
  ExpectRefused(ErrorCode::kCorrupt, {name, "past the end of the file"}, [&](Entry& e) {
    e["data_offsets"] = {begin + 128, begin};
  });
  ExpectRefused(ErrorCode::kCorrupt, {name, "data_offsets"},
                [](Entry& e) { e["data_offsets"] = {0}; });
  ExpectRefused(ErrorCode::kCorrupt, {"overlaps"}, [](Entry& e) { e["data_offsets"] = {0, 128}; });
}

TEST_F(HostileSafetensorsTest, IndexThatLeadsAstray) {
  const std::filesystem::path index = folder_ / "model.safetensors.index.json";
  std::filesystem::rename(folder_ / "model.safetensors", folder_ / "part.safetensors");
  ordered_json weight_map;
  for (const auto& [name, entry] : header_.items()) {
    if (name != "__metadata__") weight_map[name] = "part.safetensors";
  }
  const auto write = [&](const ordered_json& map) {
    WriteText(index, ordered_json{{"weight_map", map}}.dump());
  };
  write(weight_map);
  EXPECT_TRUE(Survives(folder_.path()));

  const std::string name = "model.norm.weight";
  // The file is really there, one folder up: only the check of the name stands in between.
  std::filesystem::create_directory(folder_ / "inner");
  for (const char* astray :
       {"../part.safetensors", "inner/../part.safetensors", "..\\x.safetensors",
        ".hidden.safetensors", "model.bin", "", "/etc/x.safetensors"}) {
    ordered_json map = weight_map;
    map[name] = astray;
    write(map);
    SCOPED_TRACE(astray);
    ExpectError(ErrorCode::kCorrupt, {"\"" + name + "\"", "no plain"},
                [&] { Checkpoint::Open(folder_.path()); });
    ExpectError(ErrorCode::kCorrupt, {"no plain"}, [&] { CheckpointFingerprint(folder_.path()); });
  }
  ordered_json map = weight_map;
  map[name] = "absent.safetensors";
  write(map);
  ExpectError(ErrorCode::kIo, {"absent.safetensors"}, [&] { Checkpoint::Open(folder_.path()); });
  map = weight_map;
  map["model.extra.weight"] = "part.safetensors";
  write(map);
  ExpectError(ErrorCode::kCorrupt, {"\"model.extra.weight\"", "not in the file"},
              [&] { Checkpoint::Open(folder_.path()); });
  // The same tensors in two files.
  std::filesystem::copy(folder_ / "part.safetensors", folder_ / "again.safetensors");
  map = weight_map;
  map[name] = "again.safetensors";
  write(map);
  ExpectError(ErrorCode::kCorrupt, {"stands in two files"},
              [&] { Checkpoint::Open(folder_.path()); });
  WriteText(index, "{\"weight_map\": 5}");
  ExpectError(ErrorCode::kCorrupt, {"weight_map"}, [&] { Checkpoint::Open(folder_.path()); });
}

}  // namespace
}  // namespace promptdb
