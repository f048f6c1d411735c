// EXPORT STATES and IMPORT STATES: what is carried from one database to another, and files that are
// cut, changed, forged or of another release. Each is refused by one error; what came before stays.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <thread>

#include "storage/state_file.h"
#include "storage/stored_blocks.h"
#include "tests/chat_bench.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

constexpr char kSchemaS[] =
    "CREATE SCHEMA s USING m (SYSTEM 'You are kind.', MODULE a AS 'alpha beta', MODULE b AS 'x', "
    "SCAFFOLD both (a, b));";
constexpr char kAsk[] = "SELECT GENERATE (max_tokens => 6) FROM s USE a, b PROMPT 'go on'";

int64_t Number(const RecordingSink& sink, size_t column) {
  return std::get<int64_t>(sink.rows.at(0).at(column));
}

bool HasNotice(const RecordingSink& sink, const std::string& part) {
  return std::any_of(sink.notices.begin(), sink.notices.end(),
                     [&](const std::string& notice) { return notice.find(part) != notice.npos; });
}

// A bench with a schema and its states, the file of them, and room for another database with the
// same model.
class StateTransferTest : public testing::Test {
 protected:
  StateTransferTest() : folder_("transfer"), bench_(Tiny("llama", 512)) {
    bench_.Run(std::string(kSchemaS) + "WARM s;");
    answer_ = TextOf(bench_.Run(std::string(kAsk) + " WITH (cache = off);"));
    bench_.Run("EXPORT STATES FROM s TO " + Place("s.states") + ";");
    states_ = static_cast<int64_t>(bench_.StatesOnDisk());
  }

  std::string Place(const std::string& name) const { return QuoteText((folder_ / name).string()); }
  // Another database with the same weights, schema or not.
  std::unique_ptr<Database> Another(const std::string& name, bool with_schema = true) {
    auto database = std::make_unique<Database>(folder_ / name);
    if (database->rep().catalog.IsEmpty()) {
      Say(*database,
          "CREATE MODEL m FROM " + QuoteText(bench_.path()) + ";" + (with_schema ? kSchemaS : ""));
    }
    return database;
  }
  // All that is in the cache is whole, and the answer is that of no cache.
  void ExpectWhole(Database& database) {
    for (const std::vector<Value>& row : Say(database, "CHECK DATABASE;").rows) {
      EXPECT_EQ(std::get<int64_t>(row[3]), 0) << std::get<std::string>(row[0]);
    }
    EXPECT_EQ(TextOf(Say(database, std::string(kAsk) + ";")), answer_);
  }

  const TemporaryFolder folder_;
  Bench bench_;
  std::string answer_;
  int64_t states_ = 0;
};

TEST_F(StateTransferTest, AnotherDatabaseHasNothingToCompute) {
  ASSERT_GE(states_, 5);
  const auto other = Another("db");
  const RecordingSink imported = Say(*other, "IMPORT STATES FROM " + Place("s.states") + ";");
  EXPECT_EQ(Number(imported, 0), states_);
  EXPECT_EQ(Number(imported, 1), bench_.cache().stats().disk_bytes);
  const RecordingSink warm = Say(*other, "WARM s;");
  EXPECT_EQ(Number(warm, 1), 0) << "encoded";
  const RecordingSink asked = Say(*other, std::string(kAsk) + ";");
  EXPECT_EQ(TextOf(asked), answer_);
  EXPECT_EQ(CachedTokens(asked), CachedTokens(bench_.Run(std::string(kAsk) + ";")));
  ExpectWhole(*other);
  // Byte for byte the same blocks, and manifests as they were.
  for (const StateManifest& manifest : bench_.cache().List()) {
    const auto there = other->rep().cache.Manifest(manifest.key);
    ASSERT_TRUE(there) << manifest.label;
    EXPECT_EQ(EncodeManifest(*there), EncodeManifest(manifest));
    const BlockGrid grid(manifest.shape, manifest.tokens);
    for (int i = 0; i < grid.blocks(); ++i) {
      EXPECT_EQ(other->rep().rocks.Get(Family::kBlocks, BlockKey(manifest.key, i)),
                bench_.database().rep().rocks.Get(Family::kBlocks, BlockKey(manifest.key, i)));
    }
  }
  // The same file again changes nothing; an export of it is the same but for its time.
  EXPECT_EQ(Number(Say(*other, "IMPORT STATES FROM " + Place("s.states") + ";"), 2), states_);
  Say(*other, "EXPORT STATES FROM s TO " + Place("again") + ";");
  EXPECT_EQ(ReadText(folder_ / "again").substr(64), ReadText(folder_ / "s.states").substr(64));
}

