// What one step of training computes: the rows (tokens) of several samples, one after the other,
// without padding.
//
// As in a query, a row does not see all rows before it: rows come in groups, and the rows of a
// group see some spans of earlier rows (modules that were encoded before) and each other, causally.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_TRAINING_TRAINING_BATCH_H_
#define PROMPTDB_TRAINING_TRAINING_BATCH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace promptdb {

struct RowSpan {
  int begin = 0;
  int end = 0;

  int size() const { return end - begin; }
};

struct RowGroup {
  RowSpan rows;
  // Ascending and apart. The last one ends with `rows`, of which a row sees itself and those before
  // it. All of one sample.
  std::vector<RowSpan> seen;
};

struct SampleRows {
  RowSpan rows;
  std::vector<RowGroup> groups;
};

struct TrainingBatch {
  // Of each row.
  std::vector<int64_t> tokens;
  std::vector<int32_t> positions;
  std::vector<int64_t> targets;  // the token to predict; 0 where the weight is 0
  std::vector<float> weights;    // of the row's loss

  std::vector<SampleRows> samples;
  // Rows whose targets together are one answer: right if all are predicted.
  std::vector<RowSpan> answers;

  int rows() const { return static_cast<int>(tokens.size()); }
};

// Adds one sample to a batch, piece by piece.
class SampleWriter {
 public:
  explicit SampleWriter(TrainingBatch& batch);

  // Rows at consecutive positions that see `seen` and each other, causally. Each predicts the next
  // with `weight`, the last predicts nothing. `seen`: rows of this sample, ascending and apart.
  RowSpan Add(std::span<const TokenId> tokens, int first_position, std::vector<RowSpan> seen,
              float weight);

  // Makes the row predict `target`.
  void SetTarget(int row, TokenId target, float weight);
  // The rows predict what follows each, and the last one `end`: an answer.
  void SetAnswer(RowSpan rows, TokenId end, float weight);

 private:
  TrainingBatch& batch_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TRAINING_TRAINING_BATCH_H_
