#include "executor/forward_pieces.h"

#include <algorithm>
#include <functional>

#include "base/error.h"

namespace promptdb {

namespace {

// Of the context that two groups begin with alike.
int SharedTokens(const RowGroup& a, const RowGroup& b) {
  int tokens = 0;
  for (size_t i = 0; i < std::min(a.context.size(), b.context.size()); ++i) {
    const KvSpan &left = a.context[i], &right = b.context[i];
    if (left.begin != right.begin || !left.segment->IsSameAs(*right.segment)) break;
    tokens += std::min(left.end, right.end) - left.begin;
    if (left.end != right.end) break;
  }
  return tokens;
}

}  // namespace

std::vector<Piece> CutIntoPieces(const ForwardBatch& batch, int most_rows) {
  std::vector<Piece> pieces;
  int row = 0;
  for (const RowGroup& group : batch.groups) {
    Check(group.rows >= 0 && group.own != nullptr, "a group extends a segment");
    const int held = group.own->tokens();
    for (int done = 0; done < group.rows;) {
      if (pieces.empty() || pieces.back().rows == most_rows) pieces.push_back({row, 0, {}});
      Piece& piece = pieces.back();
      const int rows = std::min(group.rows - done, most_rows - piece.rows);
      const int shared = piece.parts.empty() ? 0 : SharedTokens(*piece.parts.back().group, group);
      piece.parts.push_back({&group, piece.rows, rows, held + done, shared});
      piece.rows += rows;
      done += rows;
      row += rows;
    }
  }
  Check(row == static_cast<int>(batch.tokens.size()), "the groups hold the batch's rows");
  return pieces;
}

Piece Narrow(const Piece& piece, std::span<const int> wanted) {
  Piece narrow{.first_row = piece.first_row};
  auto part = piece.parts.begin();
  for (const int row : wanted) {
    while (row >= part->first_row + part->rows) ++part;
    const int token = part->first_token + row - part->first_row;
    GroupPart* last = narrow.parts.empty() ? nullptr : &narrow.parts.back();
    if (last != nullptr && last->group == part->group && last->first_token + last->rows == token) {
      ++last->rows;
    } else {
      const int shared = last == nullptr ? 0 : SharedTokens(*last->group, *part->group);
      narrow.parts.push_back({part->group, narrow.rows, 1, token, shared});
    }
    ++narrow.rows;
  }
  return narrow;
}

std::vector<std::vector<int>> WantedOf(const ForwardBatch& batch, std::span<const Piece> pieces) {
  Check(batch.positions.size() == batch.tokens.size(), "every row has a position");
  Check(std::adjacent_find(batch.logits_of.begin(), batch.logits_of.end(),
                           std::greater_equal<>()) == batch.logits_of.end(),
        "logits_of is ascending");
  std::vector<std::vector<int>> wanted;
  size_t next = 0;
  for (const Piece& piece : pieces) {
    std::vector<int>& of_piece = wanted.emplace_back();
    for (; next < batch.logits_of.size() && batch.logits_of[next] < piece.first_row + piece.rows;
         ++next) {
      of_piece.push_back(batch.logits_of[next] - piece.first_row);
    }
  }
  Check(next == batch.logits_of.size(), "logits are wanted of rows of the batch");
  return wanted;
}

PieceMoves MovesOf(const Piece& piece, std::span<const int32_t> positions) {
  PieceMoves moves;
  for (const GroupPart& part : piece.parts) {
    const int own = part.group->own->moved_by();
    moves.moved_by.insert(own);
    for (const KvSpan& span : part.group->context) {
      moves.moved_by.insert(span.segment->moved_by());
    }
    for (int i = 0; i < part.rows; ++i) {
      moves.key_positions.push_back(positions[static_cast<size_t>(part.first_row + i)] - own);
    }
  }
  moves.moved_by.erase(0);
  return moves;
}

}  // namespace promptdb