TEST_F(StateTransferTest, ExactReuseAndSharedStatesComeAlong) {
  bench_.Run(std::string(kAsk) + " WITH (reuse = 'exact');");
  // A schema of the same text finds the states of s; they are labelled as those of s.
  bench_.Run("CREATE SCHEMA twin USING m (SYSTEM 'You are kind.', MODULE a AS 'alpha beta');");
  EXPECT_EQ(Number(bench_.Run("WARM twin;"), 1), 0);
  bench_.Run("EXPORT STATES FROM s TO " + Place("all") + ";");
  bench_.Run("EXPORT STATES FROM s MODULE a TO " + Place("a") + ";");
  const RecordingSink twin = bench_.Run("EXPORT STATES FROM twin TO " + Place("twin") + ";");
  EXPECT_EQ(Number(twin, 1), 3);
  EXPECT_EQ(Number(twin, 3), 0);
  const auto other = Another("db");
  EXPECT_EQ(Number(Say(*other, "IMPORT STATES FROM " + Place("a") + ";"), 0), 1);
  EXPECT_GT(Number(Say(*other, "IMPORT STATES FROM " + Place("all") + ";"), 0), states_ - 1);
  const std::string exact = std::string(kAsk) + " WITH (reuse = 'exact');";
  EXPECT_EQ(CachedTokens(Say(*other, exact)), CachedTokens(bench_.Run(exact)));
  EXPECT_EQ(TextOf(Say(*other, exact)), TextOf(bench_.Run(exact)));
}

TEST_F(StateTransferTest, StatesOfChatsStayAtHome) {
  bench_.Run("BEGIN CHAT t FROM s USE a; CONTINUE t (max_tokens => 3) PROMPT 'hello';");
  EXPECT_EQ(Number(bench_.Run("EXPORT STATES FROM s TO " + Place("more") + ";"), 1), states_);
}

TEST_F(StateTransferTest, TheDiskBudgetHolds) {
  const auto other = Another("db");
  const int64_t budget = bench_.cache().stats().disk_bytes / 2;
  Say(*other, "SET disk_cache = " + std::to_string(budget) + ";");
  const RecordingSink imported = Say(*other, "IMPORT STATES FROM " + Place("s.states") + ";");
  EXPECT_GT(Number(imported, 0), 0);
  EXPECT_EQ(Number(imported, 0) + Number(imported, 4), states_);
  EXPECT_TRUE(HasNotice(imported, "disk_cache has no room"));
  EXPECT_LE(other->rep().cache.stats().disk_bytes, budget);
  ExpectWhole(*other);
}

TEST_F(StateTransferTest, ADamagedStateIsNotExported) {
  const auto victim = bench_.cache().List().at(1);
  Rocks& rocks = bench_.database().rep().rocks;
  std::string block = *rocks.Get(Family::kBlocks, BlockKey(victim.key, 0));
  block.back() = static_cast<char>(block.back() ^ 1);
  Rocks::Batch batch;
  batch.Put(Family::kBlocks, BlockKey(victim.key, 0), block);
  rocks.Write(std::move(batch));
  const RecordingSink exported = bench_.Run("EXPORT STATES FROM s TO " + Place("less") + ";");
  EXPECT_EQ(Number(exported, 1), states_ - 1);
  EXPECT_EQ(Number(exported, 3), 1);
  EXPECT_TRUE(HasNotice(exported, '"' + victim.label + "\" is damaged"));
  const auto other = Another("db");
  EXPECT_EQ(Number(Say(*other, "IMPORT STATES FROM " + Place("less") + ";"), 0), states_ - 1);
  ExpectWhole(*other);
}

// Where a statement fails, what was imported before is whole and stays; then the whole file brings
// the rest.
class DamagedFileTest : public StateTransferTest {
 protected:
  DamagedFileTest() : whole_(ReadText(folder_ / "s.states")), other_(Another("db")) {}

