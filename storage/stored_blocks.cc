#include "storage/stored_blocks.h"

#include <cstring>
#include <optional>

#include "base/error.h"

namespace promptdb {

std::string BlockKey(const Digest& state, int index) {
  std::string key = state.ToBytes();
  for (int shift = 24; shift >= 0; shift -= 8) {
    key += static_cast<char>(static_cast<uint32_t>(index) >> shift);
  }
  return key;
}

// A block index never reaches 2^32 - 1.
std::string EndOfBlocks(const Digest& state) { return state.ToBytes() + "\xff\xff\xff\xff"; }

namespace {

BlockBuffer ReadBlock(const Rocks& rocks, const Digest& state, const KvShape& shape,
                      const BlockGrid& grid, int index, Rocks::Checksums checksums) {
  const BlockExtent extent = grid.Extent(index);
  BlockBuffer block(extent.payload_bytes);
  const bool found = rocks.View(
      Family::kBlocks, BlockKey(state, index),
      [&](std::string_view bytes) {
        if (static_cast<int64_t>(bytes.size()) != block.size()) {
          throw Error(ErrorCode::kCorrupt,
                      "stored block of another size: " + std::to_string(bytes.size()) + " bytes");
        }
        std::memcpy(block.data(), bytes.data(), bytes.size());
      },
      checksums);
  if (!found) throw Error(ErrorCode::kCorrupt, "a stored block is missing");
  // RocksDB has checked the bytes themselves; going over the payload once more would cost a third
  // of the rate.
  VerifyBlockHeader(state, shape, extent, block);
  return block;
}

}  // namespace

BlockBuffer ReadStoredBlock(const Rocks& rocks, const Digest& state, const KvShape& shape,
                            const BlockGrid& grid, int index) {
  return ReadBlock(rocks, state, shape, grid, index, Rocks::Checksums::kVerify);
}

BlockBuffer StoredBlocks::Read(const Digest& state, const KvShape& shape, const BlockGrid& grid,
                               int index) {
  const std::optional<uint64_t> tables = rocks_.TableGeneration();
  if (tables && IsChecked(state, index, *tables)) {
    return ReadBlock(rocks_, state, shape, grid, index, Rocks::Checksums::kTrust);
  }
  BlockBuffer block = ReadStoredBlock(rocks_, state, shape, grid, index);
  if (tables && rocks_.TableGeneration() == tables) NoteChecked(state, grid, index, *tables);
  return block;
}

int64_t StoredBlocks::CheckedBytes(const Digest& state) const {
  const std::optional<uint64_t> tables = rocks_.TableGeneration();
  const std::scoped_lock lock(mutex_);
  if (tables != tables_) return 0;
  const auto found = checked_.find(state);
  return found == checked_.end() ? 0 : found->second.bytes;
}

void StoredBlocks::Forget(const Digest& state) {
  const std::scoped_lock lock(mutex_);
  checked_.erase(state);
}

bool StoredBlocks::IsChecked(const Digest& state, int index, uint64_t tables) const {
  const std::scoped_lock lock(mutex_);
  if (tables != tables_) return false;
  const auto found = checked_.find(state);
  return found != checked_.end() && found->second.of_block[static_cast<size_t>(index)];
}

void StoredBlocks::NoteChecked(const Digest& state, const BlockGrid& grid, int index,
                               uint64_t tables) {
  const std::scoped_lock lock(mutex_);
  if (tables < tables_) return;
  if (tables > tables_) {
    checked_.clear();
    tables_ = tables;
  }
  Marks& marks = checked_[state];
  marks.of_block.resize(static_cast<size_t>(grid.blocks()));
  if (marks.of_block[static_cast<size_t>(index)]) return;
  marks.of_block[static_cast<size_t>(index)] = true;
  marks.bytes += grid.Extent(index).payload_bytes + kBlockHeaderBytes;
}

}  // namespace promptdb
