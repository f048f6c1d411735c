// Databases of every format version so far stay readable, and those of later ones are refused.
// tests/data/format-1 is what the first release wrote (tests/support/make_format_fixture.cc).
#include <gtest/gtest.h>

#include "tests/chat_bench.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/format_fixture.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

class FormatTest : public testing::Test {
 protected:
  FormatTest() : folder_("format") {
    CopyFolder(fs::path(PROMPTDB_SOURCE_DIR) / "tests/data/format-1", folder_ / "old");
    model_ = QuoteText((folder_ / "old" / kFixtureModel).string());
  }

  void ExpectReadable(Database& database) {
    for (const std::vector<Value>& row : Say(database, "CHECK DATABASE;").rows) {
      const auto& kind = std::get<std::string>(row[0]);
      // What was just restored lies in the log as yet.
      if (kind != "table files") {
        EXPECT_GT(std::get<int64_t>(row[1]), 0) << kind;
      }
      EXPECT_EQ(std::get<int64_t>(row[3]), 0) << kind;
    }
    Say(database, "CREATE OR REPLACE MODEL m FROM " + model_ + ";");
    const RecordingSink asked = Say(database, std::string(kFixtureAsk) + ";");
    EXPECT_EQ(TextOf(asked),
              TextOf(Say(database, std::string(kFixtureAsk) + " WITH (cache = off);")));
    EXPECT_GT(CachedTokens(asked), 0);
    EXPECT_EQ(ChatNamed(database, "t").turns.size(), 1u);
    const RecordingSink next = Say(database, "CONTINUE t (max_tokens => 3) PROMPT 'and now?';");
    EXPECT_GT(CachedTokens(next), 0);
  }

  const TemporaryFolder folder_;
  std::string model_;
};

TEST_F(FormatTest, ADatabaseOfFormat1IsReadable) {
  Database database(folder_ / "old/database");
  ExpectReadable(database);
}

TEST_F(FormatTest, ABackupOfFormat1CanBeRestored) {
  Database database(folder_ / "new");
  Say(database, "RESTORE FROM " + QuoteText((folder_ / "old/database").string()) + ";");
  ExpectReadable(database);
}

TEST_F(FormatTest, ANewerFormatIsRefusedAndLeftAlone) {
  const fs::path newer = folder_ / "old/database";
  const std::string version = std::to_string(kDatabaseFormatVersion + 1);
  {
    Rocks rocks(newer);
    Rocks::Batch batch;
    batch.Put(Family::kMeta, "format_version", version);
    rocks.Write(std::move(batch));
  }
  ExpectError(ErrorCode::kUnsupported, {"newer release", version},
              [&] { const Database database(newer); });
  Database database(folder_ / "new");
  ExpectError(ErrorCode::kUnsupported, {"newer release", version},
              [&] { Say(database, "RESTORE FROM " + QuoteText(newer.string()) + ";"); });
  EXPECT_TRUE(database.rep().catalog.IsEmpty());
}

}  // namespace
}  // namespace promptdb
