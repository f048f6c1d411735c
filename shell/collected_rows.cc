#include "shell/collected_rows.h"

namespace promptdb {

CollectedRows::CollectedRows(ResultSink* listener, bool forwards_notices)
    : listener_(listener), forwards_notices_(forwards_notices) {}

Value CollectedRows::At(size_t row, std::string_view column) const {
  if (row >= rows_.size()) return {};
  for (size_t i = 0; i < columns_.size() && i < rows_[row].size(); ++i) {
    if (columns_[i].name == column) return rows_[row][i];
  }
  return {};
}

void CollectedRows::OnNotice(std::string_view notice) {
  if (forwards_notices_) listener_->OnNotice(notice);
}

void CollectedRows::OnProgress(std::string_view stage, int64_t done, int64_t total,
                               std::string_view unit) {
  listener_->OnProgress(stage, done, total, unit);
}

}  // namespace promptdb
