// Files of attention states. Every digest of the input is made right first: a checksum tells damage
// and not malice, and no mutation would come past one. What is read is written again as the same
// states.
#include <cstring>
#include <vector>

#include "storage/state_file.h"
#include "tests/fuzz/target.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

namespace promptdb {
namespace {

struct ReadState {
  StateManifest manifest;
  std::vector<BlockBuffer> blocks;
};

std::vector<ReadState> ReadStates(const std::filesystem::path& path) {
  StateFileReader reader(path);
  std::vector<ReadState> states;
  while (std::optional<StateManifest> manifest = reader.NextState()) {
    const BlockGrid grid(manifest->shape, manifest->tokens);
    ReadState state{std::move(*manifest), {}};
    for (int i = 0; i < grid.blocks(); ++i) state.blocks.push_back(reader.NextBlock());
    states.push_back(std::move(state));
  }
  return states;
}

std::string DigestOf(std::string_view bytes) {
  return DigestBytes(std::as_bytes(std::span(bytes.data(), bytes.size()))).ToBytes();
}

// Walks the file as its own lengths have it and puts every digest right.
class Resealer {
 public:
  explicit Resealer(std::string& bytes) : bytes_(bytes) {}

  void Run() {
    if (bytes_.size() < sizeof(StateFileHeader)) return;
    SealAt(0, offsetof(StateFileHeader, header_digest));
    size_t at = sizeof(StateFileHeader);
    std::string entries(16, '\0');
    while (bytes_.size() - at >= sizeof(StateFileEntry)) {
      uint64_t magic = 0;
      std::memcpy(&magic, bytes_.data() + at, sizeof(magic));
      if (magic == kStateEndMagic) {
        Put(at + offsetof(StateFileEnd, entries_digest), entries);
        SealAt(at, offsetof(StateFileEnd, header_digest));
        return;
      }
      StateFileEntry entry;
      std::memcpy(&entry, bytes_.data() + at, sizeof(entry));
      const size_t manifest_at = at + sizeof(entry);
      if (entry.manifest_bytes > bytes_.size() - manifest_at) return;
      const std::string_view row =
          std::string_view(bytes_).substr(manifest_at, entry.manifest_bytes);
      Put(at + offsetof(StateFileEntry, manifest_digest), DigestOf(row));
      SealAt(at, offsetof(StateFileEntry, header_digest));
      entries = DigestOf(entries + bytes_.substr(at + offsetof(StateFileEntry, header_digest), 16));
      const size_t blocks_at = manifest_at + entry.manifest_bytes;
      if (entry.block_bytes > bytes_.size() - blocks_at) return;
      SealBlocks(blocks_at, entry.block_bytes);
      at = blocks_at + entry.block_bytes;
    }
  }

 private:
  void Put(size_t at, const std::string& digest) {
    std::memcpy(bytes_.data() + at, digest.data(), digest.size());
  }
  // The digest of what stands before it.
  void SealAt(size_t at, size_t offset) {
    Put(at + offset, DigestOf(std::string_view(bytes_).substr(at, offset)));
  }
  void SealBlocks(size_t at, size_t length) {
    const size_t end = at + length;
    while (end - at >= sizeof(BlockHeader)) {
      BlockHeader header;
      std::memcpy(&header, bytes_.data() + at, sizeof(header));
      const size_t payload_at = at + sizeof(header);
      if (header.payload_bytes > end - payload_at) return;
      Put(at + offsetof(BlockHeader, payload_digest),
          DigestOf(std::string_view(bytes_).substr(payload_at, header.payload_bytes)));
      SealAt(at, offsetof(BlockHeader, header_digest));
      at = payload_at + header.payload_bytes;
    }
  }

  std::string& bytes_;
};

}  // namespace
}  // namespace promptdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  static const TemporaryFolder folder("fuzz");
  std::string bytes(TextOf(data, size));
  Resealer(bytes).Run();
  const std::filesystem::path file = folder / "in.states";
  WriteText(file, bytes);
  std::vector<ReadState> states;
  if (!Survives("", [&] { states = ReadStates(file); })) return 0;
  const std::filesystem::path copy = folder / "out.states";
  std::filesystem::remove(copy);
  StateFileWriter writer(copy, 0);
  for (const ReadState& state : states) {
    writer.BeginState(state.manifest);
    for (const BlockBuffer& block : state.blocks) writer.AddBlock(block);
  }
  writer.Finish();
  const std::vector<ReadState> again = ReadStates(copy);
  Check(again.size() == states.size(), "as many states are read again");
  for (size_t i = 0; i < states.size(); ++i) {
    Check(EncodeManifest(again[i].manifest) == EncodeManifest(states[i].manifest),
          "a state's manifest is the same when it is read again");
    Check(again[i].blocks.size() == states[i].blocks.size(), "a state has the same blocks");
  }
  return 0;
}
