#include "training/training_batch.h"

#include <algorithm>

#include "base/error.h"

namespace promptdb {

namespace {

// Scores above the diagonal are computed in vain: a group is cut into pieces of this many rows.
constexpr int kMostGroupRows = 64;

}  // namespace

SampleWriter::SampleWriter(TrainingBatch& batch) : batch_(batch) {
  batch.samples.push_back({.rows = {batch.rows(), batch.rows()}, .groups = {}});
}

RowSpan SampleWriter::Add(std::span<const TokenId> tokens, int first_position,
                          std::vector<RowSpan> seen, float weight) {
  SampleRows& sample = batch_.samples.back();
  const RowSpan added{batch_.rows(), batch_.rows() + static_cast<int>(tokens.size())};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool has_next = i + 1 < tokens.size();
    batch_.tokens.push_back(tokens[i]);
    batch_.positions.push_back(first_position + static_cast<int>(i));
    batch_.targets.push_back(has_next ? tokens[i + 1] : 0);
    batch_.weights.push_back(has_next ? weight : 0);
  }
  if (!seen.empty() && seen.back().end == added.begin) {
    seen.back().end = added.end;
  } else {
    seen.push_back(added);
  }
  for (int begin = added.begin; begin < added.end; begin += kMostGroupRows) {
    const int end = std::min(added.end, begin + kMostGroupRows);
    seen.back().end = end;
    sample.groups.push_back({{begin, end}, seen});
  }
  sample.rows.end = added.end;
  return added;
}

void SampleWriter::SetTarget(int row, TokenId target, float weight) {
  batch_.targets[row] = target;
  batch_.weights[row] = weight;
}

void SampleWriter::SetAnswer(RowSpan rows, TokenId end, float weight) {
  Check(rows.size() > 0, "an answer has no rows");
  for (int row = rows.begin; row + 1 < rows.end; ++row) {
    SetTarget(row, static_cast<TokenId>(batch_.tokens[row + 1]), weight);
  }
  SetTarget(rows.end - 1, end, weight);
  batch_.answers.push_back(rows);
}

}  // namespace promptdb