  // Imports `text` into an empty cache, and returns the error, which there must be.
  Error Refusal(const std::string& text) {
    for (const StateManifest& manifest : other_->rep().cache.List()) {
      other_->rep().cache.Erase(manifest.key);
    }
    WriteText(folder_ / "damaged", text);
    try {
      Say(*other_, "IMPORT STATES FROM " + Place("damaged") + ";");
    } catch (const Error& error) {
      const auto there = static_cast<int64_t>(other_->rep().cache.List().size());
      EXPECT_LE(there, states_);
      EXPECT_EQ(error.hint().find("stays") != std::string::npos, there > 0) << error.hint();
      most_kept_ = std::max(most_kept_, there);
      return error;
    }
    ADD_FAILURE() << "a damaged file was taken for a whole one";
    return Error(ErrorCode::kInternal, "");
  }

  // The entry that stands at `at`, changed and sealed anew, as by one who means harm.
  std::string Forged(size_t at, const std::function<void(StateFileEntry&)>& change) {
    StateFileEntry entry;
    std::memcpy(static_cast<void*>(&entry), whole_.data() + at, sizeof entry);
    change(entry);
    const std::string digest =
        DigestBytes(
            std::as_bytes(std::span(&entry, 1)).first(offsetof(StateFileEntry, header_digest)))
            .ToBytes();
    std::memcpy(entry.header_digest, digest.data(), digest.size());
    std::string text = whole_;
    std::memcpy(text.data() + at, &entry, sizeof entry);
    return text;
  }

  const std::string whole_;
  const std::unique_ptr<Database> other_;
  int64_t most_kept_ = 0;
};

TEST_F(DamagedFileTest, EveryBitOfEveryHeaderCounts) {
  // The file's header; the first entry with its manifest; the first block's header; the end.
  const size_t entry = sizeof(StateFileHeader);
  StateFileEntry first;
  std::memcpy(static_cast<void*>(&first), whole_.data() + entry, sizeof first);
  const size_t manifest = entry + sizeof first, block = manifest + first.manifest_bytes;
  const size_t end = whole_.size() - sizeof(StateFileEnd);
  struct Part {
    size_t begin, end, step;
  };
  int refused = 0;
  for (const Part& part :
       {Part{0, manifest, 1}, Part{manifest, block, 7}, Part{block, block + kBlockHeaderBytes, 1},
        Part{end, whole_.size(), 1}}) {
    for (size_t at = part.begin; at < part.end; at += part.step) {
      SCOPED_TRACE(at);
      std::string text = whole_;
      text[at] = static_cast<char>(text[at] ^ (1 << (at % 8)));
      const Error error = Refusal(text);
      const bool is_version = at >= 8 && at < 16;
      EXPECT_TRUE(error.code() == ErrorCode::kCorrupt ||
                  (is_version && error.code() == ErrorCode::kUnsupported))
          << error.message();
      EXPECT_NE(error.message().find("damaged"), std::string::npos) << error.message();
      EXPECT_NE(error.hint(), "");
      ++refused;
    }
  }
  std::printf("%d flipped bits were refused\n", refused);
  EXPECT_EQ(most_kept_, states_);  // where the end alone was damaged
  WriteText(folder_ / "damaged", whole_);
  Say(*other_, "IMPORT STATES FROM " + Place("damaged") + ";");
  ExpectWhole(*other_);
}

