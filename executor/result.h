// How a statement's outcome reaches whoever ran it: rows, streamed text, notices, progress.
#ifndef PROMPTDB_EXECUTOR_RESULT_H_
#define PROMPTDB_EXECUTOR_RESULT_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/value.h"

namespace promptdb {

// Receives one statement's outcome. Calls come in this order, on the thread that runs the
// statement:
//   OnColumns, then OnRow*, for a statement with rows;   OnDone at the end of each that succeeds.
// OnTextPiece, OnNotice and OnProgress may come at any time before OnDone. A statement that fails
// throws Error out of the session instead of calling OnDone.
class ResultSink : public ProgressListener {
 public:
  virtual void OnColumns(const std::vector<Column>& columns) = 0;
  virtual void OnRow(const std::vector<Value>& row) = 0;
  // Generated text as it comes: whole UTF-8 characters. Joined, it is the row's `text`.
  virtual void OnTextPiece(std::string_view piece) = 0;
  // Something worth telling that is no result: "model file changed; its states are not used".
  virtual void OnNotice(std::string_view notice) = 0;
  // So many more tokens have gone through the model for this statement: of its prompt, of states
  // that it lacked, and of its answer. What a quota of tokens counts.
  virtual void OnTokensComputed(int64_t tokens) { static_cast<void>(tokens); }
  // `tag`: what was done, as PostgreSQL says it: "CREATE SCHEMA", "SELECT 1".
  virtual void OnDone(std::string_view tag) = 0;
};

// Takes everything and tells nobody: a base for sinks that want a part.
class QuietSink : public ResultSink {
 public:
  void OnColumns(const std::vector<Column>&) override {}
  void OnRow(const std::vector<Value>&) override {}
  void OnTextPiece(std::string_view) override {}
  void OnNotice(std::string_view) override {}
  void OnDone(std::string_view) override {}
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool IsCanceled() const override { return false; }
};

// Passes everything on: a base for sinks that change a part.
class RelayingSink : public ResultSink {
 public:
  explicit RelayingSink(ResultSink& sink) : sink_(sink) {}  // borrowed

  void OnColumns(const std::vector<Column>& columns) override { sink_.OnColumns(columns); }
  void OnRow(const std::vector<Value>& row) override { sink_.OnRow(row); }
  void OnTextPiece(std::string_view piece) override { sink_.OnTextPiece(piece); }
  void OnNotice(std::string_view notice) override { sink_.OnNotice(notice); }
  void OnTokensComputed(int64_t tokens) override { sink_.OnTokensComputed(tokens); }
  void OnDone(std::string_view tag) override { sink_.OnDone(tag); }
  void OnProgress(std::string_view stage, int64_t done, int64_t total,
                  std::string_view unit) override {
    sink_.OnProgress(stage, done, total, unit);
  }
  bool IsCanceled() const override { return sink_.IsCanceled(); }

 private:
  ResultSink& sink_;
};

// As a person reads it in a table cell: NULL is "", reals have the digits they need, up to 3
// decimals.
std::string FormatValue(const Value& value);

// Seconds since 1970 as "2026-01-31 23:59:59", in UTC.
std::string FormatTime(int64_t seconds);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_RESULT_H_
