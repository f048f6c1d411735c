// Keeps the rows of a statement that the shell runs for itself.
//
// Not thread-safe; see ResultSink.
#ifndef PROMPTDB_SHELL_COLLECTED_ROWS_H_
#define PROMPTDB_SHELL_COLLECTED_ROWS_H_

#include <string_view>
#include <vector>

#include "executor/result.h"

namespace promptdb {

class CollectedRows : public ResultSink {
 public:
  // `listener` is borrowed: it hears of progress and is asked whether to stop, and gets notices if
  // `forwards_notices`. Tags and streamed text are dropped.
  CollectedRows(ResultSink* listener, bool forwards_notices);

  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<Row>& rows() const { return rows_; }
  // NULL where there is no such row or column.
  Value At(size_t row, std::string_view column) const;

  void OnColumns(const std::vector<Column>& columns) override { columns_ = columns; }
  void OnRow(const std::vector<Value>& row) override { rows_.push_back(row); }
  void OnTextPiece(std::string_view) override {}
  void OnNotice(std::string_view notice) override;
  void OnDone(std::string_view) override {}
  void OnProgress(std::string_view stage, int64_t done, int64_t total,
                  std::string_view unit) override;
  bool IsCanceled() const override { return listener_->IsCanceled(); }

 private:
  ResultSink* listener_;
  const bool forwards_notices_;
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_COLLECTED_ROWS_H_
