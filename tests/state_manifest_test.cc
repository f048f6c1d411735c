#include "storage/state_manifest.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/some_manifest.h"
#include "tests/support/expect_error.h"

namespace promptdb {
namespace {

constexpr KvShape kSmall{3, 2, 16, KvDtype::kBf16};
constexpr KvShape kLarge{6, 4, 128, KvDtype::kBf16};

TEST(StateManifestTest, EveryFieldComesBack) {
  StateManifest manifest = ManifestOf(7, kLarge, 1000);
  manifest.label = "städte.\"quoted\" 日本";
  manifest.token_ids = {0, -1, 2'000'000'000, 5};
  const StateManifest read = DecodeManifest(EncodeManifest(manifest));
  EXPECT_EQ(read.key, manifest.key);
  EXPECT_EQ(read.shape, manifest.shape);
  EXPECT_EQ(read.tokens, manifest.tokens);
  EXPECT_EQ(read.start_position, manifest.start_position);
  EXPECT_EQ(read.label, manifest.label);
  EXPECT_EQ(read.model, manifest.model);
  EXPECT_EQ(read.context, manifest.context);
  EXPECT_EQ(read.token_ids, manifest.token_ids);
  EXPECT_EQ(read.created_at, manifest.created_at);
  EXPECT_EQ(read.encode_ms, manifest.encode_ms);

  manifest.label = "not \xff UTF-8";
  manifest.encode_ms = 1.0 / 0.0;
  EXPECT_EQ(DecodeManifest(EncodeManifest(manifest)).key, manifest.key);
}

TEST(StateManifestTest, ARowUnderAnotherKeyIsCorrupt) {
  const StateManifest manifest = ManifestOf(7, kSmall, 3);
  const std::string row = EncodeManifest(manifest);
  EXPECT_EQ(DecodeManifestAt(manifest.key.ToBytes(), row).key, manifest.key);
  for (const std::string& key : {ManifestOf(8, kSmall, 3).key.ToBytes(), std::string()}) {
    ExpectError(ErrorCode::kCorrupt, {"another state"}, [&] { DecodeManifestAt(key, row); });
  }
}

TEST(StateManifestTest, DamagedRowsAreCorruptNeverACrash) {
  const std::string row = EncodeManifest(ManifestOf(7, kSmall, 3));
  for (size_t size = 0; size < row.size(); ++size) {
    try {
      const StateManifest read = DecodeManifest(row.substr(0, size));
      EXPECT_LT(read.token_ids.size(), 3u);  // a cut between token ids is none in the format
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
  for (size_t at = 0; at < row.size(); ++at) {
    std::string changed = row;
    changed[at] = static_cast<char>(changed[at] ^ 0x15);
    try {
      DecodeManifest(changed);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace promptdb
