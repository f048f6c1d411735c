#include <utility>

#include "base/error.h"
#include "storage/state_cache.h"
#include "storage/stored_blocks.h"

namespace promptdb {

std::vector<Digest> StateCache::Keys() const {
  const std::scoped_lock lock(mutex_);
  return index_.Keys();
}

std::optional<StateCache::StateCheck> StateCache::CheckState(
    const Digest& key, const std::function<void(int64_t bytes)>& on_block) {
  const std::optional<StateIndex::Outline> entry = Find(key);
  if (!entry) return std::nullopt;
  StateCheck check;
  try {
    const auto row = rocks_->Get(Family::kStates, key.ToBytes());
    if (!row) throw Error(ErrorCode::kCorrupt, "its manifest is missing");
    check.manifest_bytes = static_cast<int64_t>(row->size());
    const StateManifest manifest = DecodeManifestAt(key.ToBytes(), *row);
    check.label = manifest.label;
    if (manifest.shape != entry->shape || manifest.tokens != entry->tokens ||
        manifest.start_position != entry->start_position) {
      throw Error(ErrorCode::kCorrupt, "its manifest is that of another state");
    }
  } catch (const Error& error) {
    if (!IsDamage(error)) throw;
    check.damage = error.message();
  }
  const BlockGrid grid(entry->shape, entry->tokens);
  for (int i = 0; i < grid.blocks(); ++i) {
    const int64_t bytes = grid.Extent(i).payload_bytes + kBlockHeaderBytes;
    try {
      VerifyBlock(key, entry->shape, grid.Extent(i),
                  ReadStoredBlock(*rocks_, key, entry->shape, grid, i));
    } catch (const Error& error) {
      if (!IsDamage(error)) throw;
      ++check.damaged_blocks;
      if (check.damage.empty()) {
        check.damage = "block " + std::to_string(i) + ": " + error.message();
      }
    }
    ++check.blocks;
    check.block_bytes += bytes;
    on_block(bytes);
  }
  if (check.damage.empty()) return check;
  // Where another thread erased the state meanwhile, that is why something was missing.
  if (!EraseIfThere(key)) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  ++stats_.corrupt;
  return check;
}

std::vector<StateCache::DroppedState> StateCache::TakeDamageAtOpening() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(damage_at_opening_, {});
}

std::vector<StateCache::LabelRow> StateCache::Labels() const {
  std::vector<LabelRow> labels;
  rocks_->Scan(Family::kLabels, "", [&](std::string_view label, std::string_view row) {
    labels.push_back({std::string(label), static_cast<int64_t>(row.size()), ""});
    try {
      DecodeManifest(row);
    } catch (const Error& error) {
      labels.back().damage = error.message();
    }
    return true;
  });
  return labels;
}

void StateCache::ForgetLabels(const std::vector<std::string>& labels) {
  Rocks::Batch batch;
  for (const std::string& label : labels) batch.Delete(Family::kLabels, label);
  rocks_->Write(std::move(batch));
}

}  // namespace promptdb
