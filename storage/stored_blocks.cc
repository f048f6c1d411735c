#include "storage/stored_blocks.h"

#include <cstring>

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

BlockBuffer ReadStoredBlock(const Rocks& rocks, const Digest& state, const KvShape& shape,
                            const BlockGrid& grid, int index) {
  const BlockExtent extent = grid.Extent(index);
  BlockBuffer block(extent.payload_bytes);
  const bool found =
      rocks.View(Family::kBlocks, BlockKey(state, index), [&](std::string_view bytes) {
        if (static_cast<int64_t>(bytes.size()) != block.size()) {
          throw Error(ErrorCode::kCorrupt,
                      "stored block of another size: " + std::to_string(bytes.size()) + " bytes");
        }
        std::memcpy(block.data(), bytes.data(), bytes.size());
      });
  if (!found) throw Error(ErrorCode::kCorrupt, "a stored block is missing");
  // RocksDB has checked the bytes themselves; going over the payload once more would cost a third
  // of the rate.
  VerifyBlockHeader(state, shape, extent, block);
  return block;
}

}  // namespace promptdb