TEST_F(DamagedFileTest, AnyCutIsRefused) {
  int refused = 0;
  for (size_t size = 0; size < whole_.size(); size += size < 300 ? 1 : 131) {
    SCOPED_TRACE(size);
    const Error error = Refusal(whole_.substr(0, size));
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.message();
    EXPECT_NE(error.hint(), "");
    ++refused;
  }
  EXPECT_EQ(Refusal(whole_.substr(0, whole_.size() - 1)).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(Refusal(whole_ + "x").code(), ErrorCode::kCorrupt);
  std::printf("%d cuts were refused\n", refused);
  EXPECT_EQ(most_kept_, states_);
  ExpectWhole(*other_);
}

TEST_F(DamagedFileTest, FlippedPayloadsCostTheirStateAndWhatFollows) {
  for (size_t at = 1000; at < whole_.size() - sizeof(StateFileEnd); at += 397) {
    SCOPED_TRACE(at);
    std::string text = whole_;
    text[at] = static_cast<char>(text[at] ^ 0x40);
    EXPECT_EQ(Refusal(text).code(), ErrorCode::kCorrupt);
  }
  EXPECT_GT(most_kept_, 0);
  ExpectWhole(*other_);
}

TEST_F(DamagedFileTest, ANewerReleaseIsToldFromDamage) {
  for (const size_t field : {offsetof(StateFileHeader, format_version),
                             offsetof(StateFileHeader, block_format_version)}) {
    std::string text = whole_;
    text[field] = 99;
    const Error error = Refusal(text);
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(error.message().find("newer release"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("99"), std::string::npos) << error.message();
  }
}

TEST_F(DamagedFileTest, ForgedEntriesAreRefused) {
  const size_t at = sizeof(StateFileHeader);
  const std::vector<std::function<void(StateFileEntry&)>> changes = {
      [](StateFileEntry& entry) { entry.number = 1; },
      [](StateFileEntry& entry) { entry.manifest_bytes = 0xffffffff; },
      [](StateFileEntry& entry) { entry.manifest_bytes = 1 << 27; },
      [](StateFileEntry& entry) { entry.manifest_bytes = 0; },
      [](StateFileEntry& entry) { entry.blocks = 0; },
      [](StateFileEntry& entry) { entry.blocks = 1 << 30; },
      [](StateFileEntry& entry) { entry.block_bytes = uint64_t{1} << 60; },
      [](StateFileEntry& entry) { entry.manifest_digest[0] ^= 1; }};
  for (const auto& change : changes) {
    const Error error = Refusal(Forged(at, change));
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.message();
  }
  // The same entry sealed anew is the same entry.
  EXPECT_EQ(Forged(at, [](StateFileEntry&) {}), whole_);
}

// States that an honest writer never writes, in files that are whole.
TEST_F(DamagedFileTest, ForgedManifestsAreRefused) {
  const auto refusal = [&](const std::function<void(StateManifest&)>& change) {
    StateManifest manifest = bench_.cache().List().at(0);
    const BlockGrid grid(manifest.shape, manifest.tokens);
    const BlockBuffer block =
        ReadStoredBlock(bench_.database().rep().rocks, manifest.key, manifest.shape, grid, 0);
    change(manifest);
    fs::remove(folder_ / "forged");
    StateFileWriter file(folder_ / "forged", 0);
    file.BeginState(manifest);
    file.AddBlock(block);
    file.Finish();
    return Refusal(ReadText(folder_ / "forged"));
  };
  for (const auto& change : std::vector<std::function<void(StateManifest&)>>{
           [](StateManifest& manifest) { manifest.key.low ^= 1; },
           [](StateManifest& manifest) { manifest.tokens += 1; },
           [](StateManifest& manifest) { manifest.tokens = 0; },
           [](StateManifest& manifest) { manifest.tokens = 2'000'000'000; },
           [](StateManifest& manifest) { manifest.start_position = -1; },
           [](StateManifest& manifest) { manifest.token_ids.push_back(1); },
           [](StateManifest& manifest) { manifest.of_chat = true; },
           [](StateManifest& manifest) { manifest.shape.head_dim *= 2; },
           [](StateManifest& manifest) { manifest.shape.layers = 4096; },
       }) {
    const Error error = refusal(change);
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.message();
  }
}

// A whole state of the right model, but with another model's shape: attention would read past it.
TEST_F(DamagedFileTest, AStateOfAnotherShapeThanItsModelsIsRefused) {
  StateManifest manifest = bench_.cache().List().at(0);
  manifest.shape.layers += 1;
  const BlockGrid grid(manifest.shape, manifest.tokens);
  StateFileWriter file(folder_ / "forged", 0);
  file.BeginState(manifest);
  for (int i = 0; i < grid.blocks(); ++i) {
    BlockBuffer block(grid.Extent(i).payload_bytes);
    std::memset(block.payload(), 0, static_cast<size_t>(block.payload_bytes()));
    SealBlock(manifest.key, manifest.shape, grid.Extent(i), block);
    file.AddBlock(block);
  }
  file.Finish();
  const Error error = Refusal(ReadText(folder_ / "forged"));
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_NE(error.message().find("another shape"), std::string::npos) << error.message();
}

// ---- Stopped, interrupted, no room ------------------------------------------------------------

class StoppingSink : public RecordingSink {
 public:
  explicit StoppingSink(int at) : left_(at) {}
  void OnProgress(std::string_view stage, int64_t done, int64_t total, std::string_view) override {
    if (!stage.ends_with("porting states")) return;
    EXPECT_LE(done, total);
    EXPECT_GE(done, last_);
    last_ = done;
    if (--left_ <= 0) is_canceled = true;
  }

 private:
  int left_;
  int64_t last_ = 0;
};

size_t FilesIn(const fs::path& folder) { return FilesOf(folder, "").size(); }

TEST_F(StateTransferTest, AStoppedExportLeavesNoFile) {
  const size_t files = FilesIn(folder_.path());
  for (int at = 1; at < 4; ++at) {
    StoppingSink sink(at);
    Session session(&bench_.database());
    ExpectError(ErrorCode::kCanceled, {"stopped"}, [&] {
      session.Execute("EXPORT STATES FROM s TO " + Place("stopped") + ";", sink);
    });
    EXPECT_EQ(FilesIn(folder_.path()), files);
  }
}

TEST_F(StateTransferTest, AStoppedImportKeepsWholeStatesAndGoesOnLater) {
  const auto other = Another("db");
  size_t kept = 0;
  for (int at = 1; at < 4; ++at) {
    StoppingSink sink(at);
    Session session(other.get());
    ExpectError(ErrorCode::kCanceled, {"stopped"},
                [&] { session.Execute("IMPORT STATES FROM " + Place("s.states") + ";", sink); });
    kept = std::max(kept, other->rep().cache.List().size());
    ExpectWhole(*other);
  }
  EXPECT_GT(kept, 0u);
  const RecordingSink rest = Say(*other, "IMPORT STATES FROM " + Place("s.states") + ";");
  EXPECT_EQ(Number(rest, 0) + Number(rest, 2), states_);
}

TEST_F(StateTransferTest, WhereNoFileCanBeWrittenThereIsNone) {
  const size_t files = FilesIn(folder_.path());
  const auto fails = [&](ErrorCode code, const std::string& part, const std::string& place) {
    ExpectError(code, {part}, [&] { bench_.Run("EXPORT STATES FROM s TO " + place + ";"); });
    EXPECT_EQ(FilesIn(folder_.path()), files);
  };
  fails(ErrorCode::kInvalidArgument, "exists already", Place("s.states"));
  fails(ErrorCode::kInvalidArgument, "exists already", QuoteText(folder_.path().string()));
  fails(ErrorCode::kIo, "No such file", Place("none/s.states"));
  fails(ErrorCode::kIo, "Not a directory", Place("s.states/x"));
  const fs::path own = bench_.database().folder() / "ingest/s.states";
  fails(ErrorCode::kInvalidArgument, "own folder", QuoteText(own.string()));
  // No file of this process may become larger: a full disk, to the writer.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{2000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  fails(ErrorCode::kIo, "cannot write", Place("large"));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  bench_.Run("EXPORT STATES FROM s TO " + Place("large") + ";");
}

TEST_F(StateTransferTest, AFullDiskIsAnErrorWithAHint) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=4k") != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  try {
    bench_.Run("EXPORT STATES FROM s TO " + Place("disk/s.states") + ";");
    ADD_FAILURE() << "the disk was large enough";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(error.message().find("No space left"), std::string::npos) << error.message();
    EXPECT_EQ(error.hint(), "Free some disk space.");
  }
  EXPECT_EQ(FilesIn(disk), 0u);
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(StateTransferTest, APipeIsNotWaitedFor) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  ExpectError(ErrorCode::kIo, {"no regular file"},
              [&] { bench_.Run("IMPORT STATES FROM " + Place("pipe") + ";"); });
}

// Exports while states come and go: every file is whole, and has whole states alone.
TEST_F(StateTransferTest, WhatHappensMeanwhileIsInTheFileWholeOrNotAtAll) {
  std::thread changing([&] {
    for (int i = 0; i < 30; ++i) {
      Say(bench_.database(), "EVICT s MODULE a; WARM s;");
    }
  });
  for (int i = 0; i < 10; ++i) {
    bench_.Run("EXPORT STATES FROM s TO " + Place("f" + std::to_string(i)) + ";");
  }
  changing.join();
  for (int i = 0; i < 10; ++i) {
    const auto other = Another("db" + std::to_string(i));
    const RecordingSink imported =
        Say(*other, "IMPORT STATES FROM " + Place("f" + std::to_string(i)) + ";");
    EXPECT_GT(Number(imported, 0), 0);
    EXPECT_LE(Number(imported, 0), states_);
    ExpectWhole(*other);
  }
}

}  // namespace
}  // namespace promptdb
