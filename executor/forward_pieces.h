// How a batch is cut for the layers: pieces of rows that go through them together, and the parts of
// its groups that a piece holds.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_EXECUTOR_FORWARD_PIECES_H_
#define PROMPTDB_EXECUTOR_FORWARD_PIECES_H_

#include <set>
#include <span>
#include <vector>

#include "executor/transformer.h"

namespace promptdb {

// The rows of one group that a piece holds.
struct GroupPart {
  const RowGroup* group = nullptr;
  int first_row = 0;  // in the piece
  int rows = 0;
  int first_token = 0;    // in the own segment
  int shared_tokens = 0;  // of the context, with which that of the part before begins as well
};

struct Piece {
  int first_row = 0;  // in the batch
  int rows = 0;
  std::vector<GroupPart> parts;
};

// Pieces of at most `most_rows`, before the segments have grown.
std::vector<Piece> CutIntoPieces(const ForwardBatch& batch, int most_rows);

// The piece of some of its rows alone, ascending: which become rows 0, 1, …
Piece Narrow(const Piece& piece, std::span<const int> wanted);

// The rows of each piece whose logits are wanted, counted in the piece.
std::vector<std::vector<int>> WantedOf(const ForwardBatch& batch, std::span<const Piece> pieces);

// How keys are turned that rows write and read.
struct PieceMoves {
  std::vector<int32_t> key_positions;  // of the rows, in their own segments' terms
  std::set<int> moved_by;              // of the segments that they see, but for 0
};
// `positions` are the piece's rows'.
PieceMoves MovesOf(const Piece& piece, std::span<const int32_t> positions);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_FORWARD_PIECES_H_
